package waf

import (
	"github.com/corazawaf/libinjection-go"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// sqli is the operator @gabionSQLi: the tokeniser behind @detectSQLi, without the
// fingerprints that begin with an expression keyword. Those are whole statements
// ("select 1 from a"), which people search for, and write about; injections
// begin inside a value of somebody else's statement. Statements that matter are
// the profile's own rules'.
type sqli struct{}

const sqliName = "gabionSQLi"

func newSQLi(plugintypes.OperatorOptions) (plugintypes.Operator, error) { return sqli{}, nil }

func (sqli) Evaluate(tx plugintypes.TransactionState, value string) bool {
	found, fingerprint := libinjection.IsSQLi(value)
	if !found || fingerprint != "" && fingerprint[0] == 'E' {
		return false
	}
	if tx != nil {
		tx.CaptureField(0, fingerprint)
	}
	return true
}
