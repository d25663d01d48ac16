package workload

import "testing"

func TestParseID(t *testing.T) {
	if id, err := ParseID("shop/cart"); err != nil || id != (ID{"shop", "cart"}) || id.String() != "shop/cart" {
		t.Errorf("shop/cart: %v, %v", id, err)
	}
	for _, bad := range []string{"", "cart", "/cart", "shop/", "a/b/c"} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("%q is read as %v", bad, id)
		}
	}
}

func TestSelectorMatches(t *testing.T) {
	web := Labels{"app": "web", "tier": "front"}
	for _, c := range []struct {
		text string
		r    Requirement
		want bool
	}{
		{"app=web", Requirement{"app", In, []string{"web"}}, true},
		{"app in (api,web)", Requirement{"app", In, []string{"api", "web"}}, true},
		{"app=api", Requirement{"app", In, []string{"api"}}, false},
		{"zone=a", Requirement{"zone", In, []string{"a"}}, false},
		{"app notin (web)", Requirement{"app", NotIn, []string{"web"}}, false},
		{"app notin (api)", Requirement{"app", NotIn, []string{"api"}}, true},
		{"zone notin (a)", Requirement{"zone", NotIn, []string{"a"}}, true},
		{"app", Requirement{"app", Exists, nil}, true},
		{"zone", Requirement{"zone", Exists, nil}, false},
		{"!app", Requirement{"app", DoesNotExist, nil}, false},
		{"!zone", Requirement{"zone", DoesNotExist, nil}, true},
		{"app", Requirement{"app", "Near", nil}, false},
	} {
		s := Selector{[]Requirement{c.r}}
		if s.Matches(web) != c.want || s.String() != c.text {
			t.Errorf("%q (want %q) matches %v: %v", s, c.text, web, !c.want)
		}
	}
	if !(Selector{}).Matches(nil) || !(Selector{}).Empty() {
		t.Error("the zero selector must pick everything")
	}
	if both := MatchLabels(web); !both.Matches(web) || both.Matches(Labels{"app": "web"}) || both.String() != "app=web,tier=front" {
		t.Errorf("all requirements must hold: %s", both)
	}
}

func TestSelectorCheck(t *testing.T) {
	for _, r := range []Requirement{
		{"app", In, nil}, {"app", NotIn, nil}, {"app", Exists, []string{"x"}}, {"app", DoesNotExist, []string{"x"}}, {"app", "Near", nil}, {"", Exists, nil},
	} {
		if (Selector{[]Requirement{r}}).Check() == nil {
			t.Errorf("%+v passes", r)
		}
	}
	if err := MatchLabels(Labels{"a": "b"}).Check(); err != nil {
		t.Error(err)
	}
}

// Different labels must never share a text: identities are told apart by it.
func TestIdentityKey(t *testing.T) {
	seen := map[string]int{}
	for n, i := range []Identity{
		{Namespace: "a"},
		{Namespace: "a", Name: "x"},
		{Namespace: "a", Labels: Labels{"x": "1,y=2"}},
		{Namespace: "a", Labels: Labels{"x": "1", "y": "2"}},
		{Namespace: "a", NamespaceLabels: Labels{"x": "1", "y": "2"}},
		{Namespace: "a", Labels: Labels{"x": "1|"}},
		{Namespace: "a", Labels: Labels{"x": "1"}},
		{Namespace: "a", Ports: []Port{{"http", 6, 80}}},
		{Namespace: "a", Ports: []Port{{"http", 17, 80}}},
		{Namespace: "a", Ports: []Port{{"http:6", 17, 80}}},
		{Namespace: "a|"},
	} {
		if other, twice := seen[i.Key()]; twice {
			t.Errorf("identities %d and %d share the key %q", other, n, i.Key())
		}
		seen[i.Key()] = n
	}
	one := Identity{Ports: []Port{{"a", 6, 1}, {"b", 6, 2}}}
	two := Identity{Ports: []Port{{"b", 6, 2}, {"a", 6, 1}, {"a", 6, 1}}}
	if one.Key() != two.Key() {
		t.Errorf("order matters: %q, %q", one.Key(), two.Key())
	}
}

func TestParseSelector(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "",
		" app=web ":                              "app=web",
		"app==web,tier in (a, b),z notin (c)":    "app=web,tier in (a,b),z notin (c)",
		"a.b/c=d,debug,!canary,x!=y":             "a.b/c=d,debug,!canary,x notin (y)",
		"app=":                                   "app=",
		"kubernetes.io/metadata.name in (x,y-z)": "kubernetes.io/metadata.name in (x,y-z)",
	} {
		s, err := ParseSelector(text)
		if err != nil || s.String() != want {
			t.Errorf("%q is read as %q, %v", text, s, err)
		}
	}
	for _, bad := range []string{"=x", ",", "a in (b", "a b", "a in b)", "!", "a=b=c"} {
		if s, err := ParseSelector(bad); err == nil {
			t.Errorf("%q is read as %q", bad, s)
		}
	}
}

func FuzzParseSelector(f *testing.F) {
	f.Add("app=web,tier in (a,b),z notin (c),debug,!canary")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			return
		}
		again, err := ParseSelector(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is written as %q and read as %q, %v", text, s, again, err)
		}
	})
}

func TestSplit(t *testing.T) {
	s := Selector{Requirements: []Requirement{
		{"app", In, []string{"a"}}, {"tier", In, []string{"x", "y"}}, {"app", In, []string{"b"}}, {"old", NotIn, []string{"z"}},
	}}
	equal, rest := s.Split()
	if len(equal) != 1 || equal["app"] != "a" {
		t.Errorf("equal %v", equal)
	}
	if len(rest) != 3 || rest[0].Label != "tier" || rest[1].Values[0] != "b" || rest[2].Label != "old" {
		t.Errorf("rest %v", rest)
	}
	if equal, rest := (Selector{}).Split(); equal != nil || rest != nil {
		t.Errorf("nothing splits into %v and %v", equal, rest)
	}
}
