package yamledit

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestMergeKeepsWhatTheAuthorWrote(t *testing.T) {
	for name, c := range map[string]struct{ before, after, want string }{
		"a value": {
			"# the shop's\nkind: WAFPolicy # ours\nspec:\n  # not yet\n  mode: detect\n  paranoiaLevel: 1 # enough\n",
			"kind: WAFPolicy\nspec:\n  mode: block\n  paranoiaLevel: 1\n",
			"# the shop's\nkind: WAFPolicy # ours\nspec:\n  # not yet\n  mode: block\n  paranoiaLevel: 1 # enough\n",
		},
		"another order, a key less and a key more": {
			"spec:\n  b: 2 # two\n  a: 1 # one\n  c: 3\n",
			"spec:\n  a: 1\n  b: 2\n  d: 4 # new\n",
			"spec:\n  b: 2 # two\n  a: 1 # one\n  d: 4 # new\n",
		},
		"a newer comment wins": {"a: 1 # old\n", "a: 2 # new\n", "a: 2 # new\n"},
		"list items that moved": {
			"list:\n  # first\n  - {name: x, v: 1}\n  - {name: y, v: 2} # why\n",
			"list:\n- name: y\n  v: 2\n- name: x\n  v: 3\n- name: z\n",
			"list:\n  - {name: y, v: 2} # why\n  # first\n  - {name: x, v: 3}\n  - name: z\n",
		},
		"flow": {"metadata: {name: shop} # short\n", "metadata: {name: shop, labels: {a: b}}\n", "metadata: {name: shop, labels: {a: b}} # short\n"},
		"a text in a flow mapping": {"spec: {mode: detect}\n", "spec:\n  rules:\n  - |\n    SecAction \"id:1\"\n",
			"spec:\n  rules:\n    - |\n      SecAction \"id:1\"\n"},
		"another kind of value": {"a: 1 # one\n", "a:\n  b: 1\n", "# one\na:\n  b: 1\n"},
	} {
		got, err := Merge([]byte(c.before), []byte(c.after))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(c.want, string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	for _, bad := range []string{"", "- a", "a: &x 1\nb: *x", "a: ]"} {
		if _, err := Merge([]byte(bad), []byte("a: 1")); err == nil {
			t.Errorf("%q was merged", bad)
		}
	}
}

// Whatever the texts, the result says what the second does.
func FuzzMerge(f *testing.F) {
	f.Add("a: 1 # x\nb: [1, {c: d}]\n", "b: [{c: d}, 2]\na: {x: y}\n")
	f.Add("spec: {mode: detect}\n", "spec:\n  rules:\n  - |\n    a\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		got, err := Merge([]byte(before), []byte(after))
		if err != nil {
			return
		}
		var want, have any
		if err := yaml.Unmarshal([]byte(after), &want); err != nil {
			return // a key twice, or a tag that is none
		}
		if err := yaml.Unmarshal(got, &have); err != nil {
			t.Fatalf("%q with %q gives %q: %v", before, after, got, err)
		}
		if !reflect.DeepEqual(want, have) {
			t.Fatalf("%q with %q gives %q", before, after, got)
		}
	})
}
