package main

import (
	"io"
	"log/slog"
)

// logLevel is what $GABION_LOG says (debug, info, warn, error), or else usual.
func logLevel(env func(string) string, usual slog.Level) slog.Level {
	var level slog.Level
	if level.UnmarshalText([]byte(env("GABION_LOG"))) != nil {
		return usual
	}
	return level
}

func newLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
