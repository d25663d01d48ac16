package main

import "github.com/spf13/cobra"

func newAPI(a *app) *cobra.Command {
	return group("api", "Operations of the services behind the proxy", `Find out which operations services really have: who calls them, with which
credentials, and what they carry. The control plane learns them from the traffic;
'learn', and 'drift' and 'changes' with files, work on recordings without one.`,
		newAPIList(a), newAPIShow(a), newAPICallers(a), newAPIDrift(a), newAPIChanges(a), newAPIRevisions(a),
		newAPIExport(a), newAPIImport(a), newAPIPropose(a), newAPIEvents(a), newAPIPin(a), newAPIMerge(a), newAPISplit(a), newAPIRename(a), newAPIDecisions(a), newAPILearn(a))
}
