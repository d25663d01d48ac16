package flowreport

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// OfExchanges is what Lost and Alive are about when they are about HTTP, not flows.
const OfExchanges = "exchanges"

// MaxExchanges of one message.
const MaxExchanges = 1000

// Exchanges is HTTP that was seen without a proxy, told at once.
type Exchanges struct {
	Queue string     `json:"queue"` // as in Batch
	Seq   uint64     `json:"seq"`
	List  []Exchange `json:"list"`
}

// Exchange is one request with its response, past the door: no value is in it.
type Exchange struct {
	Src    End        `json:"src"`
	Dst    End        `json:"dst"`
	Client netip.Addr `json:"client"` // ::, as an end's, is one that nobody knows
	Port   uint16     `json:"port"`   // of Dst
	// Host and Path are masked, Params are names: see exchange.Exchange.
	Host     string        `json:"host,omitempty"`
	Path     string        `json:"path"`
	Params   []string      `json:"params,omitempty"`
	Proto    string        `json:"proto,omitempty"`
	Method   string        `json:"method"`
	Status   int           `json:"status"`
	Time     time.Time     `json:"time"`
	Duration time.Duration `json:"duration"`
	BytesIn  int64         `json:"bytesIn"`
	BytesOut int64         `json:"bytesOut"`
	TLS      bool          `json:"tls,omitempty"` // it was inside
	// Observation is what operations are learned from (exchange.DecodeObservation).
	Observation json.RawMessage `json:"observation"`
	Process     *Process        `json:"process,omitempty"` // that connected, or at which TLS was seen
	// Legs are names by which a proxy may tell of the same exchange (exchange.Leg): by
	// the id in the request, and by the one in the response.
	Legs []uint64 `json:"legs,omitempty"`
}

const maxLegs = 2

func (e *Exchanges) check() error {
	if err := checkQueue(e.Queue); err != nil {
		return err
	}
	switch {
	case e.Seq == 0 || e.Seq > 1<<62:
		return fmt.Errorf("batch %d: the first is 1", e.Seq)
	case len(e.List) == 0 || len(e.List) > MaxExchanges:
		return fmt.Errorf("%d exchanges are not between 1 and %d", len(e.List), MaxExchanges)
	}
	for i := range e.List {
		if err := e.List[i].check(); err != nil {
			return fmt.Errorf("exchange %d: %w", i, err)
		}
	}
	return nil
}

func (x *Exchange) check() error {
	for _, end := range []*End{&x.Src, &x.Dst} {
		if err := end.check(); err != nil {
			return err
		}
	}
	for _, text := range append([]string{x.Host, x.Proto, x.Method}, x.Params...) {
		if !sound(text) {
			return errors.New("a text is none")
		}
	}
	switch {
	case x.Src.Workload == "" && x.Dst.Workload == "":
		return errors.New("neither end is a workload")
	case !x.Client.IsValid() || x.Client.Zone() != "":
		return errors.New("its client has no address")
	case len(x.Legs) > maxLegs:
		return errors.New("it has too many names")
	case len(x.Path) > 8<<10 || len(x.Params) > 256 || len(x.Observation) == 0:
		return errors.New("its path, parameters or observation are none")
	case x.Status < 0 || x.Status > 999 || x.Duration < 0 || x.BytesIn < 0 || x.BytesOut < 0:
		return errors.New("a number is out of its range")
	case x.Process != nil && !(sound(x.Process.Executable) && sound(x.Process.Cgroup)):
		return errors.New("its process is no text")
	}
	return nil
}

// Observed reads the observation.
func (x *Exchange) Observed() (*exchange.Observation, error) {
	return exchange.DecodeObservation(x.Observation)
}
