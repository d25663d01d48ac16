package risk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/sensitive"
)

// carried is sensitive data that an operation answers with.
type carried struct {
	kinds  []string
	places []string   // "200 /customers/[]/email"
	at     [][]string // the kinds of each place
	lists  bool       // within lists: of many persons at once
}

// without leaves out a class of data, and the places that hold nothing else.
func (c carried) without(class sensitive.Class) (left carried) {
	left.lists = c.lists
	for _, k := range c.kinds {
		if sensitive.ParseKind(k).Class() != class {
			left.kinds = append(left.kinds, k)
		}
	}
	for i, p := range c.places {
		if slices.ContainsFunc(c.at[i], func(k string) bool { return sensitive.ParseKind(k).Class() != class }) {
			left.places, left.at = append(left.places, p), append(left.at, c.at[i])
		}
	}
	return left
}

func answers(o *apidiscovery.Operation) (c carried) {
	for _, r := range o.Responses {
		if r.Status < 200 || r.Status > 299 {
			continue
		}
		for _, b := range r.Bodies {
			b.Schema.Walk(func(where string, s *apidiscovery.Schema) {
				if len(s.Sensitive) == 0 {
					return
				}
				c.kinds = append(c.kinds, s.Sensitive...)
				c.places = append(c.places, strings.TrimSpace(fmt.Sprint(r.Status, " ", where)))
				c.at = append(c.at, s.Sensitive)
				c.lists = c.lists || strings.Contains(where, "[]") || strings.Contains(where, "/*") || strings.HasPrefix(b.MediaType, "text/csv")
			})
		}
	}
	slices.Sort(c.kinds)
	c.kinds = slices.Compact(c.kinds)
	return c
}

// openPersonalData: sensitive data to anybody. Tokens are not meant: somebody who
// signs in is given one.
func openPersonalData(_ *view, o *apidiscovery.Operation) []apidiscovery.Finding {
	open, _ := accepted(o)
	c := answers(o).without(sensitive.Secret)
	if open == 0 || len(c.kinds) == 0 {
		return nil
	}
	return one(apidiscovery.Finding{Where: c.places[0], Confidence: apidiscovery.Suspicion, Count: open,
		Evidence: fmt.Sprintf("%s answered %d times without authentication", strings.Join(c.kinds, ", "), open)})
}

// manyKinds is from how many kinds of sensitive data on a record says more about
// a person than one screen needs.
const manyKinds = 5

// excessiveData: secrets that callers have no use for, or lists of records with
// a person's whole file.
func excessiveData(_ *view, o *apidiscovery.Operation) (list []apidiscovery.Finding) {
	c := answers(o)
	for i, where := range c.places {
		name := where[strings.LastIndexByte(where, '/')+1:]
		if k := sensitive.ByName(name); (k == sensitive.Password || k == sensitive.PasswordHash || k == sensitive.PrivateKey) && i < 20 {
			list = append(list, apidiscovery.Finding{Where: where, Confidence: apidiscovery.Shown, Count: o.Evidence.Successes,
				Evidence: "the answer carries a " + k.String()})
		}
	}
	if c.lists && len(c.kinds) >= manyKinds {
		list = append(list, apidiscovery.Finding{Where: c.places[0], Confidence: apidiscovery.Suspicion, Count: o.Evidence.Successes,
			Evidence: fmt.Sprintf("a list whose records carry %d kinds of sensitive data: %s", len(c.kinds), strings.Join(c.kinds, ", "))})
	}
	return list
}

// privileged are the words of fields that decide what their owner may do. A
// caller that may set them may raise himself.
var privileged = []string{"role", "roles", "admin", "isadmin", "is_admin", "superuser", "is_superuser", "is_staff", "isstaff", "permissions", "permission", "privileges",
	"scope", "scopes", "verified", "is_verified", "isverified", "email_verified", "emailverified", "approved", "is_approved", "owner_id", "ownerid", "tenant_id", "tenantid",
	"balance", "credit", "credits", "credit_limit", "discount", "price", "account_type", "accounttype", "plan", "group_id", "groups"}

// massAssignment: an accepted body sets such a field on an object that callers
// change themselves. Prices are set by those who sell: only where the answer
// shows persons, or an id of the object is in the path, is it a candidate.
func massAssignment(_ *view, o *apidiscovery.Operation) (list []apidiscovery.Finding) {
	if o.Method != "POST" && o.Method != "PUT" && o.Method != "PATCH" || o.Evidence.Successes == 0 {
		return nil
	}
	for _, b := range o.Request {
		b.Schema.Walk(func(where string, s *apidiscovery.Schema) {
			name := strings.ToLower(where[strings.LastIndexByte(where, '/')+1:])
			if len(list) < 10 && slices.Contains(privileged, name) {
				list = append(list, apidiscovery.Finding{Where: b.MediaType + " " + where, Confidence: apidiscovery.Suspicion, Count: s.Count,
					Evidence: fmt.Sprintf("callers send %q and the request is accepted: does it change anything?", strings.TrimPrefix(where, "/"))})
			}
		})
	}
	return list
}

// pagers are the words of parameters that bound a list.
var pagers = []string{"limit", "page", "per_page", "perpage", "page_size", "pagesize", "size", "offset", "cursor", "after", "before", "first", "last", "top", "skip", "count", "max", "maxresults", "max_results", "start", "rows", "take"}

const (
	longList = 100    // items
	longBody = 100000 // bytes, on average
)

// unboundedList: an answer that is a long list, and no parameter that would make
// it shorter; or a bound that callers choose as they like.
func unboundedList(_ *view, o *apidiscovery.Operation) []apidiscovery.Finding {
	if o.Method != "GET" || o.Traffic.Count == 0 {
		return nil
	}
	for _, p := range o.Params {
		name := strings.ToLower(strings.NewReplacer("page[", "", "filter[", "", "]", "").Replace(p.Name))
		if p.In == apidiscovery.InQuery && slices.Contains(pagers, name) {
			return nil
		}
	}
	longest, where := 0, ""
	list := false
	for _, r := range o.Responses {
		for _, b := range r.Bodies {
			b.Schema.Walk(func(at string, s *apidiscovery.Schema) {
				if r.Status > 299 || !s.Has("array") || strings.Count(at, "/") > 1 {
					return
				}
				list = true
				if s.MaxItems > longest || where == "" {
					longest, where = s.MaxItems, fmt.Sprint(r.Status, " ", at)
				}
			})
		}
	}
	mean := o.Traffic.BytesOut / o.Traffic.Count
	if !list || longest < longList && mean < longBody {
		return nil
	}
	return one(apidiscovery.Finding{Where: where, Confidence: apidiscovery.Suspicion, Count: o.Evidence.Successes,
		Evidence: fmt.Sprintf("a list of up to %d items, %d bytes on average, and no parameter that bounds it", longest, mean)})
}
