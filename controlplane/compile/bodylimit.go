package compile

import (
	"fmt"
	"strings"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// bodyLimits are the limits by media type in the filter's form. What an entry
// leaves out is the general limit's.
func bodyLimits(b *v1alpha1.RequestBody) []filters.BodyLimit {
	var out []filters.BodyLimit
	for _, l := range b.ByType {
		one := filters.BodyLimit{ContentType: l.ContentType, Limit: int64(*b.Limit), Beyond: filters.Beyond(*b.BeyondLimit)}
		if l.Limit != nil {
			one.Limit = int64(*l.Limit)
		}
		if l.BeyondLimit != nil {
			one.Beyond = filters.Beyond(*l.BeyondLimit)
		}
		out = append(out, one)
	}
	return out
}

// idleLimits finds entries that can do nothing: an earlier one takes everything
// they are for, or no body is inspected.
func idleLimits(b *v1alpha1.RequestBody) []wafrules.Problem {
	var out []wafrules.Problem
	bad := func(i int, format string, args ...any) {
		out = append(out, wafrules.Problem{Path: fmt.Sprintf("requestBody.byType[%d]", i), Message: fmt.Sprintf(format, args...)})
	}
	for i, l := range b.ByType {
		if !*b.Inspect {
			bad(i, "can do nothing: request bodies are not inspected")
			continue
		}
		for j, before := range b.ByType[:i] {
			if takesAll(before.ContentType, l.ContentType) {
				bad(i, "can do nothing: entry %d (%s) comes first and takes all of %s", j, before.ContentType, l.ContentType)
				break
			}
		}
	}
	return out
}

// takesAll says that pattern a matches whatever b matches.
func takesAll(a, b string) bool {
	if a == b || a == "*/*" {
		return true
	}
	prefix, suffix, star := strings.Cut(a, "*")
	if !star {
		return false
	}
	bPrefix, bSuffix, bStar := strings.Cut(b, "*")
	if !bStar {
		return len(b) > len(prefix)+len(suffix) && strings.HasPrefix(b, prefix) && strings.HasSuffix(b, suffix)
	}
	return strings.HasPrefix(bPrefix, prefix) && strings.HasSuffix(bSuffix, suffix)
}
