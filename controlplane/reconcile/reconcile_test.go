package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/xds"
)

const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: gabion
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: web}]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{port: 80, name: http}]}
`

func slice(address string) string {
	return `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 9000}]
endpoints: [{addresses: [` + address + `]}]
`
}

// memory is a source whose text a test changes.
type memory struct {
	mu      sync.Mutex
	text    string
	fail    error
	mark    int64
	changed chan struct{}
}

func (m *memory) set(text string, fail error) {
	m.mu.Lock()
	m.text, m.fail = text, fail
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *memory) Changed() <-chan struct{} { return m.changed }

func (m *memory) Read(context.Context) (source.Set, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	objects, problems := v1alpha1.Decode("test.yaml", []byte(m.text))
	if len(problems) > 0 {
		return source.Set{}, problems[0]
	}
	items := make([]source.Item, len(objects))
	for i, o := range objects {
		items[i] = source.Item{Object: o, Origin: source.File, File: "test.yaml"}
	}
	return source.NewSet(items, nil).Marked(m.mark), m.fail
}

// publisher remembers what it was given.
type publisher struct {
	mu        sync.Mutex
	snapshots []*xds.Snapshot
	endpoints []map[string][]ir.Endpoint
	nacks     []ads.Nack
}

func (p *publisher) SetSnapshot(s *xds.Snapshot) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.snapshots = append(p.snapshots, s)
	return nil
}

func (p *publisher) SetEndpoints(e map[string][]ir.Endpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoints = append(p.endpoints, e)
	return nil
}

func (p *publisher) Nacks() []ads.Nack {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nacks
}

// start runs a loop in a synctest bubble.
func start(t *testing.T, text string) (*Loop, *memory, *publisher) {
	m := &memory{text: text, changed: make(chan struct{}, 1)}
	p := &publisher{}
	l := New(Options{Sources: []Source{m}, Publisher: p, Log: slog.New(slog.DiscardHandler), Now: time.Now, Compile: compile.Options{}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return l, m, p
}

func TestEndpointsTakeTheFastPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m, p := start(t, gateway+slice("10.0.0.1"))
		if len(p.snapshots) != 1 {
			t.Fatalf("%d snapshots after the first round", len(p.snapshots))
		}
		m.set(gateway+slice("10.0.0.2"), nil)
		synctest.Wait()
		want := []map[string][]ir.Endpoint{{"default/shop:80": {{Address: "10.0.0.2", Port: 9000, Healthy: true}}}}
		if diff := cmp.Diff(want, p.endpoints); diff != "" || len(p.snapshots) != 1 {
			t.Errorf("%d snapshots, endpoints (-want +got):\n%s", len(p.snapshots), diff)
		}
		m.set(gateway+"---\napiVersion: gabion.io/v1alpha1\nkind: ListenerPolicy\nmetadata: {name: p}\nspec: {timeouts: {request: 5s}}\n"+slice("10.0.0.2"), nil)
		synctest.Wait()
		if len(p.snapshots) != 2 {
			t.Errorf("%d snapshots after a change of more than endpoints", len(p.snapshots))
		}
	})
}

// A source that cannot be read keeps the state before, and is tried again.
func TestAFailingRoundKeepsTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m, p := start(t, gateway+slice("10.0.0.1"))
		before := l.State()
		m.set(gateway, errors.New("disk on fire"))
		if s, err := l.Settle(t.Context()); err == nil || s != before {
			t.Errorf("settle: %v, state changed: %v", err, s != before)
		}
		m.mu.Lock()
		m.fail = nil // nobody says so: only trying again finds out
		m.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if l.State() == before {
			t.Error("the round was not tried again")
		}
		if len(p.endpoints) != 1 {
			t.Errorf("endpoints were published %d times", len(p.endpoints))
		}
	})
}

// Whoever judges by a state gets one with all that was stored before, and a mark
// that says so; where rounds fail, what there is.
func TestFreshKnowsWhatOthersWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m, _ := start(t, gateway)
		l.o.Mark = func(context.Context) (store.Mark, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return store.Mark(m.mark), nil
		}
		want := func(what string, same bool, mark store.Mark) {
			t.Helper()
			before := l.State()
			if s, got, err := l.marked(t.Context()); err != nil || got != mark || s != l.State() || (s == before) != same {
				t.Errorf("%s: marked %d, %v, the same state: %v", what, got, err, s == before)
			}
		}
		write := func(fail error) { // through another replica: nobody is told
			m.mu.Lock()
			defer m.mu.Unlock()
			m.mark, m.fail = m.mark+1, fail
		}
		want("nothing was written", true, 0)
		write(nil)
		want("something was", false, 1)
		want("and nothing since", true, 1)
		write(errors.New("disk on fire"))
		want("rounds fail", true, 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Fresh(ctx); err == nil {
			t.Error("who gave up is answered")
		}
	})
}

// Who was overtaken goes on alone, and who waits for that gives up with its caller.
// A change that is overtaken each time is not made.
func TestOvertakenGoesOnAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, _ := start(t, gateway)
		l.o.Mark = func(context.Context) (store.Mark, error) { return 0, nil }
		alone, together := 0, 0
		judge := func(ctx context.Context, times int) error {
			return l.Judged(ctx, func(*State, store.Mark) error {
				if times--; times >= 0 {
					return store.ErrMoved
				}
				alone++
				together = max(together, alone)
				time.Sleep(time.Second)
				alone--
				return nil
			})
		}
		began := time.Now()
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				if err := judge(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := judge(hasty, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second/2 {
			t.Errorf("who gave up waiting is told %v after %s", err, time.Since(began))
		}
		callers.Wait()
		if together != 1 || time.Since(began) != 3*time.Second {
			t.Errorf("%d were judged at once, in %s", together, time.Since(began))
		}
		if err := judge(t.Context(), maxJudged); !errors.Is(err, store.ErrMoved) {
			t.Errorf("overtaken each time: %v", err)
		}
		if err := judge(t.Context(), maxJudged-1); err != nil {
			t.Errorf("overtaken each time but the last: %v", err)
		}
	})
}

func TestSettleSeesWhatWasWrittenBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m, _ := start(t, gateway)
		for range 20 {
			m.mu.Lock()
			m.text = gateway + slice("10.0.0.9")
			m.mu.Unlock()
			s, err := l.Settle(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Compiled.IR.Clusters) != 1 || len(s.Compiled.IR.Clusters[0].Endpoints) != 1 {
				t.Fatalf("clusters %+v", s.Compiled.IR.Clusters)
			}
		}
	})
}

// A refusal is a condition on what caused it, in place of the good one.
func TestNackBecomesACondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, p := start(t, gateway)
		p.mu.Lock()
		p.nacks = []ads.Nack{{Node: "edge-1", Version: "abc", Message: "no such thing", Causes: []ir.Ref{{Kind: "HTTPRoute", Namespace: "default", Name: "shop"}}}}
		p.mu.Unlock()
		s, err := l.Settle(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, c := range s.Conditions {
			if c.Kind == "HTTPRoute" && c.Type == v1alpha1.Programmed {
				found = append(found, c.Status+" "+c.Reason)
			}
		}
		if diff := cmp.Diff([]string{"False Rejected"}, found); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
	})
}

// A source that closes its channel with every change, as the store does, is
// asked for the next one before the round that reads it can begin.
func TestNoChangeFallsBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{}, 1)
		change := make(chan struct{})
		asked := 0
		changed := func() <-chan struct{} {
			if asked++; len(wake) > 0 {
				t.Error("a change after the wake-up and before the asking is lost")
			}
			return make(chan struct{})
		}
		ctx, cancel := context.WithCancel(t.Context())
		go forward(ctx, change, changed, wake)
		close(change)
		synctest.Wait()
		if asked != 1 || len(wake) != 1 {
			t.Errorf("asked %d times, %d wake-ups", asked, len(wake))
		}
		cancel()
		synctest.Wait()
	})
}

// An HTTP rule is judged where a route leads to what its policy selects, and told
// of where none does.
func TestHTTPRulesReachTheRoutes(t *testing.T) {
	const policy = `---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: shop, labels: {app: shop}}
spec: {addresses: [10.0.0.1]}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: shop}
spec:
  mode: enforce
  selector: {matchLabels: {app: shop}}
  ingress: [{ports: [{port: 9000}], http: [{methods: [GET]}]}]
`
	synctest.Test(t, func(t *testing.T) {
		l, m, _ := start(t, gateway+slice("10.0.0.1")+policy)
		access := func() *ir.Access {
			return l.State().Compiled.IR.Listeners[0].Chains[0].VirtualHosts[0].Routes[0].Access
		}
		told := func() bool {
			return slices.ContainsFunc(l.State().Conditions, func(c v1alpha1.Condition) bool { return c.Reason == "NoProxy" })
		}
		if a := access(); a == nil || a.Enforced == nil || !slices.Equal(a.Enforced.Methods, []string{"GET"}) || told() {
			t.Errorf("the route leads there: %+v, told %v", a, told())
		}
		// Only endpoints change, and with them whom the route leads to.
		m.set(gateway+slice("10.0.0.2")+policy, nil)
		synctest.Wait()
		if a := access(); a != nil || !told() {
			t.Errorf("the route leads elsewhere: %+v, told %v", a, told())
		}
	})
}
