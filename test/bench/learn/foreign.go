package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// foreign makes topologies by other rules than newTopology: roles in layers, few
// workloads, labels that people choose otherwise, edges that say little, and scans
// of other shapes. What was fitted to one of the two shows in the other.
type foreign struct {
	*topology
	silent bool // records carry neither answers nor bytes
}

var foreignSchemes = []string{"name-component-tier", "recommended", "unique-labels", "statefulset", "unlabelled", "role-only", "mixed", "env-only"}

func newForeign(seed uint64, spaces, size int) *foreign {
	f := &foreign{topology: &topology{Rand: rand.New(rand.NewPCG(seed, 77)), begin: time.Date(2026, 3, 8, 22, 10, 0, 0, time.UTC), address: 172<<24 | 16<<16}}
	f.scheme = foreignSchemes[seed%uint64(len(foreignSchemes))]
	f.length = []time.Duration{5 * time.Minute, time.Hour, 12 * time.Hour, 72 * time.Hour, 14 * 24 * time.Hour}[f.IntN(5)]
	f.answered = f.IntN(3) > 0
	f.silent = !f.answered && f.IntN(3) == 0
	for s := range spaces {
		first := len(f.roles)
		for n := range 2 + f.IntN(size) {
			f.layerRole(fmt.Sprintf("ns%d", s), n, max(1, f.IntN(8)-1))
		}
		f.layers(f.roles[first:])
	}
	if spaces > 1 {
		f.across(spaces)
	}
	f.edge()
	return f
}

var foreignWords = []string{"gateway", "frontend", "basket", "pricing", "postgres", "redis", "billing", "notify", "kafka", "login", "reports", "images", "quotes", "ledger"}

func (f *foreign) layerRole(space string, n, replicas int) {
	name := foreignWords[n%len(foreignWords)]
	if n >= len(foreignWords) {
		name += fmt.Sprint(n / len(foreignWords))
	}
	r := &role{id: len(f.roles), space: space, name: name, ports: []uint16{uint16(3000 + f.IntN(3)*1000 + n%3)}}
	hash := f.suffix(10)
	for i := range replicas {
		id := fmt.Sprintf("%s-%s-%s", name, hash, f.suffix(5))
		switch f.scheme {
		case "statefulset":
			id = fmt.Sprintf("%s-%d", name, i)
		case "unlabelled", "env-only":
			id = fmt.Sprintf("ip-10-2-%d-%d", f.address>>8&255, f.address&255)
		case "role-only":
			id = fmt.Sprintf("host%03d", f.address&4095)
		}
		r.replicas = append(r.replicas, &workload.Workload{ID: workload.ID{Namespace: space, Name: id}, Labels: f.labels(r, id, i, hash), Addresses: []netip.Addr{f.nextAddress()}})
	}
	f.roles = append(f.roles, r)
}

func (f *foreign) labels(r *role, id string, i int, hash string) workload.Labels {
	switch f.scheme {
	case "name-component-tier":
		return workload.Labels{"name": r.space + "-shop", "component": r.name, "tier": f.pick("front", "back")}
	case "recommended":
		return workload.Labels{"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": r.name, "app.kubernetes.io/instance": fmt.Sprintf("shop-%s", r.space), "app.kubernetes.io/version": "4.2", "pod-template-hash": hash}
	case "unique-labels":
		return workload.Labels{"app": r.name, "id": id, "serial": fmt.Sprint(1000 + f.IntN(9000)), "ip": fmt.Sprint("10-0-0-", f.IntN(250))}
	case "statefulset":
		return workload.Labels{"app": r.name, "statefulset.kubernetes.io/pod-name": id, "apps.kubernetes.io/pod-index": fmt.Sprint(i), "controller-revision-hash": r.name + "-" + hash}
	case "role-only":
		return workload.Labels{"role": r.name, "rack": fmt.Sprint("r", f.IntN(4))}
	case "mixed":
		if r.id%2 == 0 {
			return workload.Labels{"app": r.name, "pod-template-hash": hash}
		}
		return nil
	case "env-only":
		return workload.Labels{"env": "prod", "az": f.pick("1a", "1b")}
	}
	return nil
}

// layers connects each role to some below it.
func (f *foreign) layers(roles []*role) {
	protocols := []segmentation.Protocol{segmentation.TCP, segmentation.TCP, segmentation.TCP, segmentation.TCP, segmentation.UDP, segmentation.SCTP}
	used := map[[2]int]bool{}
	for i, r := range roles {
		for range 1 + f.IntN(3) {
			to := roles[f.IntN(len(roles))]
			if i < len(roles)-1 && f.IntN(4) > 0 {
				to = roles[i+1+f.IntN(len(roles)-i-1)]
			}
			if to == r || used[[2]int{r.id, to.id}] {
				continue
			}
			used[[2]int{r.id, to.id}] = true
			in := intent{src: r, dst: to, protocol: protocols[f.IntN(len(protocols))], port: to.ports[0], flows: f.rate() * float64(len(r.replicas)*len(to.replicas))}
			if f.IntN(6) == 0 {
				in.rare, in.flows = true, float64(1+f.IntN(3))
			}
			f.intents = append(f.intents, in)
		}
	}
}

// rate is flows of one pair of replicas.
func (f *foreign) rate() float64 { return []float64{12, 40, 300, 5000}[f.IntN(4)] }

func (f *foreign) across(spaces int) {
	for range spaces {
		a, b := f.roles[f.IntN(len(f.roles))], f.roles[f.IntN(len(f.roles))]
		if a.space != b.space && !f.intended(a, b, segmentation.TCP, b.ports[0]) {
			f.intents = append(f.intents, intent{src: a, dst: b, protocol: segmentation.TCP, port: b.ports[0], flows: f.rate() * float64(len(a.replicas)*len(b.replicas))})
		}
	}
}

// edge is what is outside: APIs whose names have several addresses, pings.
func (f *foreign) edge() {
	for i, r := range f.roles {
		if f.IntN(3) > 0 {
			continue
		}
		name := fmt.Sprintf("svc%d.partner.example", f.IntN(5))
		for a := range 1 + f.IntN(4) {
			f.intents = append(f.intents, intent{src: r, outside: segmentation.Outside(netip.AddrFrom4([4]byte{203, 0, 113, byte(4*i + a)}), name), protocol: segmentation.TCP, port: 443, flows: 60})
		}
		if f.IntN(3) == 0 {
			f.intents = append(f.intents, intent{src: r, outside: segmentation.Outside(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)})), protocol: segmentation.ICMP, flows: 50})
		}
	}
}

// observe is the records, in any order, an edge in several of them at times.
func (f *foreign) observe() []record {
	var out []record
	for _, r := range append(f.traffic(), f.scans()...) {
		if r.Flows > 8 && f.IntN(5) == 0 {
			out = append(out, f.halves(r)...)
			continue
		}
		out = append(out, r)
	}
	for n := range out {
		if f.silent {
			out[n].Bytes = 0
		}
	}
	return out
}

func (f *foreign) halves(r record) []record {
	a, b := r, r
	middle := r.First.Add(r.Last.Sub(r.First) / 2)
	a.Flows, a.Bytes, a.Last = r.Flows/2, r.Bytes/2, middle
	b.Flows, b.Bytes, b.First = r.Flows-a.Flows, r.Bytes-a.Bytes, middle
	if r.Answered != nil {
		x, y := a.Flows, b.Flows
		a.Answered, b.Answered = &x, &y
	}
	return []record{b, a}
}

// scans come from one replica, or from two of different roles: fast or slow, wide
// or deep, of all ports or only of those that somebody serves.
func (f *foreign) scans() (out []record) {
	all := f.all()
	for range 1 + f.IntN(2) {
		source := all[f.IntN(len(all))]
		from := f.roleOf(source)
		ports := []uint16{21, 22, 23, 80, 443, 3306, 8080}
		served := f.IntN(3) == 0 // finds out first what is open
		for _, r := range f.roles {
			if !slices.Contains(ports, r.ports[0]) {
				ports = append(ports, r.ports[0])
			}
		}
		step := []time.Duration{time.Millisecond, 400 * time.Millisecond, 20 * time.Second}[f.IntN(3)]
		at := f.begin.Add(time.Duration(f.Float64() * 0.8 * float64(f.length)))
		if f.IntN(3) == 0 {
			at, step = f.begin, f.length/time.Duration(len(all)*len(ports)+1)
		}
		f.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, target := range all {
			to := f.roleOf(target)
			if to == from {
				continue
			}
			for _, port := range ports {
				open := port == to.ports[0]
				if at = at.Add(step); f.intended(from, to, segmentation.TCP, port) || served && !open || at.After(f.begin.Add(f.length)) {
					continue
				}
				r := f.probe(source, target, port, at.Truncate(time.Second), open, true)
				if !open && f.IntN(3) == 0 { // tries again
					r.Flows = 3
				}
				out = append(out, r)
			}
		}
	}
	return out
}
