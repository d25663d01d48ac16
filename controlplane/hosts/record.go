package hosts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/segmentation"
)

// Status is what one host was sent and said, for `gabion status`.
type Status struct {
	Host        string    `json:"host"`
	Connected   bool      `json:"connected"`
	Since       time.Time `json:"since"` // connected, or gone, since
	Address     string    `json:"address,omitempty"`
	Certificate time.Time `json:"certificateEnds,omitzero"`
	Resources   int       `json:"resources"`      // that it is to have
	Want        string    `json:"want,omitempty"` // version of all it is to have; equal to Acked: in sync
	Acked       string    `json:"acked,omitempty"`
	AckedAt     time.Time `json:"ackedAt,omitzero"`
	Nacked      string    `json:"nacked,omitempty"` // refused version that still stands
	Error       string    `json:"error,omitempty"`
	TakenBack   bool      `json:"takenBack,omitempty"` // the refused version was in force, and cut the host off
	SentAt      time.Time `json:"sentAt,omitzero"`     // of a version that the host has not answered: it tries it, or is cut off
}

// record is what is remembered of a host.
type record struct {
	streams int
	since   time.Time
	address string
	ends    time.Time
	acked   string
	ackedAt time.Time
	sentAt  time.Time // of what waits for an answer; zero: nothing does
	refusal *refusal
}

// refusal is a no that still stands.
type refusal struct {
	version   string
	message   string
	takenBack bool // it was in force before it was refused
	causes    []v1alpha1.Key
}

// Bounds of what hosts that come and go can make the server hold.
const (
	maxHosts          = 10_000
	forgetAfter       = 24 * time.Hour
	maxStreamsPerHost = 8 // one, and another while certificates change; the rest is slack
)

// change runs a change under the lock, and says after it when conditions may be
// others now.
func (s *Server) change(do func(now time.Time) (news bool)) {
	s.mu.Lock()
	news := do(s.o.Now())
	s.mu.Unlock()
	if news {
		s.o.OnChange()
	}
}

func (s *Server) open(host identity.Host, address string) (st *stream, err error) {
	s.change(func(now time.Time) (first bool) {
		r := s.hosts[host.Name]
		if r == nil {
			s.forget(now)
			r = &record{}
			s.hosts[host.Name] = r
		}
		if r.streams >= maxStreamsPerHost {
			err = status.Errorf(codes.ResourceExhausted, "host %s has %d streams already", host.Name, r.streams)
			return false
		}
		if r.streams++; r.streams == 1 {
			first, r.since = true, now
			s.o.Log.Info("host connected", "host", host.Name, "address", address)
		}
		r.address, r.ends = address, host.Ends
		st = &stream{host: host, news: make(chan struct{}, 1)}
		s.streams[st] = true
		s.count.streams.Inc()
		return first
	})
	return st, err
}

func (s *Server) close(st *stream) {
	s.change(func(now time.Time) bool {
		delete(s.streams, st)
		s.count.streams.Dec()
		r := s.hosts[st.host.Name]
		if r.streams--; r.streams > 0 {
			return false
		}
		r.since, r.sentAt = now, time.Time{}
		s.o.Log.Info("host disconnected", "host", st.host.Name)
		return true
	})
}

// forget drops hosts that are gone for long, and any that are gone while there are
// too many.
func (s *Server) forget(now time.Time) {
	for name, r := range s.hosts {
		if r.streams == 0 && (now.Sub(r.since) > forgetAfter || len(s.hosts) >= maxHosts) {
			delete(s.hosts, name)
		}
	}
}

// accepted notes that a host has a version of all; whatever it refused before is
// not asked of it any more.
func (s *Server) accepted(host, version string) {
	s.change(func(now time.Time) bool {
		r := s.hosts[host]
		mended := r.refusal != nil
		r.refusal, r.sentAt = nil, time.Time{}
		if r.acked != version {
			r.acked, r.ackedAt = version, now
		}
		return mended
	})
}

// sent notes that a host was sent something that it is to answer.
func (s *Server) sent(host string) {
	s.change(func(now time.Time) bool { s.hosts[host].sentAt = now; return false })
}

// refuses says whether a host's refusal still stands.
func (s *Server) refuses(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[host].refusal != nil
}

// maxCauses bounds how many resources one refusal is told on.
const maxCauses = 20

func (s *Server) nacked(st *stream, p *sent, e *rpcstatus.Status) {
	message := e.GetMessage()
	message = strings.ToValidUTF8(message[:min(len(message), 2000)], "")
	back := e.GetCode() == segmentation.TakenBack
	s.o.Log.Warn("host refused policy", "host", st.host.Name, "version", p.version, "taken-back", back, "error", message)
	s.count.refusals.Inc()
	s.change(func(time.Time) bool {
		r := s.hosts[st.host.Name]
		r.sentAt = time.Time{}
		r.refusal = &refusal{version: p.version, message: message, takenBack: back, causes: causes(p.names, message)}
		return true
	})
}

// causes are the resources of a response that its refusal names; if it names none,
// the policies in it.
func causes(names []string, message string) (out []v1alpha1.Key) {
	named := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.Contains(message, n) })
	if len(named) == 0 {
		named = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.HasPrefix(n, v1alpha1.KindWorkload+"/") })
	}
	if len(named) == 0 {
		named = names
	}
	for _, n := range named[:min(len(named), maxCauses)] {
		if parts := strings.Split(n, "/"); len(parts) == 3 {
			out = append(out, v1alpha1.Key{Kind: parts[0], Namespace: parts[1], Name: parts[2]})
		} else if len(parts) == 2 {
			out = append(out, v1alpha1.Key{Kind: parts[0], Name: parts[1]})
		}
	}
	return out
}

// Status lists every host that was seen in the last day, sorted.
func (s *Server) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.o.Now())
	out := make([]Status, 0, len(s.hosts))
	for name, r := range s.hosts {
		h := Status{Host: name, Connected: r.streams > 0, Since: r.since, Address: r.address, Certificate: r.ends, Acked: r.acked, AckedAt: r.ackedAt, SentAt: r.sentAt}
		if v := s.viewLocked(name); v != nil {
			h.Want, h.Resources = v.version, len(v.resources)
		}
		if r.refusal != nil {
			h.Nacked, h.Error, h.TakenBack = r.refusal.version, r.refusal.message, r.refusal.takenBack
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Host, b.Host) })
	return out
}

// Conditions tell authors what hosts make of their resources: what one refused, and
// workloads whose host has no agent, where nothing is enforced or, after one that
// was, nothing changes.
func (s *Server) Conditions() (out []v1alpha1.Condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tell := func(key v1alpha1.Key, reason, format string, args ...any) {
		out = append(out, v1alpha1.Condition{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name,
			Type: v1alpha1.Programmed, Status: "False", Reason: reason, Message: fmt.Sprintf(format, args...)})
	}
	for name, r := range s.hosts {
		if r.refusal == nil {
			continue
		}
		reason, did := "Rejected", "refused"
		if r.refusal.takenBack {
			reason, did = "TakenBack", "took back"
		}
		for _, key := range r.refusal.causes {
			tell(key, reason, "host %s %s version %s and keeps the one before: %s", name, did, r.refusal.version, r.refusal.message)
		}
	}
	if s.resource == nil {
		return out
	}
	for _, name := range s.resource.Names() {
		if r := s.hosts[name]; r != nil && r.streams > 0 {
			continue
		}
		for _, key := range s.resource.On(name) {
			tell(key, "NoAgent", "no agent of host %s is connected: nothing new is enforced on it", name)
		}
	}
	return out
}
