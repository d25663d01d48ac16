package learn

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/workload"
)

// atom is workloads that nothing lasting tells apart: one namespace, equal stable
// labels, one base name. Grouping only ever joins atoms, or falls back to single
// workloads where an atom has nothing but a namespace in common.
type atom struct {
	namespace string
	labels    workload.Labels
	base      string
	members   []int32 // workloads
}

// atoms partitions all workloads.
func (l *Learner) atoms() (list []*atom, of []int32) {
	number := map[string]int{}
	of = make([]int32, len(l.workloads))
	labels := l.lasting()
	for i, w := range l.workloads {
		a := &atom{namespace: w.ID.Namespace, labels: labels[i], base: baseName(w.ID.Name)}
		key := a.namespace + "|" + a.base + "|" + a.labels.String()
		n, known := number[key]
		if !known {
			n = len(list)
			number[key] = n
			list = append(list, a)
		}
		list[n].members = append(list[n].members, int32(i))
		of[i] = int32(n)
	}
	return list, of
}

// lasting are the labels of all workloads that do not tell replicas apart: not by
// their names, nor by values that are made by machines, nor by a value of its own
// for nearly every workload. A label goes for all of a namespace or for none: what
// one workload carries and another does not must be so.
func (l *Learner) lasting() []workload.Labels {
	type label struct{ namespace, name string }
	carriers, made, values := map[label]int{}, map[label]int{}, map[label]map[string]bool{}
	for _, w := range l.workloads {
		for name, v := range w.Labels {
			k := label{w.ID.Namespace, name}
			carriers[k]++
			word := saysWhat(name) && len(v) < shortestHash && !strings.Contains(v, "-")
			if !word && volatileValue(v, w.ID.Name) {
				made[k]++
			}
			if values[k] == nil {
				values[k] = map[string]bool{}
			}
			values[k][v] = true
		}
	}
	unique := func(k label) bool { return carriers[k] >= 4 && 5*len(values[k]) >= 4*carriers[k] }
	told := map[string]bool{} // namespaces with a label that says what workloads are, not which
	for k := range carriers {
		told[k.namespace] = told[k.namespace] || saysWhat(k.name) && carriers[k] >= 4 && !unique(k)
	}
	out := make([]workload.Labels, len(l.workloads))
	for i, w := range l.workloads {
		out[i] = workload.Labels{}
		for name, v := range w.Labels {
			k := label{w.ID.Namespace, name}
			if volatileLabels[name] || 2*made[k] > carriers[k] || unique(k) && (!saysWhat(name) || told[k.namespace]) {
				continue
			}
			out[i][name] = v
		}
	}
	return out
}

// preference ranks label names by how often people use them for what a workload
// is; smaller is better.
func preference(label string) int {
	order := []string{
		"app.kubernetes.io/name", "app", "k8s-app", "application", "app.kubernetes.io/component", "component", "service", "svc",
		"role", "workload", "name", "tier", "app.kubernetes.io/instance", "team", "app.kubernetes.io/part-of",
	}
	if n := slices.Index(order, label); n >= 0 {
		return n
	}
	nuisance := []string{"env", "environment", "stage", "track", "version", "release", "zone", "topology.kubernetes.io/zone", "region", "topology.kubernetes.io/region", "az", "availability-zone", "datacenter", "dc", "rack", "cluster", "os", "arch", "instance-type", "nodepool", "node", "owner", "cost-center"}
	if n := slices.Index(nuisance, label); n >= 0 {
		return 200 + n
	}
	return 100
}

// saysWhat says whether people use a label for what a workload is.
func saysWhat(label string) bool { return preference(label) < 100 }

// byPreference orders label names, best first.
func byPreference(a, b string) int {
	return cmp.Or(cmp.Compare(preference(a), preference(b)), cmp.Compare(a, b))
}
