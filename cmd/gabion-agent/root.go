package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery/capture"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/datapath"
)

// options are the flags of all commands.
type options struct {
	files   []string
	server  string // ADDRESS:PORT; empty: none
	host    string
	join    string
	state   string
	bpffs   string
	name    string
	flows   string
	window  time.Duration
	http    bool     // capture it
	asked   []string // resolvers, as given
	grace   time.Duration
	direct  bool
	uplinks []string // interfaces
	prove   time.Duration
}

// defaultName is the directory of pins of an agent that was given no other.
const defaultName = "gabion"

// pins is where everything of the agent is kept in the kernel.
func (o *options) pins() string { return filepath.Join(o.bpffs, cmp.Or(o.name, defaultName)) }

// everything is the pins of the agent that was named, else of all there are.
func (o *options) everything() ([]string, error) {
	if o.name != "" {
		return []string{o.pins()}, nil
	}
	others, err := filepath.Glob(filepath.Join(o.bpffs, defaultName+"-*"))
	return append(others, o.pins()), err
}

func newRoot(out, errs io.Writer) *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "gabion-agent",
		Short: "Enforce segmentation policies on this host",
		Long: `gabion-agent enforces Workload, SegmentationPolicy and NetworkPolicy resources on
the interfaces that the workloads name. It takes them from a control plane, which
it joins once with a token, or from files, or from both, and follows changes. The
last good set is kept and is in force before the control plane answers. A set from
the control plane under which that cannot be reached any more is taken back.

When it ends, whatever the way, what is in force stays in force: the next run takes
over, and 'gabion-agent detach' removes everything.`,
		Example: `  GABION_JOIN=TOKEN gabion-agent --server plane.example.com:9443 --host node-1
  gabion-agent --server plane.example.com:9443    # from then on
  gabion-agent -f /etc/gabion/segmentation --state /var/lib/gabion
  gabion-agent -f policies.yaml -f workloads.yaml --state /tmp/agent --flows -
  gabion-agent -f policies.yaml --uplink eth0
  gabion-agent detach`,
		Args: noArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), o, out, errs) },
	}
	c.SetOut(out)
	c.SetErr(errs)
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	c.Flags().StringArrayVarP(&o.files, "file", "f", nil, "file or directory with resources; may be repeated")
	c.Flags().StringVar(&o.server, "server", "", "ADDRESS:PORT of a control plane's listener for agents")
	c.Flags().StringVar(&o.host, "host", "", "this host's name, as workloads have it in spec.node (default: what the system says)")
	c.Flags().StringVar(&o.join, "join", "", "token of 'gabion token join', for the first contact ($GABION_JOIN keeps it out of the list of processes)")
	c.Flags().StringVar(&o.state, "state", "/var/lib/gabion-agent", "directory for what must outlive the agent")
	c.Flags().StringVar(&o.flows, "flows", "", "write flows as JSON lines to this file, - is the standard output")
	c.Flags().DurationVar(&o.window, "window", 5*time.Second, "time that flows are folded over before they are reported, at least 1s")
	c.Flags().BoolVar(&o.http, "capture-http", false, "see HTTP in cleartext on the workloads' interfaces, and tell the control plane which operations there are")
	c.Flags().StringArrayVar(&o.asked, "resolver", nil, "address of a DNS resolver whose answers to workloads count for rules by name; may be repeated (default: those that this host asks itself)")
	c.Flags().DurationVar(&o.grace, "name-grace", time.Minute, "how much longer than its TTL an address is its name's")
	c.Flags().BoolVar(&o.direct, "fast-path", true, "hand packets between two workloads of this host straight over, where nothing else looks at them")
	c.Flags().StringArrayVar(&o.uplinks, "uplink", nil, "interface by which this host reaches the world: what a policy surely denies is dropped there by XDP; may be repeated")
	c.Flags().DurationVar(&o.prove, "confirm-within", time.Minute, "time in which the control plane must be reached on a new connection after a change of policy; else the policy before returns (0: it never does)")
	c.PersistentFlags().StringVar(&o.bpffs, "bpffs", "/sys/fs/bpf", "where the BPF file system is, or is to be mounted")
	c.PersistentFlags().StringVar(&o.name, "pins", "", "name of the directory in it, "+defaultName+"-NAME for a second agent on one machine (default "+defaultName+"; detach: all there are)")
	c.AddCommand(newDetach(o, out), newProbe(out), newStatus(o, out))
	return c
}

func newDetach(o *options, out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "detach", Args: noArgs,
		Short: "Take everything out of the kernel: nothing is enforced any more",
		RunE: func(*cobra.Command, []string) error {
			if err := tcx.Probe(nil); err != nil {
				return err
			}
			all, err := o.everything()
			removed := 0
			for _, dir := range all {
				if _, gone := os.Stat(dir); errors.Is(gone, fs.ErrNotExist) {
					continue
				}
				if e := errors.Join(capture.Remove(capturePins(dir)), datapath.Remove(dir)); e != nil {
					err = errors.Join(err, e)
					continue
				}
				removed++
				fmt.Fprintln(out, "removed", dir)
			}
			if removed == 0 && err == nil {
				fmt.Fprintln(out, "nothing to remove: there is no", strings.Join(all, ", no "))
			}
			return err
		},
	}
}

func newProbe(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "probe", Args: noArgs,
		Short: "Say whether this kernel has what the agent needs",
		RunE: func(*cobra.Command, []string) error {
			if err := tcx.Probe(tcx.Features()); err != nil {
				return err
			}
			for _, f := range tcx.Features() {
				fmt.Fprintf(out, "%s: there (Linux has it since %s)\n", f.Name, f.Since)
			}
			// Only for workloads that are processes of the host.
			for _, f := range tcx.CgroupFeatures() {
				if err := tcx.Probe([]tcx.Feature{f}); err != nil {
					fmt.Fprintf(out, "%s: missing, for spec.cgroup (Linux has it since %s)\n", f.Name, f.Since)
					continue
				}
				fmt.Fprintf(out, "%s: there, for spec.cgroup (Linux has it since %s)\n", f.Name, f.Since)
			}
			return nil
		},
	}
}
