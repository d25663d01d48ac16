package main

import "github.com/spf13/cobra"

// runCommands are the commands that start something and stay.
func (a *app) runCommands() []*cobra.Command {
	return []*cobra.Command{newUp(a), newServe(a), newFilter(a), newAgent()}
}
