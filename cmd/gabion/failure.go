package main

import (
	"errors"
	"fmt"

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

// args turns cobra's complaints about positional arguments into usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if err := check(c, given); err != nil {
			return usageOf(c, err)
		}
		return nil
	}
}
