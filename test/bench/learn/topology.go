package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// role is what workloads are for: the truth that learning must find again.
type role struct {
	id        int
	space     string
	name      string
	replicas  []*workload.Workload
	ports     []uint16 // that it listens on
	scheduled bool     // runs now and then
}

// intent is a role that may talk to another, or to something outside.
type intent struct {
	src, dst *role
	outside  segmentation.Endpoint // when dst is nil
	protocol segmentation.Protocol
	port     uint16
	flows    float64 // expected in the observation, over all replicas
	rare     bool    // one pair of replicas, a few flows
	every    time.Duration
}

// topology is workloads with known intent.
type topology struct {
	*rand.Rand
	scheme   string
	roles    []*role
	intents  []intent
	begin    time.Time
	length   time.Duration
	answered bool // edges say how many flows were answered
	address  uint32
}

// schemes are how people label. The last two tell nothing by labels.
var schemes = []string{"kubernetes", "app", "team-tier", "opaque-names", "names-only", "nothing"}

const letters = "bcdfghjklmnpqrstvwxz2456789"

func (t *topology) suffix(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[t.IntN(len(letters))]
	}
	return string(b)
}

func (t *topology) pick(list ...string) string { return list[t.IntN(len(list))] }

// newTopology makes one. size is how many roles a namespace has at most.
func newTopology(seed uint64, spaces, size int) *topology {
	t := &topology{Rand: rand.New(rand.NewPCG(seed, 11)), begin: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), address: 10 << 24}
	t.scheme = schemes[seed%uint64(len(schemes))]
	t.length = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 6 * time.Hour}[t.IntN(3)]
	t.answered = t.IntN(3) > 0
	for s := range spaces {
		space := fmt.Sprintf("space-%d", s)
		for n := range 3 + t.IntN(size-2) {
			t.addRole(space, n)
		}
	}
	t.connect()
	return t
}

var words = []string{"web", "cart", "orders", "payments", "search", "mail", "users", "catalog", "stock", "prices", "media", "auth", "audit", "report", "export", "worker", "queue", "cache", "ledger", "geo"}

func (t *topology) addRole(space string, n int) {
	r := &role{id: len(t.roles), space: space, name: words[n%len(words)], scheduled: t.IntN(10) == 0}
	if n >= len(words) {
		r.name += fmt.Sprint("x", n/len(words))
	}
	for range 1 + t.IntN(2) {
		r.ports = append(r.ports, []uint16{80, 8080, 8443, 9000, 5432, 6379, 3306, 50051}[t.IntN(8)])
	}
	stateful := t.IntN(5) == 0
	hash := t.suffix(9)
	for i := range 1 + t.IntN(6) {
		w := &workload.Workload{ID: workload.ID{Namespace: space, Name: t.nameOf(r, i, stateful, hash)}, Labels: t.labelsOf(r, i, n, hash), Addresses: []netip.Addr{t.nextAddress()}}
		r.replicas = append(r.replicas, w)
	}
	t.roles = append(t.roles, r)
}

func (t *topology) nextAddress() netip.Addr {
	t.address++
	return netip.AddrFrom4([4]byte{byte(t.address >> 24), byte(t.address >> 16), byte(t.address >> 8), byte(t.address)})
}

func (t *topology) nameOf(r *role, i int, stateful bool, hash string) string {
	switch {
	case t.scheme == "opaque-names" || t.scheme == "nothing":
		return fmt.Sprintf("vm-%05d", t.address)
	case r.scheduled:
		return fmt.Sprintf("%s-%d-%s", r.name, 29370000+i*1440, t.suffix(5))
	case stateful:
		return fmt.Sprintf("%s-%d", r.name, i)
	}
	return fmt.Sprintf("%s-%s-%s", r.name, hash, t.suffix(5))
}

func (t *topology) labelsOf(r *role, i, n int, hash string) workload.Labels {
	zone := t.pick("a", "b", "c")
	switch t.scheme {
	case "kubernetes":
		return workload.Labels{
			"app.kubernetes.io/name": r.name, "app.kubernetes.io/instance": r.space + "-" + r.name, "app.kubernetes.io/part-of": r.space,
			"app.kubernetes.io/version": fmt.Sprintf("1.%d.0", t.IntN(3)), "app.kubernetes.io/managed-by": "Helm",
			"pod-template-hash": hash, "topology.kubernetes.io/zone": zone,
		}
	case "app":
		return workload.Labels{"app": r.name, "env": "prod", "zone": zone, "pod-template-hash": hash, "track": t.pick("stable", "stable", "canary")}
	case "team-tier":
		// Only both together say what it is.
		return workload.Labels{"team": fmt.Sprint("team-", n/3), "tier": []string{"front", "back", "data"}[n%3], "owner": t.pick("ann", "bob"), "env": "prod"}
	case "opaque-names":
		return workload.Labels{"svc": r.name, "zone": zone, "serial": fmt.Sprintf("%08x", t.Uint32())}
	case "nothing":
		return workload.Labels{"env": "prod"}
	}
	return nil
}

// connect makes a call graph with a few deep chains, shared services that
// everybody uses, and the world outside.
func (t *topology) connect() {
	zipf := func(rank int) float64 { return 200_000 / math.Pow(float64(rank+1), 1.1) }
	rank := 0
	for i, r := range t.roles {
		for range 1 + t.IntN(3) {
			to := t.roles[t.IntN(len(t.roles))]
			if t.IntN(10) < 7 { // mostly at home
				to = t.roles[max(0, min(len(t.roles)-1, i+t.IntN(7)-3))]
			}
			if to == r {
				continue
			}
			in := intent{src: r, dst: to, protocol: segmentation.TCP, port: to.ports[t.IntN(len(to.ports))], flows: 400 + zipf(t.IntN(rank+40))}
			if r.scheduled {
				in.every, in.flows = 24*time.Hour, 30
			} else if t.IntN(5) == 0 {
				in.rare, in.flows = true, float64(1+t.IntN(3))
			}
			t.intents = append(t.intents, in)
			rank++
		}
	}
	t.sharedServices()
	t.outside()
}

// sharedServices are legitimate fan-out and fan-in: monitoring that scrapes
// everything, DNS, a log collector.
func (t *topology) sharedServices() {
	home := &role{id: len(t.roles), space: "platform", name: "prometheus"}
	dns := &role{id: len(t.roles) + 1, space: "platform", name: "dns", ports: []uint16{53}}
	logs := &role{id: len(t.roles) + 2, space: "platform", name: "logs", ports: []uint16{24224}}
	for n, r := range []*role{home, dns, logs} {
		hash := t.suffix(9)
		for i := range 1 + n {
			r.replicas = append(r.replicas, &workload.Workload{ID: workload.ID{Namespace: "platform", Name: t.nameOf(r, i, n == 0, hash)}, Labels: t.labelsOf(r, i, n, hash), Addresses: []netip.Addr{t.nextAddress()}})
		}
	}
	for _, r := range t.roles {
		scrapes := t.length.Minutes() * float64(len(r.replicas))
		t.intents = append(t.intents,
			intent{src: home, dst: r, protocol: segmentation.TCP, port: 9090, flows: scrapes},
			intent{src: r, dst: dns, protocol: segmentation.UDP, port: 53, flows: 2000},
			intent{src: r, dst: logs, protocol: segmentation.TCP, port: 24224, flows: 300})
	}
	t.roles = append(t.roles, home, dns, logs)
}

func (t *topology) outside() {
	for i, r := range t.roles {
		if t.IntN(4) == 0 {
			name := fmt.Sprintf("api-%d.example.com", t.IntN(8))
			t.intents = append(t.intents, intent{src: r, outside: segmentation.Outside(netip.AddrFrom4([4]byte{192, 0, 2, byte(len(name) + i)}), name), protocol: segmentation.TCP, port: 443, flows: 500})
		}
		if t.IntN(8) == 0 {
			t.intents = append(t.intents, intent{src: r, outside: segmentation.Outside(netip.AddrFrom4([4]byte{198, 51, 100, byte(t.IntN(250))})), protocol: segmentation.TCP, port: 5432, flows: 400})
		}
	}
}

// all lists the workloads.
func (t *topology) all() (out []*workload.Workload) {
	for _, r := range t.roles {
		out = append(out, r.replicas...)
	}
	return out
}
