package policysync

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gabion-io/gabion/segmentation"
)

// network is between a host and its control plane, and obeys what is in force on the
// host: under a policy that says "cut" no new connection comes about, and those that
// there are live on. Its time is that of the bubble.
type network struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	*testing.T
	ln      *bufconn.Listener
	file    string
	left    bool // something of an earlier run is in force
	streams chan *talk
	over    chan struct{}

	lock    sync.Mutex
	down    bool
	refuse  map[string]int // sets that the kernel refuses, and how often
	applied []string
}

// talk is a stream of the host, past its first words.
type talk struct {
	*testing.T
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	have   map[string]string
}

func newNetwork(t *testing.T) *network {
	n := &network{T: t, ln: bufconn.Listen(1 << 20), file: filepath.Join(t.TempDir(), "policy.json"), streams: make(chan *talk), over: make(chan struct{}), refuse: map[string]int{}}
	g := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(g, n)
	go g.Serve(n.ln)
	// What never comes is waited for for a day, which takes no time.
	end := time.AfterFunc(24*time.Hour, func() { close(n.over); g.Stop() })
	t.Cleanup(func() { end.Stop(); g.Stop() })
	return n
}

func (n *network) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	if err := s.SendHeader(nil); err != nil {
		return err
	}
	hello, err := s.Recv()
	if err != nil {
		return err // it only looked whether we are here
	}
	select {
	case n.streams <- &talk{n.T, s, hello.GetInitialResourceVersions()}:
		<-s.Context().Done()
	case <-s.Context().Done():
	}
	return s.Context().Err()
}

func (n *network) set(do func()) { n.lock.Lock(); defer n.lock.Unlock(); do() }

func (n *network) dial(ctx context.Context, _ string) (net.Conn, error) {
	n.lock.Lock()
	cut := n.down || len(n.applied) > 0 && strings.Contains(n.applied[len(n.applied)-1], "=cut")
	n.lock.Unlock()
	if cut {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return n.ln.DialContext(ctx)
}

func (n *network) apply(_ context.Context, list []Resource) error {
	var all []string
	for _, r := range list {
		all = append(all, strings.TrimPrefix(r.Name, "SegmentationPolicy/")+"="+r.Manifest)
	}
	text := strings.Join(all, " ")
	n.lock.Lock()
	defer n.lock.Unlock()
	if n.refuse[text] > 0 {
		n.refuse[text]--
		return errors.New("no room")
	}
	n.applied = append(n.applied, text)
	return nil
}

// agent starts one; what it returns ends it as it stands.
func (n *network) agent() (kill func()) {
	n.Helper()
	c := New(Options{
		Host: "a", File: n.file, Confirm: time.Minute, Left: n.left, Apply: n.apply, Log: slog.New(slog.DiscardHandler),
		Connect: func() (*grpc.ClientConn, error) {
			return grpc.NewClient("passthrough:///plane", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(n.dial))
		},
		Renewed: func() <-chan struct{} { return nil },
	})
	if _, err := c.Restore(n.Context()); err != nil {
		n.Fatal(err)
	}
	ctx, cancel := context.WithCancel(n.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	kill = sync.OnceFunc(func() { cancel(); <-done })
	n.Cleanup(kill)
	return kill
}

func (n *network) accept(have ...string) *talk {
	n.Helper()
	var s *talk
	select {
	case s = <-n.streams:
	case <-n.over:
		n.Fatal("nobody came")
	}
	want := map[string]string{}
	for _, h := range have {
		name, version, _ := strings.Cut(h, "=")
		want[name] = "v-" + version
	}
	if d := cmp.Diff(want, s.have); d != "" && len(want)+len(s.have) > 0 {
		n.Errorf("it says it has (-want +got):\n%s", d)
	}
	return s
}

// tell sends "NAME=TEXT …".
func (s *talk) tell(nonce, resources string) {
	s.Helper()
	r := &discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Nonce: nonce}
	for _, text := range strings.Fields(resources) {
		name, text, _ := strings.Cut(text, "=")
		r.Resources = append(r.Resources, resource(name, text))
	}
	if err := s.stream.Send(r); err != nil {
		s.Fatal(err)
	}
}

// accepted and takenBack wait for the answer.
func (s *talk) accepted(nonce string) {
	s.Helper()
	if r := answer(s.T, s.stream, nonce); r.ErrorDetail != nil {
		s.Errorf("refused: %v", r.ErrorDetail)
	}
}

func (s *talk) takenBack(nonce string, words ...string) {
	s.Helper()
	e := answer(s.T, s.stream, nonce).GetErrorDetail()
	if e.GetCode() != segmentation.TakenBack {
		s.Errorf("answered %v", e)
	}
	for _, w := range words {
		if !strings.Contains(e.GetMessage(), w) {
			s.Errorf("%q does not say %q", e.GetMessage(), w)
		}
	}
}

func (n *network) wantApplied(when string, sets ...string) {
	n.Helper()
	n.lock.Lock()
	defer n.lock.Unlock()
	if d := cmp.Diff(sets, n.applied); d != "" {
		n.Errorf("%s, put in force were (-want +got):\n%s", when, d)
	}
	n.applied = n.applied[len(n.applied)-1:] // it is what counts on the network
}

const (
	policyA = "SegmentationPolicy/a="
	policyB = "SegmentationPolicy/b="
)

// What cuts the host from its control plane returns to what was before when its time
// is over, is told, and is not tried again before a policy changes: whatever becomes
// of workloads, and also by the next agent.
func TestTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		kill := n.agent()
		s := n.accept()
		s.tell("1", policyA+"1")
		s.accepted("1")
		began := time.Now()
		s.tell("2", policyA+"cut Workload/w=1")
		s.takenBack("2", "SegmentationPolicy/a in force", "1m0s", "no answer", "when a policy changes")
		if took := time.Since(began); took < time.Minute || took > time.Minute+probeTime {
			t.Errorf("taken back after %s", took)
		}
		n.wantApplied("taken back", "a=1", "a=cut Workload/w=1", "a=1")
		s.tell("3", policyA+"cut Workload/w=2")
		s.takenBack("3")
		kill()
		n.agent()
		s = n.accept(policyA + "1")
		s.tell("1", policyA+"cut Workload/w=3")
		s.takenBack("1", "SegmentationPolicy/a")
		n.wantApplied("not tried again", "a=1", "a=1")
		s.tell("2", policyA+"cut "+policyB+"1") // b might help
		s.takenBack("2", "SegmentationPolicy/a, SegmentationPolicy/b in force")
		s.tell("3", policyA+"2 Workload/w=3")
		s.accepted("3")
		n.wantApplied("tried again", "a=1", "a=cut b=1", "a=1", "a=2 Workload/w=3")
		// Without any policy in what changed it is a workload that is looked at.
		s.tell("4", "Workload/v=1 Workload/w=cut")
		s.takenBack("4", "Workload/v, Workload/w in force", "one of them")
		s.tell("5", "Workload/u=1 Workload/v=1 Workload/w=cut")
		s.takenBack("5")
		n.wantApplied("workloads", "a=2 Workload/w=3", "a=2 Workload/v=1 Workload/w=cut", "a=2 Workload/w=3")
		s.tell("6", "Namespace/n=1 Workload/v=1 Workload/w=4")
		s.accepted("6")
		// Asked for no more, it may be asked for again.
		s.tell("7", "Workload/w=cut")
		s.takenBack("7")
		s.tell("8", "")
		s.accepted("8")
		s.tell("9", "Workload/w=cut")
		s.takenBack("9")
		n.wantApplied("asked again", "a=2 Workload/w=3", "Namespace/n=1 a=2 Workload/v=1 Workload/w=4",
			"Namespace/n=1 a=2 Workload/v=1 Workload/w=cut", "Namespace/n=1 a=2 Workload/v=1 Workload/w=4",
			"Namespace/n=1 a=2 Workload/v=1 Workload/w=4", "Namespace/n=1 a=2 Workload/v=1 Workload/w=cut", "Namespace/n=1 a=2 Workload/v=1 Workload/w=4")
		s.tell("10", "Workload/w=5")
		s.accepted("10")
		if last, taken, err := readFile(n.file); err != nil || taken != nil || len(last) != 4 {
			t.Errorf("kept is %v, %v, %v", last, taken, err)
		}
	})
}

// Whoever ends before a set is confirmed, the next begins with what was confirmed: be
// that nothing.
func TestEndsUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		kill := n.agent()
		n.accept().tell("1", policyA+"cut")
		synctest.Wait()
		kill()
		n.wantApplied("ended on the first set", "a=cut")
		kill = n.agent()
		n.wantApplied("begun again", "a=cut", "")
		s := n.accept()
		s.tell("1", policyA+"1")
		s.accepted("1")
		s.tell("2", policyA+"cut")
		synctest.Wait()
		kill()
		n.wantApplied("ended on the second set", "", "a=1", "a=cut")
		n.agent()
		n.wantApplied("begun again", "a=cut", "a=1")
		n.accept(policyA+"1").tell("1", policyA+"cut") // it was not told by whom it ended: it is tried
		synctest.Wait()
		n.wantApplied("tried again", "a=1", "a=cut")
	})
}

// A control plane that is away takes nothing back that was confirmed. What came just
// before it went is, and comes again with it.
func TestAwayIsNoReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		kill := n.agent()
		s := n.accept()
		s.tell("1", policyA+"1")
		s.accepted("1")
		n.set(func() { n.down = true })
		s.tell("2", policyA+"2")
		<-s.stream.Context().Done()
		n.wantApplied("away in the wrong moment", "a=1", "a=2", "a=1")
		kill()
		n.agent()
		time.Sleep(time.Hour)
		n.wantApplied("away for long", "a=1", "a=1")
		n.set(func() { n.down = false })
		s = n.accept(policyA + "1")
		s.tell("1", policyA+"2")
		s.accepted("1")
		n.wantApplied("back again", "a=1", "a=2")
	})
}

// What the kernel does not take back is tried on, and may be confirmed after all.
func TestCannotTakeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		n.agent()
		s := n.accept()
		s.tell("1", policyA+"1")
		s.accepted("1")
		n.set(func() { n.refuse["a=1"] = 2 })
		s.tell("2", policyA+"cut")
		s.takenBack("2")
		n.wantApplied("in the end", "a=1", "a=cut", "a=1")
		n.set(func() { n.refuse["a=1"] = 1; n.down = true })
		s.tell("3", policyA+"2")
		time.Sleep(90 * time.Second)
		n.set(func() { n.down = false })
		s.accepted("3")
		n.wantApplied("confirmed late", "a=1", "a=2")
	})
}

// Where nobody knows what was in force, nothing is taken back: it could be less.
func TestUnknownBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		n.left = true
		n.agent()
		s := n.accept()
		s.tell("1", policyA+"cut")
		s.accepted("1")
		s.tell("2", policyA+"cut "+policyB+"1")
		<-s.stream.Context().Done() // nor is the control plane reached under what was confirmed last
		n.wantApplied("unknown", "a=cut", "a=cut b=1", "a=cut")
	})
}
