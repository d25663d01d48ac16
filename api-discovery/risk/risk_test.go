package risk

import (
	"slices"
	"testing"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// operation is one that was called ten times.
func operation(method, path string, auth string, change ...func(*apidiscovery.Operation)) apidiscovery.Operation {
	o := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Service: "shop", Protocol: apidiscovery.REST, Method: method, Template: apidiscovery.MustPathTemplate(path)}}
	o.ID = o.OperationKey.ID()
	o.Auth = []apidiscovery.Auth{{Kind: auth, Count: 10, Accepted: 10}}
	o.Evidence.Successes, o.Traffic.Count = 10, 10
	for _, c := range change {
		c(&o)
	}
	return o
}

func answersWith(s *apidiscovery.Schema) func(*apidiscovery.Operation) {
	return func(o *apidiscovery.Operation) {
		o.Responses = []apidiscovery.Response{{Status: 200, Count: 10, Bodies: []apidiscovery.Body{{MediaType: "application/json", Count: 10, Schema: s}}}}
	}
}

func record(properties ...apidiscovery.Property) *apidiscovery.Schema {
	return &apidiscovery.Schema{Types: []string{"object"}, Properties: properties, Count: 10}
}

func property(name string, kinds ...string) apidiscovery.Property {
	return apidiscovery.Property{Name: name, Schema: &apidiscovery.Schema{Types: []string{"string"}, Sensitive: kinds, Count: 10}}
}

func TestFindings(t *testing.T) {
	guarded := []apidiscovery.Operation{operation("GET", "/accounts/{id}", apidiscovery.AuthBearer), operation("PUT", "/accounts/{id}", apidiscovery.AuthBearer)}
	list := func(items *apidiscovery.Schema, most int) *apidiscovery.Schema {
		return &apidiscovery.Schema{Types: []string{"array"}, Items: items, MaxItems: most, Count: 10}
	}
	for _, c := range []struct {
		name string
		op   apidiscovery.Operation
		want []string
	}{
		{"open among guarded", operation("GET", "/v0/accounts/{id}", apidiscovery.AuthNone), []string{"missing-authentication"}},
		{"open alone", operation("GET", "/products", apidiscovery.AuthNone), nil},
		{"guarded", operation("DELETE", "/accounts/{id}", apidiscovery.AuthBearer), nil},
		{"personal data to anybody", operation("GET", "/export", apidiscovery.AuthNone, answersWith(record(property("mail", "email")))), []string{"open-personal-data"}},
		{"a password in the answer", operation("GET", "/users/{id}", apidiscovery.AuthBearer, answersWith(record(property("password", "password")))), []string{"excessive-data"}},
		{"whole files of persons", operation("GET", "/people", apidiscovery.AuthBearer, answersWith(list(record(property("a", "email"), property("b", "phone"), property("c", "iban"), property("d", "date-of-birth"), property("e", "address")), 5))), []string{"excessive-data"}},
		{"long list", operation("GET", "/logs", apidiscovery.AuthBearer, answersWith(list(record(property("a")), 500))), []string{"unbounded-list"}},
		{"long list with a limit", operation("GET", "/logs", apidiscovery.AuthBearer, answersWith(list(record(property("a")), 500)), func(o *apidiscovery.Operation) {
			o.Params = []apidiscovery.Param{{In: "query", Name: "per_page", Count: 1}}
		}), nil},
		{"a role set by its owner", operation("PATCH", "/me", apidiscovery.AuthBearer, func(o *apidiscovery.Operation) {
			o.Request = []apidiscovery.Body{{MediaType: "application/json", Count: 10, Schema: record(property("name"), property("role"))}}
		}), []string{"mass-assignment"}},
		{"an unsigned token", operation("GET", "/x", apidiscovery.AuthBearer, func(o *apidiscovery.Operation) {
			o.Auth[0].Algs, o.Auth[0].Weak = []string{"none"}, []string{"has the algorithm none", "never expires"}
		}), []string{"weak-token", "weak-token"}},
		{"a token in the path", operation("GET", "/reset/{resetId}", apidiscovery.AuthNone, func(o *apidiscovery.Operation) {
			o.Params = []apidiscovery.Param{{In: "path", Name: "resetId", Count: 3, Schema: &apidiscovery.Schema{Types: []string{"string"}, Sensitive: []string{"jwt"}}}}
		}), []string{"secret-in-url"}},
		{"a token in the URL", operation("GET", "/x", apidiscovery.AuthBearer, func(o *apidiscovery.Operation) {
			o.Params = []apidiscovery.Param{{In: "query", Name: "access_token", Count: 3, Schema: &apidiscovery.Schema{Types: []string{"string"}}}, {In: "query", Name: "page_token", Count: 3}}
		}), []string{"secret-in-url"}},
	} {
		spec := apidiscovery.Spec{Service: "shop", Operations: append(slices.Clone(guarded), c.op)}
		var got []string
		for _, f := range Findings(spec, nil) {
			got = append(got, f.Rule)
			if f.ID != c.op.ID || f.Evidence == "" || f.Class == "" || f.Confidence == "" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Behind sidecars every exchange has a certificate: beside tokens it guards nothing.
func TestMissingAuthenticationInAMesh(t *testing.T) {
	also := func(kind string) func(*apidiscovery.Operation) {
		return func(o *apidiscovery.Operation) {
			o.Auth = append(o.Auth, apidiscovery.Auth{Kind: kind, Count: 10, Accepted: 10})
		}
	}
	both := operation("GET", "/accounts/{id}", apidiscovery.AuthBearer, also(apidiscovery.AuthMTLS))
	alone := operation("PUT", "/accounts/{id}", apidiscovery.AuthMTLS)
	for _, c := range []struct {
		name    string
		sibling apidiscovery.Operation
		op      apidiscovery.Operation
		want    bool
	}{
		{"no token where others have one", both, operation("GET", "/v0/accounts/{id}", apidiscovery.AuthMTLS), true},
		{"a token as the others", both, operation("GET", "/v0/accounts/{id}", apidiscovery.AuthBearer, also(apidiscovery.AuthMTLS)), false},
		{"another credential", both, operation("GET", "/v0/accounts/{id}", apidiscovery.AuthAPIKey, also(apidiscovery.AuthMTLS)), false},
		{"certificates are what the service asks for", alone, operation("GET", "/v0/accounts/{id}", apidiscovery.AuthMTLS), false},
		{"and one does not ask", alone, operation("GET", "/v0/accounts/{id}", apidiscovery.AuthNone), true},
	} {
		var got bool
		for _, f := range Findings(apidiscovery.Spec{Service: "shop", Operations: []apidiscovery.Operation{c.sibling, c.op}}, nil) {
			got = got || f.Rule == "missing-authentication" && f.ID == c.op.ID && f.Count == 10
		}
		if got != c.want {
			t.Errorf("%s: found %t", c.name, got)
		}
	}
}

func ask(w *Owners, caller, id uint64, status int) {
	w.Add(&exchange.Observation{Service: "shop", Method: "GET", Status: status, Caller: exchange.CallerSeen{Kind: "subject", Hash: caller},
		Segments: []exchange.Segment{{Value: exchange.Value{Kind: exchange.KindWord, Text: "orders"}}, {Value: exchange.Value{Kind: exchange.KindNumber, Hash: id}}}})
}

func TestObjectAuthorisation(t *testing.T) {
	op := operation("GET", "/orders/{id}", apidiscovery.AuthBearer)
	find := func(w *Owners) (where []string) {
		for _, f := range Findings(apidiscovery.Spec{Operations: []apidiscovery.Operation{op}}, w) {
			where = append(where, f.Where)
		}
		return where
	}
	own := func() *Owners {
		w := NewOwners()
		for caller := range uint64(20) {
			for k := range uint64(3) {
				ask(w, caller+1, 1000*(caller+1)+k, 200)
			}
		}
		return w
	}
	if got := find(own()); len(got) > 0 {
		t.Errorf("everybody sees his own: %v", got)
	}
	w := own()
	for id := range uint64(100) {
		ask(w, 99, 50000+id*7, 404)
	}
	if got := find(w); !slices.Equal(got, []string{"a caller that walks through ids"}) {
		t.Errorf("%v", got)
	}
	w = own()
	ask(w, 2, 1000, 200)
	if got := find(w); !slices.Equal(got, []string{"an object under two owners"}) {
		t.Errorf("%v", got)
	}
	w = NewOwners()
	for caller := range uint64(20) {
		for id := range uint64(30) {
			ask(w, caller+1, id, 200)
		}
	}
	if got := find(w); len(got) > 0 {
		t.Errorf("a catalogue is for everybody: %v", got)
	}
}

// Objects are found whatever the path around them looks like, and told apart by what
// stands before them.
func TestObjectsOfPaths(t *testing.T) {
	word := func(s string) exchange.Segment {
		return exchange.Segment{Value: exchange.Value{Kind: exchange.KindOf(s), Text: s, Hash: exchange.Key{}.Hash(s)}}
	}
	number := func(n uint64) exchange.Segment {
		return exchange.Segment{Value: exchange.Value{Kind: exchange.KindNumber, Hash: n}}
	}
	for template, path := range map[string]func(caller, id uint64) []exchange.Segment{
		"/3/films/{filmId}": func(_, id uint64) []exchange.Segment { return []exchange.Segment{word("3"), word("films"), number(id)} },
		"/oauth2/clients/{clientId}": func(_, id uint64) []exchange.Segment {
			return []exchange.Segment{word("oauth2"), word("clients"), number(id)}
		},
		"/users/{user}/orders/{orderId}": func(c, id uint64) []exchange.Segment {
			return []exchange.Segment{word("users"), word([]string{"anna", "bob"}[c%2]), word("orders"), number(id)}
		},
	} {
		w := NewOwners()
		send := func(caller, id uint64, status int) {
			w.Add(&exchange.Observation{Service: "shop", Method: "GET", Status: status, Caller: exchange.CallerSeen{Kind: "subject", Hash: caller}, Segments: path(caller, id)})
		}
		for caller := range uint64(20) {
			for k := range uint64(3) {
				send(caller+1, k+10*caller, 200)
			}
		}
		spec := apidiscovery.Spec{Operations: []apidiscovery.Operation{operation("GET", template, apidiscovery.AuthBearer), operation("GET", "/users/me/orders/{orderId}", apidiscovery.AuthBearer)}}
		if got := Findings(spec, w); len(got) > 0 {
			t.Errorf("%s: everybody sees his own: %+v", template, got)
		}
		for id := range uint64(100) {
			send(99, 5000+id*7, 404)
		}
		if got := Findings(spec, w); len(got) != 1 || got[0].ID != spec.Operations[0].ID {
			t.Errorf("%s: %+v", template, got)
		}
	}
}

// The hash that tells places of an array apart must not lose the first object.
func FuzzOwners(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := NewOwners()
		for i := 0; i+2 < len(b); i += 3 {
			ask(w, uint64(b[i]%4)+1, uint64(b[i+1]), 200+int(b[i+2]%5)*100)
		}
		Findings(apidiscovery.Spec{Operations: []apidiscovery.Operation{operation("GET", "/orders/{id}", apidiscovery.AuthBearer)}}, w)
	})
}
