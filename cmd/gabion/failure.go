package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that cannot be understood: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// hintedError carries what to do next, printed on a line of its own.
type hintedError struct {
	err  error
	hint string
}

func (e hintedError) Error() string { return e.err.Error() }
func (e hintedError) Unwrap() error { return e.err }

func isUsage(err error) bool {
	var u usageError
	return errors.As(err, &u)
}

// usageOf makes a mistake on the command line into an error that points to the
// command's help.
func usageOf(c *cobra.Command, err error) error {
	return hintedError{usageError{err}, fmt.Sprintf("run '%s --help' for how it is used", c.CommandPath())}
}

func withHint(err error, format string, args ...any) error {
	return hintedError{err, fmt.Sprintf(format, args...)}
}

// args turns a wrong number of words into a usage error that says what is wanted.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if check(c, given) == nil {
			return nil
		}
		_, wants, _ := strings.Cut(strings.TrimSuffix(c.Use, " [flags]"), " ")
		if wants == "" {
			return usageOf(c, fmt.Errorf("%q takes no words after it, and got %q", c.CommandPath(), given))
		}
		got := "nothing"
		if len(given) > 0 {
			got = fmt.Sprintf("%q", given)
		}
		return usageOf(c, fmt.Errorf("%q wants %s, and got %s", c.CommandPath(), wants, got))
	}
}
