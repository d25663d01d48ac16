package main

/*
#cgo noescape envoy_dynamic_module_callback_log
#cgo nocallback envoy_dynamic_module_callback_log
#cgo nocallback envoy_dynamic_module_callback_log_enabled
#include "abi.h"
*/
import "C"

import (
	"bytes"
	"context"
	"log/slog"
)

// envoyLog is a slog handler that writes to Envoy's own log, under its
// component "dynamic_modules". Envoy adds the time.
type envoyLog struct{ attrs []slog.Attr }

func newEnvoyLog() *slog.Logger { return slog.New(envoyLog{}) }

// envoyLevel maps to Envoy's levels: 0 trace, 1 debug, 2 info, 3 warn, 4 error.
func envoyLevel(l slog.Level) C.int {
	switch {
	case l >= slog.LevelError:
		return 4
	case l >= slog.LevelWarn:
		return 3
	case l >= slog.LevelInfo:
		return 2
	}
	return 1
}

func (h envoyLog) Enabled(_ context.Context, l slog.Level) bool {
	return bool(C.envoy_dynamic_module_callback_log_enabled(envoyLevel(l)))
}

func (h envoyLog) Handle(ctx context.Context, r slog.Record) error {
	var text bytes.Buffer
	text.WriteString("gabion: ")
	err := slog.NewTextHandler(&text, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	}).WithAttrs(h.attrs).Handle(ctx, r)
	if err != nil {
		return err
	}
	C.envoy_dynamic_module_callback_log(envoyLevel(r.Level), goBytes(string(bytes.TrimSpace(text.Bytes()))))
	return nil
}

func (h envoyLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return envoyLog{append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup keeps attributes flat: Envoy's log is one line of text.
func (h envoyLog) WithGroup(string) slog.Handler { return h }
