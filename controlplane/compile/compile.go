// Package compile turns resources into intent: a source.Set into an ir.IR and
// conditions. It is pure and deterministic, and best effort: what is invalid is
// dropped with a condition, the rest ships.
//
// It knows nothing of Envoy (controlplane/xds) and does no input or output.
// The reconciler, the API server and the command line import it.
package compile

import (
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Options are what Compile needs beside the resources.
type Options struct {
	RootNamespace string // empty: "default"
	GatewayClass  string // empty: "gabion"; Gateways of another class are left alone, with a condition
	Now           time.Time

	// Check compiles a policy with the filter's own code. It is called once per
	// distinct policy; nil accepts all. It must be a function of the policy.
	Check func(filters.Policy) []wafrules.Problem
	// Good is Result.Good of the compilation before: what keeps shipping where a
	// changed policy fails Check. Nil at first.
	Good map[string]filters.Policy

	Spool     *filters.Spool // for every table
	RecordKey []byte         // HPKE X25519 public key; nil: nothing is recorded
	RecordDir string         // spool directory of recordings
	MemLimit  int64          // for every table
}

// Result is everything Compile has to say.
type Result struct {
	IR         *ir.IR
	Conditions []v1alpha1.Condition // sorted
	// Good holds the policy that ships for each "listener key"; give it to the
	// next compilation.
	Good map[string]filters.Policy
	// Next is the next instant at which the result changes by itself (an
	// exclusion expires); zero when there is none.
	Next time.Time
}

// Compile turns resources into intent.
func Compile(set source.Set, o Options) Result { panic("todo") }
