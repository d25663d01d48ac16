package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/controlplane/xds"
)

// EnvoyChange is one discovery resource that would change.
type EnvoyChange struct {
	Type   string      `json:"type" doc:"listener, route, cluster, endpoints, secret or extension"`
	Name   string      `json:"name"`
	Action ApplyAction `json:"action" enum:"created,updated,deleted"`
	Patch  string      `json:"patch,omitempty" doc:"unified diff of the resource as JSON; private keys are left out"`
}

// envoyChanges compares two snapshots. Both may be nil: nothing is served.
func envoyChanges(before, after *xds.Snapshot) ([]EnvoyChange, error) {
	old, err := dumped(before)
	if err != nil {
		return nil, err
	}
	now, err := dumped(after)
	if err != nil {
		return nil, err
	}
	changes := []EnvoyChange{}
	for _, k := range slices.SortedFunc(maps.Keys(merged(old, now)), envoyKey.compare) {
		b, hadBefore := old[k]
		c, hasAfter := now[k]
		if hadBefore && hasAfter && b == c {
			continue
		}
		change := EnvoyChange{Type: k.kind, Name: k.name, Action: Updated}
		switch {
		case !hadBefore:
			change.Action = Created
		case !hasAfter:
			change.Action = Deleted
		}
		name := k.kind + " " + k.name
		change.Patch = unified("before/"+name, []byte(b), "after/"+name, []byte(c), 1)
		changes = append(changes, change)
	}
	return changes, nil
}

type envoyKey struct{ kind, name string }

func (k envoyKey) compare(o envoyKey) int {
	return cmp.Or(cmp.Compare(k.kind, o.kind), cmp.Compare(k.name, o.name))
}

func merged(a, b map[envoyKey]string) map[envoyKey]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// dumped renders a snapshot with stable layout. JSON inside strings (filter
// tables) is opened up, so that a diff shows the line that changed.
func dumped(s *xds.Snapshot) (map[envoyKey]string, error) {
	texts := map[envoyKey]string{}
	if s == nil {
		return texts, nil
	}
	resources, err := s.Dump()
	if err != nil {
		return nil, err
	}
	for _, r := range resources {
		var tree any
		if err := json.Unmarshal(r.JSON, &tree); err != nil {
			return nil, fmt.Errorf("read %s %q: %w", r.Type, r.Name, err)
		}
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(opened(tree)); err != nil {
			return nil, fmt.Errorf("render %s %q: %w", r.Type, r.Name, err)
		}
		texts[envoyKey{r.Type, r.Name}] = out.String()
	}
	return texts, nil
}

// opened replaces strings that hold a JSON object by that object.
func opened(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = opened(v[k])
		}
	case []any:
		for i := range v {
			v[i] = opened(v[i])
		}
	case string:
		var inner map[string]any
		if strings.HasPrefix(v, "{") && json.Unmarshal([]byte(v), &inner) == nil {
			return opened(inner)
		}
	}
	return v
}
