// Command gabion protects what runs behind Envoy (firewall, API protection,
// segmentation, inventory) and does the review work around it. The composition roots are up.go (one machine), serve.go
// (the control plane) and filter.go (the filter beside Envoy); every other
// subcommand is one file and talks to a control plane over its REST API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The first signal asks every part to stop; a second one ends at once,
	// because by then the default handling is back.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
