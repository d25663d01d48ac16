package waf

import (
	"fmt"
	"math"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// allow is the action of custom rules that ends inspection: for the phase, for
// the request, or altogether. The engine's own does nothing in detection mode;
// this one takes all rules out of the transaction, in either mode. The range's
// first id says for how long; the transaction takes it back before the phase in
// which rules are wanted again.
type allow struct{ from int }

const (
	allowAll     = -1
	allowRequest = -2
	allowPhase   = -3
)

func newAllow() plugintypes.Action { return &allow{} }

func (a *allow) Init(_ plugintypes.RuleMetadata, what string) error {
	switch what {
	case "":
		a.from = allowAll
	case "request":
		a.from = allowRequest
	case "phase":
		a.from = allowPhase
	default:
		return fmt.Errorf("allow: %q is not \"phase\" or \"request\"", what)
	}
	return nil
}

func (a *allow) Evaluate(_ plugintypes.RuleMetadata, tx plugintypes.TransactionState) {
	if t, ok := tx.(ruleRemover); ok {
		t.RemoveRuleByIDRange(a.from, math.MaxInt)
	}
}

func (a *allow) Type() plugintypes.ActionType { return plugintypes.ActionTypeDisruptive }

// ruleRemover is what the engine's transaction can do beyond its interface.
type ruleRemover interface {
	RemoveRuleByID(id int)
	RemoveRuleByIDRange(from, to int)
	GetRuleRemoveByIDRanges() [][2]int
}

// endAllow takes back what allow took, before phase begins.
func endAllow(tx any, phase int) {
	endSkip(tx)
	t, ok := tx.(ruleRemover)
	if !ok {
		return
	}
	ranges := t.GetRuleRemoveByIDRanges()
	for i, r := range ranges {
		if r[0] == allowPhase || r[0] == allowRequest && phase > 2 {
			ranges[i] = [2]int{1, 0}
		}
	}
}
