package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// app is one invocation: its streams, environment and clock, and the flags that
// every command talking to a control plane shares.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	self     string // how to call gabion again

	server    string // --server
	tokenFile string // --token-file
	caFile    string // --ca-file
	state     string // --state
	output    string // -o
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut, env: os.Getenv, now: time.Now, self: called(os.Args[0])}
	root := newRoot(a)
	root.SetArgs(args)
	c, err := root.ExecuteContextC(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "required flag(s)") { // cobra's own, without a type
		err = usageOf(c, err)
	}
	return a.exit(err)
}

// called is how a person calls gabion again: as this time, when it was not
// found by the PATH.
func called(arg0 string) string {
	if strings.ContainsRune(arg0, filepath.Separator) {
		return arg0
	}
	return "gabion"
}

// exit reports an error once, with what to do next, and chooses the exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(a.err, "gabion: "+err.Error())
	var hint hintedError
	if errors.As(err, &hint) {
		fmt.Fprintln(a.err, "  "+strings.ReplaceAll(hint.hint, "\n", "\n  "))
	}
	if isUsage(err) {
		return exitUsage
	}
	return exitError
}

// newRoot builds the whole command tree. Every command is one constructor in
// the file of its name.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "gabion",
		Short: "Firewall, API protection, segmentation and API inventory, with the review work around them",
		Long: `gabion protects what runs behind Envoy: a web application firewall and API
protection in the proxy, segmentation between workloads in the kernel, and an
inventory of every API. It helps with the review work around them: see what would be
blocked, fix false positives from the events themselves, accept what was learned from
traffic, rehearse a change on recorded traffic, and roll back in seconds.

Start with 'gabion up'; everything else talks to the control plane it starts.`,
		Example: `  gabion up                                  # control plane, Envoy, WAF and a demo application
  gabion waf events --since 1h               # what was or would have been blocked
  gabion waf exclude 01JB                    # propose a fix from an event
  gabion api list                            # which operations there are, and who calls them
  gabion seg propose                         # a segmentation policy from the flows that were seen
  gabion apply -f policy.yaml                # change a policy
  gabion rollback WAFPolicy shop             # and take it back`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if num := (*strconv.NumError)(nil); errors.As(err, &num) && errors.Is(num, strconv.ErrSyntax) {
			err = errors.New(strings.Replace(err.Error(), num.Error(), "that is no number", 1))
		}
		return usageOf(c, err)
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "resources", Title: "Resources:"},
		&cobra.Group{ID: "review", Title: "Review:"},
		&cobra.Group{ID: "admin", Title: "Administration:"},
	)
	addTo(root, "run", a.runCommands()...)
	addTo(root, "resources", newApply(a), newGet(a), newDelete(a), newDiff(a), newExplain(a), newRollback(a))
	addTo(root, "review", newStatus(a), newWAF(a), newAPI(a), newSeg(a), newProposal(a))
	addTo(root, "admin", newToken(a), newAudit(a), newVersion(a), newCompletion(a))
	return root
}

func addTo(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// group is a command that only holds others.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(commands...)
	// One of each that it holds: the first is the usual one.
	var examples []string
	for _, of := range commands {
		if line, _, _ := strings.Cut(of.Example, "\n"); line != "" {
			examples = append(examples, line)
		}
	}
	c.Example = strings.Join(examples, "\n")
	return c
}

// noSuchCommand refuses words that name no subcommand, with the nearest ones.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	hint := fmt.Sprintf("run '%s --help' for the commands there are", c.CommandPath())
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean '%s %s'?", c.CommandPath(), near[0])
	}
	return hintedError{usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}, hint}
}

// remote gives a command the flags of everything that talks to a control plane.
func (a *app) remote(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&a.server, "server", "", "URL of the control plane (default $GABION_SERVER, then <state>/server.url)")
	f.StringVar(&a.tokenFile, "token-file", "", "file holding the bearer token (default $GABION_TOKEN_FILE, then <state>/admin.token)")
	f.StringVar(&a.caFile, "ca-file", "", "PEM certificates of authorities that may certify the control plane, beside the system's (default $GABION_CA_FILE, then <state>/keys/ca.pem)")
	f.StringVar(&a.state, "state", "", "state directory of 'gabion up' or 'gabion serve' (default $GABION_STATE, then ~/.local/state/gabion)")
	return c
}

// outputs adds -o with the formats a command knows; the first is the default.
func (a *app) outputs(c *cobra.Command, formats ...string) *cobra.Command {
	format := c.Flags().StringP("output", "o", formats[0], "output format: "+strings.Join(formats, ", "))
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if !slices.Contains(formats, *format) {
			return usageOf(c, fmt.Errorf("unknown output format %q: it is one of %s", *format, strings.Join(formats, ", ")))
		}
		a.output = *format
		return nil
	}
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// stateDir is where `gabion up` keeps everything, and where the other commands
// look for its address and token.
func stateDir(flag string, env func(string) string) string {
	for _, dir := range []string{flag, env("GABION_STATE")} {
		if dir != "" {
			return dir
		}
	}
	if dir := env("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "gabion")
	}
	return filepath.Join(env("HOME"), ".local", "state", "gabion")
}
