package main

import "github.com/spf13/cobra"

func newAPI(a *app) *cobra.Command {
	return group("api", "Operations of the services behind the proxy", `Find out which operations services really have: who calls them, with which
credentials, and what they carry. 'list', 'show' and 'callers' ask the control plane,
which learns from the traffic; 'learn' works on recordings, without one.`,
		newAPIList(a), newAPIShow(a), newAPICallers(a), newAPILearn(a), newAPIDrift(a), newAPIChanges(a))
}
