package learn

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

var day0 = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// world is web → cart → db, three replicas each, with labels that replicas differ
// in, over two days.
type world struct {
	workloads []*workload.Workload
	edges     []segmentation.Edge
}

func newWorld() *world {
	w := &world{}
	for r, role := range []string{"web", "cart", "db", "job"} {
		for i := range 3 {
			w.workloads = append(w.workloads, &workload.Workload{
				ID:        workload.ID{Namespace: "shop", Name: fmt.Sprintf("%s-7f9c6d5b8-x%dx2z", role, i+4)},
				Labels:    workload.Labels{"app": role, "pod-template-hash": "7f9c6d5b8", "zone": string(rune('a' + i)), "env": "prod"},
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(r), byte(i + 1)})},
				Ports:     []workload.Port{{Name: "main", Protocol: 6, Number: uint16(8000 + r)}},
			})
		}
	}
	for i := range 3 {
		for j := range 3 {
			w.add(w.of("web", i), segmentation.At(w.of("cart", j)), 8001, 500, 0, 48*time.Hour)
			w.add(w.of("cart", i), segmentation.At(w.of("db", j)), 8002, 300, 0, 48*time.Hour)
		}
		w.add(w.of("web", i), segmentation.Outside(netip.MustParseAddr("192.0.2.1"), "api.example.com"), 443, 40, time.Hour, 47*time.Hour)
	}
	return w
}

func (w *world) of(role string, i int) *workload.Workload {
	for _, x := range w.workloads {
		if x.Labels["app"] == role {
			if i == 0 {
				return x
			}
			i--
		}
	}
	return nil
}

func (w *world) add(src *workload.Workload, dst segmentation.Endpoint, port uint16, flows uint64, from, to time.Duration) *segmentation.Edge {
	answered := flows
	w.edges = append(w.edges, segmentation.Edge{
		Src: segmentation.At(src), Dst: dst, Protocol: segmentation.TCP, Port: port, Flows: flows, Answered: &answered, Bytes: 1000 * flows,
		First: day0.Add(from), Last: day0.Add(to),
	})
	return &w.edges[len(w.edges)-1]
}

func (w *world) learn() Draft {
	l := New(w.workloads, Options{Mode: segmentation.Enforce})
	for i := range w.edges {
		l.Add(&w.edges[i])
	}
	return l.Propose()
}

func (d *Draft) policies() (out []segmentation.Policy) {
	for _, p := range d.Proposals {
		out = append(out, p.Policy)
	}
	return out
}

func (d *Draft) allows(src *workload.Workload, dst segmentation.Endpoint, port uint16) bool {
	v, _ := segmentation.Evaluate(d.policies(), segmentation.Flow{Src: segmentation.At(src), Dst: dst, Protocol: segmentation.TCP, Port: port})
	return v == segmentation.Allowed
}

func TestLabelsThatLast(t *testing.T) {
	d := newWorld().learn()
	var selects []string
	for _, p := range d.Proposals {
		selects = append(selects, p.Policy.Subject.String())
		if !p.Policy.Ingress.Governed || !p.Policy.Egress.Governed {
			t.Errorf("%s is not selected in both directions", p.Policy.Name)
		}
	}
	want := []string{"namespace shop, app=cart", "namespace shop, app=db", "namespace shop, app=job", "namespace shop, app=web"}
	if diff := cmp.Diff(want, selects); diff != "" {
		t.Errorf("selectors (-want +got):\n%s", diff)
	}
	if p := d.Proposals[0].Policy; p.Ingress.List[0].Ports[0].Name != "main" {
		t.Errorf("the port is not named: %v", p.Ingress.List[0].Ports)
	}
	if c := d.Proposals[2].Completeness; c.Unseen != 1 || c.High != 1 {
		t.Errorf("nothing was seen of job, and it is said to be %+v", c)
	}
	name := d.Proposals[3].Policy.Egress.List[0].Peers[0].Name
	if name == nil || name.Pattern != "api.example.com" || len(name.Addresses) != 1 {
		t.Errorf("what is outside is not known by name: %+v", d.Proposals[3].Policy.Egress.List[0].Peers)
	}
}

func TestRareIsLearnedAndSaid(t *testing.T) {
	w := newWorld()
	w.add(w.of("job", 1), segmentation.At(w.of("db", 2)), 8002, 1, 20*time.Hour, 20*time.Hour)
	d := w.learn()
	if !d.allows(w.of("job", 1), segmentation.At(w.of("db", 2)), 8002) || len(d.Anomalies) > 0 {
		t.Errorf("a job that one pair ran once is not learned: %+v", d.Anomalies)
	}
	rules, side := d.Proposals[1].Policy.Ingress.List, d.Proposals[1].Ingress
	if len(rules) != 2 || side.Evidence[0].Rare != "" || side.Evidence[1].Rare != "1 flow only" {
		t.Errorf("%+v", side.Evidence)
	}
}

func TestScansAreShownApart(t *testing.T) {
	w := newWorld()
	n := 0
	for _, to := range w.workloads[3:] {
		for _, port := range []uint16{22, 80, 8002, 8003} {
			e := w.add(w.of("web", 0), segmentation.At(to), port, 1, 30*time.Hour+time.Duration(n)*time.Second, 30*time.Hour+time.Duration(n)*time.Second)
			if n++; port != 8002 || to.Labels["app"] != "db" {
				silent := uint64(0)
				e.Answered = &silent
			}
		}
	}
	d := w.learn()
	if len(d.Anomalies) != 1 || d.Anomalies[0].Source.Workload != w.of("web", 0) || d.Anomalies[0].Shape != FanOut {
		t.Fatalf("%+v", d.Anomalies)
	}
	if d.allows(w.of("web", 0), segmentation.At(w.of("db", 0)), 8002) {
		t.Error("what the scan found open was learned")
	}
	if !d.allows(w.of("web", 0), segmentation.At(w.of("cart", 0)), 8001) {
		t.Error("what the scanner is for was not learned")
	}
}

func TestUnansweredIsNoEvidence(t *testing.T) {
	w := newWorld()
	silent := uint64(0)
	w.add(w.of("job", 0), segmentation.At(w.of("web", 0)), 8000, 100, 0, 40*time.Hour).Answered = &silent
	d := w.learn()
	if d.allows(w.of("job", 0), segmentation.At(w.of("web", 0)), 8000) || d.Observation.Unanswered != 1 {
		t.Errorf("%+v", d.Observation)
	}
}

func TestNewAfterStability(t *testing.T) {
	w := newWorld()
	w.add(w.of("cart", 0), segmentation.At(w.of("job", 0)), 8003, 9, 47*time.Hour+40*time.Minute, 48*time.Hour)
	d := w.learn()
	if len(d.Anomalies) != 1 || d.Anomalies[0].Shape != LateNew || d.allows(w.of("cart", 0), segmentation.At(w.of("job", 0)), 8003) {
		t.Errorf("%+v", d.Anomalies)
	}
}

// Monitoring talks to everything, and is no scan.
func TestScrapingIsLegitimate(t *testing.T) {
	w := newWorld()
	prom := &workload.Workload{ID: workload.ID{Namespace: "mon", Name: "prometheus-0"}, Labels: workload.Labels{"app": "prometheus"}, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}
	w.workloads = append(w.workloads, prom)
	for _, to := range w.workloads[:12] {
		w.add(prom, segmentation.At(to), 9090, 2880, 0, 48*time.Hour)
	}
	if d := w.learn(); len(d.Anomalies) > 0 || !d.allows(prom, segmentation.At(w.of("job", 2)), 9090) {
		t.Errorf("%+v", d.Anomalies)
	}
}

// Order must not matter, nor in how many records an edge comes.
func TestOrderDoesNotMatter(t *testing.T) {
	w := newWorld()
	w.add(w.of("job", 1), segmentation.At(w.of("db", 2)), 8002, 1, 20*time.Hour, 20*time.Hour)
	for i := range 40 {
		w.add(w.of("web", 1), segmentation.Outside(netip.AddrFrom4([4]byte{198, 51, 100, byte(i * 3)})), 443, 2, time.Duration(i)*time.Hour, time.Duration(i)*time.Hour)
		w.add(w.of("cart", i%3), segmentation.At(w.of("db", i%2)), 8002, 3, time.Duration(i)*time.Hour, time.Duration(i+1)*time.Hour)
	}
	want := fmt.Sprintf("%+v", describe(w.learn()))
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		r.Shuffle(len(w.edges), func(i, j int) { w.edges[i], w.edges[j] = w.edges[j], w.edges[i] })
		r.Shuffle(len(w.workloads), func(i, j int) { w.workloads[i], w.workloads[j] = w.workloads[j], w.workloads[i] })
		if got := fmt.Sprintf("%+v", describe(w.learn())); got != want {
			t.Fatalf("seed %d: %s", seed, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
		}
	}
}

// describe is all that a draft says, as text.
func describe(d Draft) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v\n", d.Observation)
	for i := range d.Proposals {
		p := &d.Proposals[i]
		fmt.Fprintf(&b, "%s %s %v %+v\n", p.Policy.Name, &p.Policy.Subject, p.Members, p.Completeness)
		for _, dir := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
			for n := range p.Policy.In(dir).List {
				fmt.Fprintf(&b, "  %s %s: %+v\n", dir, ruleText(&p.Policy.In(dir).List[n]), p.In(dir).Evidence[n])
			}
		}
	}
	for _, a := range d.Anomalies {
		fmt.Fprintf(&b, "%s %s %s %v\n", a.Shape, endText(a.Source), a.Why, len(a.Edges))
	}
	return b.String()
}

// amended is what edges add to policies.
func (w *world) amended(base []segmentation.Policy) (*Usage, Draft) {
	use := NewUsage(base, w.workloads)
	l := New(w.workloads, Options{Mode: segmentation.Enforce})
	for i := range w.edges {
		l.AddKnown(&w.edges[i], use.Add(&w.edges[i]))
	}
	d := l.Propose()
	d.OnlyRules(base)
	return use, d
}

func TestAmend(t *testing.T) {
	w := newWorld()
	base := w.learn()
	w.edges = slices.DeleteFunc(w.edges, func(e segmentation.Edge) bool { return e.Dst.Workload == nil })
	w.add(w.of("job", 1), segmentation.At(w.of("db", 2)), 8002, 50, 0, 40*time.Hour)
	use, more := w.amended(base.policies())
	if use.Known() != 18 || len(more.Proposals) != 2 {
		t.Fatalf("%d known, %d proposals", use.Known(), len(more.Proposals))
	}
	for _, p := range more.Proposals {
		if len(p.Policy.Ingress.List)+len(p.Policy.Egress.List) != 1 || !strings.HasSuffix(p.Policy.Name.Name, "-more") {
			t.Errorf("%+v", p.Policy)
		}
	}
	if unused := use.Unused(); len(unused) != 1 || unused[0].String() != "SegmentationPolicy shop/web egress[0]: no edge used it" {
		t.Errorf("unused: %v", unused)
	}
	// The next amendment does not take the place of this one.
	base.Proposals = append(base.Proposals, more.Proposals...)
	w.add(w.of("job", 1), segmentation.At(w.of("db", 2)), 8003, 2, 0, 40*time.Hour)
	_, more = w.amended(base.policies())
	if len(more.Proposals) != 2 || more.Proposals[0].Policy.Name.Name != "db-more-2" || more.Proposals[1].Policy.Name.Name != "job-more-2" {
		t.Errorf("%+v", more.policies())
	}
}

// What policies allow already still tells who is who, and what is new.
func TestAmendingSeesEverything(t *testing.T) {
	w := newWorld()
	for n, x := range w.workloads {
		x.Labels = workload.Labels{"team": []string{"a", "b"}[n/3%2], "tier": []string{"front", "back"}[n/6]}
	}
	of := func(role, i int) *workload.Workload { return w.workloads[3*role+i] }
	base := w.learn()
	if d := w.learn(); d.allows(of(1, 0), segmentation.At(of(3, 0)), 8003) {
		t.Fatal("the base allows what is to be new")
	}
	w.add(of(1, 0), segmentation.At(of(3, 0)), 8003, 40, 5*time.Hour, 40*time.Hour)
	_, more := w.amended(base.policies())
	both := append(base.policies(), more.policies()...)
	verdict := func(src, dst *workload.Workload) segmentation.Verdict {
		v, _ := segmentation.Evaluate(both, segmentation.Flow{Src: segmentation.At(src), Dst: segmentation.At(dst), Protocol: segmentation.TCP, Port: 8003})
		return v
	}
	if verdict(of(1, 1), of(3, 2)) != segmentation.Allowed {
		t.Error("what is new is not allowed")
	}
	if verdict(of(3, 1), of(3, 0)) == segmentation.Allowed || verdict(of(1, 1), of(1, 2)) == segmentation.Allowed {
		t.Errorf("more is allowed than was seen: %s", describe(more))
	}
	if c := more.Proposals[0].Completeness; c.Unseen > 0.5 {
		t.Errorf("the amendment is said to be as incomplete as if nothing were known: %+v", c)
	}
	// New after stability is seen beside what is allowed already.
	w = newWorld()
	base = w.learn()
	w.add(w.of("cart", 0), segmentation.At(w.of("job", 0)), 8003, 9, 47*time.Hour+40*time.Minute, 48*time.Hour)
	if _, more := w.amended(base.policies()); len(more.Anomalies) != 1 || len(more.Proposals) != 0 {
		t.Errorf("%s", describe(more))
	}
}

// A scan is no less one because policies are there, and what these allow is none.
func TestAmendingShowsScansApart(t *testing.T) {
	w := newWorld()
	base := w.learn()
	for n, to := range w.workloads[3:] {
		at := 30*time.Hour + time.Duration(n)*time.Second
		w.add(w.of("web", 0), segmentation.At(to), 8002, 1, at, at)
	}
	_, more := w.amended(base.policies())
	if len(more.Anomalies) != 1 || len(more.Proposals) != 0 {
		t.Errorf("%s", describe(more))
	}
}

func TestUnusedWithLastUse(t *testing.T) {
	w := newWorld()
	base := w.learn()
	w.edges = nil
	w.add(w.of("cart", 0), segmentation.At(w.of("db", 0)), 8002, 5, 0, time.Hour)
	w.add(w.of("web", 0), segmentation.At(w.of("cart", 0)), 8001, 5, 0, 20*24*time.Hour)
	use, _ := w.amended(base.policies())
	var got []string
	for _, u := range use.Unused() {
		got = append(got, u.String())
	}
	want := []string{
		"SegmentationPolicy shop/cart egress[0]: last used 2026-11-01 01:00 UTC", "SegmentationPolicy shop/db ingress[0]: last used 2026-11-01 01:00 UTC",
		"SegmentationPolicy shop/web egress[0]: no edge used it",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// One wrong clock must not make all of an observation one moment.
func TestWrongClocks(t *testing.T) {
	for _, wrong := range []time.Duration{-56 * 365 * 24 * time.Hour, 12 * 365 * 24 * time.Hour} {
		w := newWorld()
		want := w.learn()
		w.add(w.of("web", 1), segmentation.At(w.of("cart", 2)), 8001, 3, wrong, wrong)
		got := w.learn()
		if got.Observation.Stray != 1 || got.Observation.Window < want.Observation.Window/2 || got.Observation.Window > 2*want.Observation.Window {
			t.Errorf("%s: %+v", wrong, got.Observation)
		}
		if len(got.Proposals) != len(want.Proposals) || len(got.Anomalies) > 0 || got.Proposals[0].Completeness.High > 2*want.Proposals[0].Completeness.High {
			t.Errorf("%s: %s", wrong, describe(got))
		}
	}
}

// A rule for port 0 would mean every port.
func TestPortZeroOpensNothing(t *testing.T) {
	w := newWorld()
	w.add(w.of("web", 0), segmentation.At(w.of("db", 0)), 0, 90, 0, 40*time.Hour)
	if d := w.learn(); d.allows(w.of("web", 0), segmentation.At(w.of("db", 0)), 22) {
		t.Error("every port is allowed")
	}
}

// Records of one edge may say different things: none of them must stand for another.
func TestSilentRecordsAreNoAnswers(t *testing.T) {
	w := newWorld()
	silent := uint64(0)
	w.add(w.of("job", 0), segmentation.At(w.of("web", 0)), 8000, 9, 0, 40*time.Hour).Answered = &silent
	e := w.add(w.of("job", 0), segmentation.At(w.of("web", 0)), 8000, 9, 0, 40*time.Hour)
	e.Answered, e.Bytes = nil, 0
	if d := w.learn(); d.allows(w.of("job", 0), segmentation.At(w.of("web", 0)), 8000) {
		t.Error("attempts that nobody answered are learned")
	}
}

// What cannot be written as a name is known by its address: a star would mean more.
func TestNamesThatAreNone(t *testing.T) {
	w := newWorld()
	for i, name := range []string{"*.example.net", "bücher.example", "a b", "-x.example"} {
		w.add(w.of("web", 0), segmentation.Outside(netip.AddrFrom4([4]byte{198, 51, 100, byte(4 * i)}), name), 443, 90, 0, 40*time.Hour)
	}
	w.add(w.of("web", 0), segmentation.Outside(netip.MustParseAddr("198.51.100.90"), "my_host.Example."), 443, 90, 0, 40*time.Hour)
	d := w.learn()
	var names []string
	for _, p := range d.Proposals {
		for _, r := range p.Policy.Egress.List {
			for _, peer := range r.Peers {
				if peer.Name != nil {
					names = append(names, peer.Name.Pattern)
				}
			}
		}
	}
	if want := []string{"api.example.com", "my_host.example"}; !cmp.Equal(want, names) {
		t.Errorf("names: %q", names)
	}
	for i := range 4 {
		if !d.allows(w.of("web", 1), segmentation.Outside(netip.AddrFrom4([4]byte{198, 51, 100, byte(4 * i)})), 443) {
			t.Errorf("address %d is not allowed", i)
		}
	}
}

func TestBaseName(t *testing.T) {
	for name, want := range map[string]string{
		"web-7f9c6d5b8-x2x4z": "web", "db-0": "db", "nightly-29370000-k8s2f": "nightly", "cart": "cart", "api-gateway-v2": "api-gateway-v2",
		"3f2a9c1d8e": "", "vm-00042": "vm", "mysql-primary-0": "mysql-primary", "feed0-2cbd9ac01-c9kmp": "feed0", "cafe12": "cafe12", "job-2026-11-01": "job",
	} {
		if got := baseName(name); got != want {
			t.Errorf("baseName(%q) is %q, want %q", name, got, want)
		}
	}
}

func TestPeriod(t *testing.T) {
	hours := func(list ...int) (out []int64) {
		for _, h := range list {
			out = append(out, int64(h)*int64(time.Hour))
		}
		return out
	}
	for _, c := range []struct {
		at    []int64
		flows uint64
		want  time.Duration
	}{
		{hours(2, 26, 50, 74), 4, 24 * time.Hour}, {hours(2, 26, 74), 3, 24 * time.Hour}, {hours(0, 168, 336), 3, 7 * 24 * time.Hour},
		{hours(1, 2, 3, 5), 4, time.Hour}, {hours(2, 9, 50), 3, 0}, {hours(2), 1, 0}, {hours(0, 96), 5, 24 * time.Hour}, {hours(0, 24), 2, 0},
	} {
		if got := period(c.at, c.flows); got != c.want {
			t.Errorf("%v: %v, want %v", c.at, got, c.want)
		}
	}
}

func TestNarrow(t *testing.T) {
	var addrs []netip.Addr
	for _, a := range []string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.5", "2001:db8::1"} {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	if got := fmt.Sprint(narrow(addrs)); got != "[192.0.2.0/30 192.0.2.5/32 2001:db8::1/128]" {
		t.Error(got)
	}
}

// The interval of an estimate holds the truth about as often as it says: here
// over counts whose truth is known.
func TestIntervalOfPoissonCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, mean := range []float64{0.5, 2, 5, 20} {
		held := 0
		for range 2000 {
			n := poisson(r, mean)
			if low, high := interval(float64(n), 0); low <= mean && mean <= high {
				held++
			}
		}
		if held < 1760 {
			t.Errorf("mean %v: held %d of 2000", mean, held)
		}
	}
}

func poisson(r *rand.Rand, mean float64) (n int) {
	for at := r.ExpFloat64(); at < mean; at += r.ExpFloat64() {
		n++
	}
	return n
}
