package uplink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/workload"
)

// TestMain turns the test binary into an agent that queues until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("UPLINK_TEST_WRITER"); dir != "" {
		queueUntilKilled(dir)
	}
	os.Exit(m.Run())
}

const patience = 60 * time.Second

// receiver remembers what it was told, each batch once.
type receiver struct {
	mu      sync.Mutex
	fail    error
	calls   int
	seen    map[string]uint64 // by queue
	rows    int
	ports   map[uint16]uint64 // flows
	batches []*flowreport.Batch
	lost    map[string]uint64
	alive   int
	repeats int
	after   func() error // called after something was stored, before the answer
}

func newReceiver() *receiver {
	return &receiver{seen: map[string]uint64{}, lost: map[string]uint64{}, ports: map[uint16]uint64{}}
}

func (r *receiver) Report(_ context.Context, m flowreport.Message) (flowreport.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.fail != nil {
		return flowreport.Receipt{}, r.fail
	}
	switch {
	case m.Alive:
		r.alive++
	case m.Lost != nil:
		r.lost[m.Lost.Queue] = m.Lost.Total
	case m.Exchanges != nil:
		if m.Exchanges.Seq <= r.seen[m.Exchanges.Queue] {
			r.repeats++
			return flowreport.Receipt{Repeated: true}, nil
		}
		r.seen[m.Exchanges.Queue] = m.Exchanges.Seq
		r.rows += len(m.Exchanges.List)
		return flowreport.Receipt{Key: "aa"}, nil
	case m.Batch.Seq <= r.seen[m.Batch.Queue]:
		r.repeats++
		return flowreport.Receipt{Repeated: true}, nil
	default:
		r.seen[m.Batch.Queue] = m.Batch.Seq
		r.rows += len(m.Batch.Rows)
		r.batches = append(r.batches, m.Batch)
		for _, row := range m.Batch.Rows {
			r.ports[row.Port] += row.Flows
		}
	}
	if r.after != nil {
		return flowreport.Receipt{}, r.after()
	}
	return flowreport.Receipt{}, nil
}

func (r *receiver) until(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		r.mu.Lock()
		ok := true()
		r.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// connect serves a receiver in this process.
func connect(t *testing.T, r *receiver) *grpc.ClientConn {
	t.Helper()
	ln := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	flowreport.Register(g, r)
	go g.Serve(ln)
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func begin(t *testing.T, o Options) *Uplink {
	t.Helper()
	o.Log, o.Retry = slog.New(slog.DiscardHandler), 5*time.Millisecond
	u, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, u.Close()); err != nil {
			t.Error(err)
		}
	})
	return u
}

func named(name string) *workload.Workload {
	return &workload.Workload{ID: workload.ID{Namespace: "shop", Name: name}, Labels: workload.Labels{"app": name}}
}

// window has n rows, of ports from first on.
func window(first, n int) agent.Window {
	web, cart := named("web"), named("cart")
	var w agent.Window
	for i := range n {
		answered := uint64(1)
		s := flowlog.Sighting{By: cart.ID, Direction: segmentation.Ingress, Verdict: segmentation.Allowed, Packets: 4}
		s.Src, s.Dst = segmentation.At(web), segmentation.At(cart)
		s.Protocol, s.Port, s.Flows, s.Answered, s.Bytes = segmentation.TCP, uint16(first+i), 1, &answered, 100
		s.First, s.Last = time.Unix(100, 0), time.Unix(101, 0)
		w.Sightings = append(w.Sightings, s)
	}
	return w
}

func TestSendsNamesAndLabels(t *testing.T) {
	r := newReceiver()
	u := begin(t, Options{Dir: t.TempDir(), Conn: connect(t, r)})
	w := window(80, 1)
	outside := w.Sightings[0]
	outside.Dst, outside.Src = segmentation.Outside(netip.MustParseAddr("192.0.2.1"), "api.example.com"), outside.Dst
	outside.Direction, outside.Verdict, outside.By = segmentation.Egress, segmentation.Denied, outside.Src.Workload.ID
	outside.Rule = segmentation.RuleRef{Policy: segmentation.PolicyName{Kind: "SegmentationPolicy", ID: workload.ID{Namespace: "shop", Name: "cart"}}, Index: segmentation.Default}
	w.Sightings = append(w.Sightings, outside)
	u.Add(w)
	r.until(t, "the batch is there", func() bool { return len(r.batches) == 1 })
	b := r.batches[0]
	if got := fmt.Sprint(b.Ends); got != "[{shop/web map[app:web] invalid IP } {shop/cart map[app:cart] invalid IP } { map[] 192.0.2.1 api.example.com}]" {
		t.Error(got)
	}
	if b.Seq != 1 || b.By(&b.Rows[1]) != "shop/cart" || b.RuleOf(&b.Rows[1]) != "SegmentationPolicy shop/cart default deny (ingress)" {
		t.Errorf("%+v", b)
	}
}

// While the control plane is away batches wait, and an answer that got lost makes
// nothing count twice.
func TestWaitsAndRepeats(t *testing.T) {
	r := newReceiver()
	r.fail = status.Error(codes.Unavailable, "away")
	u := begin(t, Options{Dir: t.TempDir(), Conn: connect(t, r)})
	for i := range 10 {
		u.Add(window(1000*i, 300))
	}
	r.until(t, "it was tried twice", func() bool { return r.calls >= 2 })
	r.mu.Lock()
	n := 0
	r.fail, r.after = nil, func() error {
		if n++; n%3 == 0 {
			return status.Error(codes.Unavailable, "the answer is lost")
		}
		return nil
	}
	r.mu.Unlock()
	r.until(t, "all rows are there", func() bool { return r.rows == 3000 })
	r.until(t, "what was not answered came again", func() bool { return r.repeats >= 1 })
	for port, flows := range r.ports {
		if flows != 1 {
			t.Fatalf("port %d has %d flows", port, flows)
		}
	}
}

// Exchanges go the same way: in messages that a receiver takes, once each, and what
// it answers is told.
func TestExchanges(t *testing.T) {
	r := newReceiver()
	r.fail = status.Error(codes.Unavailable, "away")
	told := make(chan flowreport.Receipt, 100)
	u := begin(t, Options{Dir: t.TempDir(), Of: flowreport.OfExchanges, Conn: connect(t, r), Told: func(r flowreport.Receipt) { told <- r }})
	row := flowreport.Exchange{
		Src: flowreport.End{Workload: "shop/web"}, Dst: flowreport.End{Workload: "shop/cart"}, Client: netip.MustParseAddr("10.9.1.2"), Path: "/carts",
		Method: "GET", Status: 200, Observation: fmt.Appendf(nil, `{"Method":"GET","Service":%q}`, strings.Repeat("a", 20_000)),
	}
	list := make([]flowreport.Exchange, 300)
	for i := range list {
		list[i] = row
	}
	u.AddExchanges(list, 0)
	u.AddExchanges(list[:1], 7)
	r.until(t, "it was tried twice", func() bool { return r.calls >= 2 })
	r.mu.Lock()
	r.fail = nil
	r.mu.Unlock()
	r.until(t, "all are there, and what was lost", func() bool {
		lost := uint64(0)
		for _, n := range r.lost {
			lost += n
		}
		return r.rows == 301 && lost == 7
	})
	keys := 0
	for range len(told) {
		if r := <-told; r.Key == "aa" {
			keys++
		}
	}
	if keys < 10 {
		t.Errorf("300 exchanges of 20 KB came in %d messages", keys)
	}
}

func TestBoundedAndCounted(t *testing.T) {
	r := newReceiver()
	r.fail = status.Error(codes.Unavailable, "away")
	u := begin(t, Options{Dir: t.TempDir(), MaxBytes: 256 << 10, Conn: connect(t, r)})
	for i := range 40 {
		w := window(i, 500)
		w.Lost = 2
		u.Add(w)
	}
	r.mu.Lock()
	r.fail = nil
	r.mu.Unlock()
	r.until(t, "every row is there or told as lost", func() bool {
		lost := uint64(0)
		for _, n := range r.lost {
			lost += n
		}
		return uint64(r.rows)+lost == 40*502 && lost > 80
	})
}

// What nobody will ever read is dropped: it does not stop what comes after it.
func TestGivesUpOnTheHopeless(t *testing.T) {
	r := newReceiver()
	u := begin(t, Options{Dir: t.TempDir(), Conn: connect(t, r)})
	u.spool.Append([]byte("\x01{not json"))
	u.spool.Append([]byte{0x80})
	u.Add(window(80, 5))
	r.until(t, "the sound one is there", func() bool { return r.rows == 5 })
}

func TestSaysThatItLives(t *testing.T) {
	r := newReceiver()
	begin(t, Options{Dir: t.TempDir(), Conn: connect(t, r), Alive: 10 * time.Millisecond})
	r.until(t, "it is alive", func() bool { return r.alive >= 3 })
}

// queueUntilKilled prints the number of every window that Add returned from.
func queueUntilKilled(dir string) {
	u, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	for i := 1; ; i++ {
		u.Add(window(i%60000, 1))
		fmt.Println(i)
	}
}

// An agent that is killed loses nothing that it had queued; the next run sends it.
func TestKilled(t *testing.T) {
	dir, r, total := t.TempDir(), newReceiver(), 0
	for range 3 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "UPLINK_TEST_WRITER="+dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		total += killAfter(t, c, bufLines(out), 50)
	}
	begin(t, Options{Dir: dir, Conn: connect(t, r)})
	r.until(t, "everything queued before the kills is there", func() bool { return r.rows >= total })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows > total+3 || len(r.lost) > 3 {
		t.Errorf("%d rows are there, %d were queued", r.rows, total)
	}
}

func killAfter(t *testing.T, c *exec.Cmd, lines <-chan string, n int) (last int) {
	t.Helper()
	for line := range lines {
		var err error
		if last, err = strconv.Atoi(line); err != nil {
			t.Fatal(err)
		}
		if last == n {
			c.Process.Kill()
		}
	}
	c.Wait()
	return last
}

func bufLines(in io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		for s := bufio.NewScanner(in); s.Scan(); {
			out <- s.Text()
		}
	}()
	return out
}

// Records of the queue are read back from a disk that anything may have written to.
func FuzzRecord(f *testing.F) {
	rec, err := record(batchOf("q", 1, window(80, 2).Sightings))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rec)
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, rec []byte) {
		if w := weight(rec); w < 0 || w > flowreport.MaxRows {
			t.Fatalf("it weighs %d", w)
		}
		if b := body(rec); len(b) > len(rec) {
			t.Fatal("it grew")
		}
	})
}
