package source

import (
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

func item(name string, origin Origin, file string, line int) Item {
	p := &v1alpha1.WAFPolicy{}
	p.Kind, p.APIVersion, p.Namespace, p.Name = v1alpha1.KindWAFPolicy, v1alpha1.APIVersion, "default", name
	return Item{Object: p, Origin: origin, File: file, Line: line}
}

func TestOwnership(t *testing.T) {
	s := Merge(
		NewSet([]Item{item("a", Flags, "", 1), item("b", Flags, "", 5)}, nil),
		NewSet([]Item{item("c", Store, "", 0), item("a", Store, "", 0)}, nil),
		NewSet([]Item{item("c", File, "y.yaml", 3), item("c", File, "x.yaml", 9)}, nil),
	)
	var got []string
	for _, i := range s.Items() {
		got = append(got, i.Object.GetName()+" "+string(i.Origin)+" "+i.File)
	}
	if text := strings.Join(got, "; "); text != "a store ; b flags ; c file x.yaml" {
		t.Errorf("got %q", text)
	}
	got = nil
	for _, c := range s.Conditions() {
		got = append(got, c.Key().String()+" "+c.Reason+": "+c.Message)
	}
	want := "WAFPolicy default/c NameTaken: is written twice: x.yaml:9 is used, y.yaml:3 is not; remove or rename one; " +
		"WAFPolicy default/c NameTaken: is written twice: x.yaml:9 is used, the one from store is not; remove or rename one"
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("got %q\nwant %q", text, want)
	}
	if _, ok := s.Get(v1alpha1.Key{Kind: v1alpha1.KindWAFPolicy, Namespace: "default", Name: "b"}); !ok {
		t.Error("b is not found")
	}
	if _, ok := s.Get(v1alpha1.Key{Kind: v1alpha1.KindWAFPolicy, Namespace: "default", Name: "z"}); ok {
		t.Error("z is found")
	}
}
