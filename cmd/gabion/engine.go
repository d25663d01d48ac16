package main

import (
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// judgesOf compiles policies with the filter's own code. They share what their
// engines remember: a rehearsal shows each value to two of them.
func judgesOf(r *chain.Runtime) proposal.Engine {
	return func(p filters.Policy) (proposal.Judge, error) { return r.Judge(p) }
}
