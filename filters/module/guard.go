//go:build cgo

package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// guard runs f and catches its panic: a panic that left an exported hook would
// end Envoy. It reports whether f panicked.
func guard(log *slog.Logger, where string, f func()) (failed bool) {
	defer func() {
		if v := recover(); v != nil {
			failed = true
			log.Error("recovered a panic in the filter", "where", where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	f()
	return false
}
