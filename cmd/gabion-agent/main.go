// Command gabion-agent enforces segmentation policies on a host: it puts programs
// on the interfaces of its workloads, keeps their tables in line with the policies,
// and reports flows. What it put in force stays in force while it does not run.
//
// It runs as root, and so links as little as it can (a test holds it): no
// Kubernetes client, no rule engine, no web server, no console.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := newRoot(os.Stdout, os.Stderr).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "gabion-agent:", err)
		if errors.As(err, new(usageError)) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// usageError is a mistake in how the agent was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// noArgs is cobra.NoArgs, whose complaint is a mistake of whoever calls.
func noArgs(c *cobra.Command, args []string) error {
	if err := cobra.NoArgs(c, args); err != nil {
		return usageError{err}
	}
	return nil
}
