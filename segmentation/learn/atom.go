package learn

import (
	"cmp"
	"fmt"
	"maps"
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
	machines  bool    // base is what numbered machines are called
	members   []int32 // workloads
}

// atoms partitions all workloads.
func (l *Learner) atoms() (list []*atom, of []int32) {
	number := map[string]int{}
	of = make([]int32, len(l.workloads))
	labels, numbered := l.lasting(), l.numbered()
	for i, w := range l.workloads {
		a := &atom{namespace: w.ID.Namespace, labels: labels[i], base: baseName(w.ID.Name)}
		if word := machineWord(w.ID.Name); word != "" && numbered[a.namespace] {
			a.base, a.machines = word, true
		}
		key := fmt.Sprintf("%s|%s|%v|%s", a.namespace, a.base, a.machines, a.labels)
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

// numbered are the namespaces in which most names are those of numbered machines:
// srv01 and srv02 may be anything.
func (l *Learner) numbered() map[string]bool {
	type stem struct{ namespace, word string }
	all, machines := map[string]int{}, map[stem]int{}
	for _, w := range l.workloads {
		all[w.ID.Namespace]++
		if word := machineWord(w.ID.Name); word != "" {
			machines[stem{w.ID.Namespace, word}]++
		}
	}
	shared := map[string]int{}
	for k, n := range machines {
		if n > 1 {
			shared[k.namespace] += n
		}
	}
	out := map[string]bool{}
	for namespace, n := range shared {
		out[namespace] = 2*n > all[namespace]
	}
	return out
}

// lasting are the labels of all workloads that do not tell replicas apart: not by
// their names, nor by values that are made by machines, nor by a value of its own
// for nearly every workload. A label goes for all of a namespace or for none: what
// one workload carries and another does not must be so.
func (l *Learner) lasting() []workload.Labels {
	type label struct{ namespace, name string }
	carriers, made, values := map[label]int{}, map[label]int{}, map[label]map[string]bool{}
	serial := l.serial()
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
			if volatileLabels[name] || 2*made[k] > carriers[k] || serial[name] || unique(k) && (!saysWhat(name) || told[k.namespace]) {
				continue
			}
			out[i][name] = v
		}
	}
	return out
}

// serial are the labels whose values are another label's and a number: web-01 and
// web-02 of a group web.
func (l *Learner) serial() map[string]bool {
	type value struct{ namespace, text string }
	names := map[string]bool{}
	for _, w := range l.workloads {
		for name := range w.Labels {
			names[name] = true
		}
	}
	out := map[string]bool{}
	for name := range names {
		carriers, values, bases := 0, map[value]bool{}, map[value]bool{}
		for _, w := range l.workloads {
			if v, there := w.Labels[name]; there {
				carriers++
				values[value{w.ID.Namespace, v}], bases[value{w.ID.Namespace, baseName(v)}] = true, true
			}
		}
		if carriers < 4 || 5*len(values) < 4*carriers || 5*len(bases) >= 4*carriers {
			continue
		}
		for other := range names {
			if other != name && l.says(other, name, len(bases)) {
				out[name] = true
			}
		}
	}
	return out
}

// says whether a label tells apart just what the values of another do without their
// numbers, of which there are so many in all namespaces.
func (l *Learner) says(label, of string, bases int) bool {
	type value struct{ namespace, text string }
	meant, values, several := map[value]string{}, map[value]bool{}, map[string]int{}
	for _, w := range l.workloads {
		numbered, there := w.Labels[of]
		if !there {
			continue
		}
		v, there := w.Labels[label]
		k := value{w.ID.Namespace, baseName(numbered)}
		before, known := meant[k]
		if !there || known && before != v {
			return false
		}
		meant[k] = v
		if !values[value{w.ID.Namespace, v}] {
			values[value{w.ID.Namespace, v}] = true
			several[w.ID.Namespace]++
		}
	}
	return len(values) == bases && slices.ContainsFunc(slices.Collect(maps.Values(several)), func(n int) bool { return n > 1 })
}

// preference ranks label names by how often people use them for what a workload
// is; smaller is better. A prefix says who named it, and a capital letter nothing.
func preference(label string) int {
	label = strings.ToLower(label)
	if n := rank(label); n != unranked {
		return n
	}
	return rank(label[strings.LastIndexAny(label, "./")+1:])
}

// unranked is between the labels that say what a workload is and those that do not.
const unranked = 100

func rank(label string) int {
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
	return unranked
}

// saysWhat says whether people use a label for what a workload is.
func saysWhat(label string) bool { return preference(label) < unranked }

// byPreference orders label names, best first.
func byPreference(a, b string) int {
	return cmp.Or(cmp.Compare(preference(a), preference(b)), cmp.Compare(a, b))
}
