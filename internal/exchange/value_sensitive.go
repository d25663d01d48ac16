package exchange

import "github.com/gabion-io/gabion/internal/sensitive"

// carries is the kind of sensitive data that a value in a URL or a header is, none
// for most. Unless the name of its field says something, it is looked at only if
// what it looks like leaves that possible.
func carries(k Kind, s string, field sensitive.Field) sensitive.Kind {
	if field == (sensitive.Field{}) {
		switch k {
		case KindNumber, KindMixed, KindHex, KindPrefixed, KindToken, KindEmail, KindIP, KindList, KindURI, KindOther:
		default:
			return sensitive.None
		}
	}
	best, found := sensitive.None, sensitive.Likely
	for _, f := range field.Classify(nil, s) {
		if f.Confidence >= found && (best == sensitive.None || f.Confidence > found) {
			best, found = f.Kind, f.Confidence
		}
	}
	return best
}
