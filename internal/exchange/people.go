package exchange

import (
	"strings"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// HoldsNames says that a parameter of this name is filled in by people, or with
// people: its few words are not the API's, however often they come.
func HoldsNames(name string) bool {
	return sensitive.ByName(name) != sensitive.None || peopled(name)
}

// peopled are names that say so themselves, beside those that sensitive knows.
func peopled(name string) bool {
	name = strings.TrimSuffix(name, "[]")
	name = strings.TrimSuffix(name[strings.LastIndexByte(name, '[')+1:], "]") // "filter[name]"
	n := strings.ReplaceAll(joined(name), ".", "")
	switch n {
	case "q", "query", "search", "term", "terms", "keyword", "keywords", "text", "title", "comment", "message", "city", "town", "by":
		return true
	}
	for _, end := range []string{"name", "user", "userid", "login", "owner", "author", "customer", "assignee", "creator", "member", "person", "contact", "recipient", "sender", "patient", "employee", "account"} {
		if strings.HasSuffix(n, end) {
			return true
		}
	}
	return false
}

// withoutNames takes the texts out of a parameter that holds names, by what is known
// of its own.
func (p *ParamSeen) withoutNames(f *fieldName) {
	if !f.peopled {
		return
	}
	p.Text = ""
	for i := range p.More {
		p.More[i].Text = ""
	}
}
