package main

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// newAgent runs the agent's own program: it links nothing of this one, because it
// runs as root.
func newAgent() *cobra.Command {
	c := passOn("agent", "Run the agent, which enforces segmentation policies on this host",
		`  gabion agent --server plane.example.com:9443    # enforce what a control plane says
  gabion agent detach                             # take everything out of the kernel`)
	c.Long = "agent runs the program gabion-agent with all that follows; 'gabion-agent --help' lists its flags."
	c.AddCommand(
		passOn("detach", "Take everything out of the kernel: nothing is enforced any more", "  gabion agent detach", "detach"),
		passOn("probe", "Say whether this kernel has what the agent needs", "  gabion agent probe", "probe"),
		passOn("status", "Say on which interfaces of this host something is enforced", "  gabion agent status", "status"))
	return c
}

// passOn is a command that becomes gabion-agent, with the given words first.
func passOn(use, short, example string, first ...string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: cobra.ArbitraryArgs, DisableFlagParsing: true,
		RunE: func(c *cobra.Command, given []string) error {
			if slices.Contains(given, "--help") || slices.Contains(given, "-h") {
				return c.Help()
			}
			path, err := findAgentProgram()
			if err != nil {
				return withHint(err, "run `make build`")
			}
			if err := syscall.Exec(path, slices.Concat([]string{"gabion-agent"}, first, given), os.Environ()); err != nil {
				return fmt.Errorf("run %s: %w", path, err)
			}
			return nil
		},
	}
}
