package lookup

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/gabion-io/gabion/workload"
)

var (
	web      = workload.ID{Namespace: "shop", Name: "web"}
	cart     = workload.ID{Namespace: "shop", Name: "cart"}
	resolver = netip.MustParseAddr("192.0.2.53")
	client   = netip.MustParseAddrPort("10.9.1.2:40000")
	first    = netip.MustParseAddr("198.51.100.1")
	second   = netip.MustParseAddr("198.51.100.2")
	sixth    = netip.MustParseAddr("2001:db8::6")
)

// dns writes a message: the question, and records as "OWNER TTL TYPE VALUE" in fours.
func dns(t testing.TB, h dnsmessage.Header, name string, kind dnsmessage.Type, records ...any) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, h)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.StartQuestions())
	must(b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}))
	must(b.StartAnswers())
	for ; len(records) > 0; records = records[3:] {
		head := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(records[0].(string)), Class: dnsmessage.ClassINET, TTL: uint32(records[1].(int))}
		switch v := records[2].(type) {
		case string:
			must(b.CNAMEResource(head, dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(v)}))
		case netip.Addr:
			if v.Is4() {
				must(b.AResource(head, dnsmessage.AResource{A: v.As4()}))
			} else {
				must(b.AAAAResource(head, dnsmessage.AAAAResource{AAAA: v.As16()}))
			}
		}
	}
	out, err := b.Finish()
	must(err)
	return out
}

const a, aaaa = dnsmessage.TypeA, dnsmessage.TypeAAAA

// exchange is a question of web's and what comes back; cases change one thing.
type exchange struct {
	query, answer Message
	own           []netip.Addr
}

func newExchange(t testing.TB) exchange {
	return exchange{
		query: Message{At: time.Second, Workload: web, Outbound: true, Client: client, Server: resolver,
			Payload: dns(t, dnsmessage.Header{ID: 7, RecursionDesired: true}, "API.example.com.", a)},
		answer: Message{At: 2 * time.Second, Workload: web, Client: client, Server: resolver,
			Payload: dns(t, dnsmessage.Header{ID: 7, Response: true}, "api.example.COM.", a,
				"api.example.com.", 300, "edge.example.net.", "edge.example.net.", 20, first, "edge.example.net.", 60, second)},
	}
}

func TestWhichAnswersCount(t *testing.T) {
	counts := Answer{Name: "api.example.com", Addresses: []netip.Addr{first, second}, TTL: 20 * time.Second}
	for _, c := range []struct {
		name   string
		change func(*exchange)
		want   Answer
		count  func(Counts) uint64
	}{
		{"asked and answered", func(*exchange) {}, counts, func(c Counts) uint64 { return c.Counted }},
		{"over TCP", func(e *exchange) { e.query.TCP, e.answer.TCP = true, true }, counts, func(c Counts) uint64 { return c.Counted }},
		{"another resolver", func(e *exchange) {
			e.query.Server, e.answer.Server = first, first
		}, Answer{}, func(c Counts) uint64 { return c.Elsewhere }},
		{"not asked", func(e *exchange) { e.query.Payload = nil }, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"asked by another workload", func(e *exchange) { e.query.Workload = cart }, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"another id", func(e *exchange) {
			e.query.Payload = dns(t, dnsmessage.Header{ID: 8}, "api.example.com.", a)
		}, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"another name", func(e *exchange) {
			e.query.Payload = dns(t, dnsmessage.Header{ID: 7}, "evil.example.com.", a)
		}, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"another type", func(e *exchange) {
			e.query.Payload = dns(t, dnsmessage.Header{ID: 7}, "api.example.com.", aaaa)
		}, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"another port", func(e *exchange) {
			e.answer.Client = netip.AddrPortFrom(client.Addr(), 40001)
		}, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"asked over UDP, answered over TCP", func(e *exchange) { e.answer.TCP = true }, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"too late", func(e *exchange) { e.answer.At = e.query.At + window + 1 }, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"before it was asked", func(e *exchange) { e.answer.At = e.query.At - 1 }, Answer{}, func(c Counts) uint64 { return c.Unasked }},
		{"answered by itself", func(e *exchange) { e.own = []netip.Addr{resolver} }, Answer{}, func(c Counts) uint64 { return c.Own / 2 }},
		{"an answer that the workload sends", func(e *exchange) { e.answer.Outbound = true }, Answer{}, func(c Counts) uint64 { return c.Unreadable }},
		{"cut short", func(e *exchange) {
			e.answer.Payload = dns(t, dnsmessage.Header{ID: 7, Response: true, Truncated: true}, "api.example.com.", a, "api.example.com.", 60, first)
		}, Answer{}, func(c Counts) uint64 { return c.Empty }},
		{"there is no such name", func(e *exchange) {
			e.answer.Payload = dns(t, dnsmessage.Header{ID: 7, Response: true, RCode: dnsmessage.RCodeNameError}, "api.example.com.", a, "api.example.com.", 60, first)
		}, Answer{}, func(c Counts) uint64 { return c.Empty }},
		{"an address of another name in the same answer", func(e *exchange) {
			e.answer.Payload = dns(t, dnsmessage.Header{ID: 7, Response: true}, "api.example.com.", a, "other.example.com.", 60, first)
		}, Answer{}, func(c Counts) uint64 { return c.Empty }},
		{"aliases in a circle", func(e *exchange) {
			e.answer.Payload = dns(t, dnsmessage.Header{ID: 7, Response: true}, "api.example.com.", a,
				"api.example.com.", 60, "b.example.com.", "b.example.com.", 60, "api.example.com.", "c.example.com.", 60, first)
		}, Answer{}, func(c Counts) uint64 { return c.Empty }},
		{"the metadata service of a cloud", func(e *exchange) {
			e.answer.Payload = dns(t, dnsmessage.Header{ID: 7, Response: true}, "api.example.com.", a,
				"api.example.com.", 60, netip.MustParseAddr("169.254.169.254"), "api.example.com.", 60, netip.MustParseAddr("127.0.0.1"), "api.example.com.", 20, first)
		}, Answer{Name: "api.example.com", Addresses: []netip.Addr{first}, TTL: 20 * time.Second}, func(c Counts) uint64 { return c.Unbelieved / 2 }},
		{"IPv6", func(e *exchange) {
			e.query.Payload = dns(t, dnsmessage.Header{ID: 7}, "api.example.com.", aaaa)
			e.answer.Payload = dns(t, dnsmessage.Header{ID: 7, Response: true}, "api.example.com.", aaaa, "api.example.com.", 20, sixth, "api.example.com.", 10, first)
		}, Answer{Name: "api.example.com", Addresses: []netip.Addr{sixth}, TTL: 20 * time.Second}, func(c Counts) uint64 { return c.Counted }},
		{"cut off", func(e *exchange) {
			e.answer.Payload = e.answer.Payload[:len(e.answer.Payload)-3]
		}, Answer{}, func(c Counts) uint64 { return c.Unreadable }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newExchange(t)
			c.change(&e)
			w := NewWatcher([]netip.Addr{resolver})
			if e.query.Payload != nil {
				if got, ok := w.See(e.query, e.own); ok {
					t.Fatalf("a question is an answer: %v", got)
				}
			}
			got, ok := w.See(e.answer, e.own)
			if d := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" || ok != (c.want.Name != "") {
				t.Error(ok, d)
			}
			if c.count(w.Counts()) == 0 {
				t.Errorf("it is not counted: %+v", w.Counts())
			}
			if again, ok := w.See(e.answer, e.own); ok {
				t.Errorf("it counts twice: %v", again)
			}
		})
	}
}

// One workload's questions cannot take the place of another's.
func TestOpenQuestionsAreBounded(t *testing.T) {
	w := NewWatcher([]netip.Addr{resolver})
	ask := func(id workload.ID, n int, at time.Duration) {
		w.See(Message{At: at, Workload: id, Outbound: true, Client: client, Server: resolver,
			Payload: dns(t, dnsmessage.Header{ID: uint16(n)}, "api.example.com.", a)}, nil)
	}
	for n := range maxAsked + 10 {
		ask(web, n, time.Second)
	}
	if c := w.Counts(); c.Crowded != 10 {
		t.Errorf("%d were crowded out", c.Crowded)
	}
	ask(cart, 1, time.Second)
	ask(web, 60000, 2*time.Second+window) // the others' time is over
	if c := w.Counts(); c.Crowded != 10 || len(w.open[cart]) != 1 || len(w.open[web]) != 1 {
		t.Errorf("%d were crowded out; %d and %d are open", c.Crowded, len(w.open[cart]), len(w.open[web]))
	}
	w.Forget(func(id workload.ID) bool { return id == web })
	if len(w.open) != 1 {
		t.Error("a workload that is gone is remembered")
	}
}

// FuzzSee holds that no message, whatever is in it, makes an answer count that was
// not asked for, or opens an address that no name outside can have.
func FuzzSee(f *testing.F) {
	e := newExchange(f)
	f.Add(e.answer.Payload)
	f.Add(e.query.Payload)
	f.Add(e.answer.Payload[:20])
	f.Fuzz(func(t *testing.T, payload []byte) {
		w := NewWatcher([]netip.Addr{resolver})
		m := e.answer
		m.Payload = payload
		if got, ok := w.See(m, nil); ok {
			t.Fatalf("nobody has asked, and it is told %v", got)
		}
		w.See(e.query, nil)
		got, ok := w.See(m, nil)
		if !ok {
			return
		}
		if got.Name != "api.example.com" || len(got.Addresses) == 0 || len(got.Addresses) > maxOfAnswer || got.TTL < 0 {
			t.Fatalf("it is told %v", got)
		}
		for _, addr := range got.Addresses {
			if !addr.Is4() || !believable(addr) {
				t.Fatalf("it is told %v", got)
			}
		}
	})
}

func TestParseResolvers(t *testing.T) {
	got := parseResolvers([]byte("# comment\nsearch example.com\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver  2001:db8::53%eth0\nnameserver nonsense\nnameserver\n"))
	if d := cmp.Diff([]string{"192.0.2.53", "2001:db8::53"}, texts(got)); d != "" {
		t.Error(d)
	}
}

func texts(list []netip.Addr) (out []string) {
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}
