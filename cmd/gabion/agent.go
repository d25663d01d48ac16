package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"
)

// newAgent runs the agent's own program: it links nothing of this one, because it
// runs as root.
func newAgent() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Run the agent, which enforces segmentation policies on this host",
		Long:  "agent runs the program gabion-agent with all that follows; 'gabion agent --help' is its help.",
		Example: `  gabion agent --server plane.example.com:9443    # enforce what a control plane says
  gabion agent detach                             # take everything out of the kernel
  gabion agent probe                              # does this kernel have what it needs?`,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, given []string) error {
			path, err := findAgentProgram()
			if err != nil {
				return withHint(err, "run `make build`")
			}
			if err := syscall.Exec(path, append([]string{"gabion-agent"}, given...), os.Environ()); err != nil {
				return fmt.Errorf("run %s: %w", path, err)
			}
			return nil
		},
	}
}
