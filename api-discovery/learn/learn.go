// Package learn makes operations of exchanges. It is a fold: Add takes one
// observation, Merge takes what another learner knows, and Conclude says what
// the operations are. The order of either does not matter, and two halves merged
// are the whole, as long as no bound was reached; what a bound left out is
// counted.
//
// Nothing is decided while folding. A Learner keeps a tree of path segments with
// what was seen at each place, small because values that no developer would
// write (numbers, UUIDs, tokens) share one branch from the start. Conclude looks
// at the whole tree and tells the API's own words from values. So a decision is
// revised by evidence, and can say what evidence that is.
//
// It reads no traffic, keeps no file and knows no clock. It may be imported by
// compositions; other areas take what it makes, in the words of apidiscovery.
package learn

import (
	"slices"
	"strings"
	"sync"

	"github.com/gabion-io/gabion/internal/exchange"
)

// Limits bound a learner. The zero value is the default of each.
type Limits struct {
	Nodes   int // places in the trees of all services, four times as many if need be; 400,000
	Strays  int // places kept of what was never answered with success; 50,000
	Aside   int // masked example paths; 8 a reason and service
	Service int // services; 1,000
}

func (l Limits) orDefault() Limits {
	for _, f := range []struct {
		value *int
		or    int
	}{{&l.Nodes, 400_000}, {&l.Strays, 50_000}, {&l.Aside, 8}, {&l.Service, 1000}} {
		if *f.value <= 0 {
			*f.value = f.or
		}
	}
	return l
}

// Learner is the state of the fold. It may be used by many goroutines.
type Learner struct {
	mu       sync.Mutex
	limits   Limits
	nodes    int // places from which on the tree is made smaller; Limits.Nodes at first
	services map[string]*service
	names    interner
	size     sizes
}

// sizes counts what the bounds are about.
type sizes struct {
	proven, stray int
	strayed       int // exchanges since strays were settled
	evicted       uint64
}

// service is what is known of one.
type service struct {
	name   string
	proven *node // places with an exchange that was answered with success
	stray  *node // all others: they count for operations that turn out to exist
	aside  asides
	// Words at the beginning of paths from which on it is looked for such as are none:
	// see shed and shedTried.
	looked, shedNext int
}

// New makes a learner that knows nothing.
func New(l Limits) *Learner {
	l = l.orDefault()
	return &Learner{limits: l, nodes: l.Nodes, services: map[string]*service{}, names: interner{}}
}

// Add folds one observation in. The shapes of o belong to the learner from then
// on; of the rest it keeps no reference.
func (l *Learner) Add(o *exchange.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.service(o.Service)
	if s == nil {
		l.size.evicted++
		return
	}
	switch {
	case o.Blocked:
		s.aside.add("blocked", o, l.limits.Aside)
	case o.Preflight != "":
		l.stray(s, o)
	case isStatic(o):
		s.aside.add("static", o, l.limits.Aside)
	case proves(o):
		if refused := refusedOf(o); refused != nil {
			l.stray(s, refused)
		}
		l.insert(s.proven, o, &l.size.proven)
		if s.crowded(0) {
			l.shed(s)
		}
		if l.size.proven > l.nodes {
			l.compact()
		}
	default:
		l.stray(s, o)
	}
}

// stray keeps what proves no operation, until it is known whether it belongs to one.
func (l *Learner) stray(s *service, o *exchange.Observation) {
	l.size.strayed++
	if l.size.stray >= l.limits.Strays && l.size.strayed >= l.limits.Strays/4 { // else what is there belongs to operations
		l.settleStrays()
		l.size.strayed = 0
	}
	if l.size.stray >= l.limits.Strays {
		l.size.evicted++
		s.aside.add("evicted", o, l.limits.Aside)
		return
	}
	l.insert(s.stray, o, &l.size.stray)
	l.shedTried(s, 0)
}

func (l *Learner) service(name string) *service {
	s := l.services[name]
	if s == nil {
		if len(l.services) >= l.limits.Service {
			return nil
		}
		s = &service{name: name, proven: &node{}, stray: &node{}}
		l.services[l.names.of(name)] = s
	}
	return s
}

// refusedOf takes the calls that were refused out of an observation of several: nil
// when there are none.
func refusedOf(o *exchange.Observation) *exchange.Observation {
	if !slices.ContainsFunc(o.Calls, isRefused) {
		return nil
	}
	r := *o
	r.Calls, r.Request.Shape, r.Response.Shape = nil, nil, nil // the shapes are the others'
	rest := make([]exchange.Call, 0, len(o.Calls))
	for _, c := range o.Calls {
		if c.Refused {
			r.Calls = append(r.Calls, c)
		} else {
			rest = append(rest, c)
		}
	}
	o.Calls = rest
	return &r
}

func isRefused(c exchange.Call) bool { return c.Refused }

// proves says whether an answer shows that there is such an operation. 401, 403
// and redirects to another spelling are given by gateways to any path; 404 and
// 405 say the opposite; an error may come from something in between. A call that
// was answered with an error proves none, whatever the status.
func proves(o *exchange.Observation) bool {
	s := o.Status
	if o.Failed || o.Suspect || len(o.Calls) > 0 && !slices.ContainsFunc(o.Calls, func(c exchange.Call) bool { return !c.Refused }) {
		return false
	}
	return s == 101 || s >= 200 && s < 300 || s == 302 || s == 303 || s == 304 || s == 307
}

// isStatic: files of a web page, which are no operations.
func isStatic(o *exchange.Observation) bool {
	if o.Static {
		return true
	}
	if o.Method != "GET" && o.Method != "HEAD" || len(o.Segments) == 0 || !proves(o) {
		return false
	}
	switch o.Segments[len(o.Segments)-1].Suffix {
	case ".js", ".css", ".map", ".woff", ".woff2", ".ttf", ".ico", ".wasm":
		return true
	case ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".html", ".htm", ".txt":
		return strings.HasPrefix(o.Response.MediaType, "image/") || strings.HasPrefix(o.Response.MediaType, "text/")
	}
	return false
}

// interner makes equal strings one, and owns them: observations only lend theirs.
// A nil one leaves them as they are.
type interner map[string]string

func (n interner) of(s string) string {
	if s == "" || n == nil {
		return s
	}
	if known, ok := n[s]; ok {
		return known
	}
	b := string([]byte(s))
	if len(n) < 1<<16 {
		n[b] = b
	}
	return b
}
