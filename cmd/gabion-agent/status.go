package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/survey"
)

func newStatus(o *options, out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "status", Args: noArgs,
		Short: "Say on which interfaces of this host something is enforced",
		RunE: func(*cobra.Command, []string) error {
			if err := tcx.Probe(nil); err != nil {
				return err
			}
			all, err := o.everything()
			if err != nil {
				return err
			}
			found := false
			for _, dir := range all {
				if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
					continue
				}
				found = true
				if err := showStatus(out, dir); err != nil {
					return err
				}
			}
			if !found {
				fmt.Fprintln(out, "nothing is enforced")
			}
			return nil
		},
	}
}

// showStatus lists the interfaces of one agent, by its pins.
func showStatus(out io.Writer, dir string) error {
	fmt.Fprintln(out, dir)
	links, err := datapath.Interfaces(dir)
	if err != nil {
		return err
	}
	for _, index := range links {
		fmt.Fprintf(out, "  interface %s: of a workload\n", nameOfLink(index))
	}
	uplinks, err := datapath.Uplinks(dir)
	if err != nil || len(uplinks) == 0 {
		return err
	}
	modes, err := survey.XDPModes()
	if err != nil {
		return err
	}
	for _, index := range uplinks {
		fmt.Fprintf(out, "  interface %s: uplink, %s XDP\n", nameOfLink(index), modes[index])
	}
	n, err := datapath.Prefiltered(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  dropped on uplinks: %d packets\n", n)
	return nil
}

func nameOfLink(index int) string {
	if l, err := net.InterfaceByIndex(index); err == nil {
		return l.Name
	}
	return fmt.Sprint(index)
}
