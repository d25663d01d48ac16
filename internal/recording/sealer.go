package recording

import (
	"cmp"
	"crypto/hpke"
	"fmt"
	"sync"
	"time"
)

// Appender takes sealed batches; a *spool.Writer is one.
type Appender interface{ Append(rec []byte) bool }

// SealerOptions bound a Sealer; zero means the default.
type SealerOptions struct {
	BatchExchanges int           // default 64
	BatchBytes     int64         // default 4 MiB of bodies and headers
	BatchAge       time.Duration // default 200 ms
	QueueExchanges int           // default 1024
	QueueBytes     int64         // default 32 MiB
}

func (o SealerOptions) withDefaults() SealerOptions {
	o.BatchExchanges = cmp.Or(o.BatchExchanges, 64)
	o.BatchBytes = cmp.Or(o.BatchBytes, 4<<20)
	o.BatchAge = cmp.Or(o.BatchAge, 200*time.Millisecond)
	o.QueueExchanges = cmp.Or(o.QueueExchanges, 1024)
	o.QueueBytes = cmp.Or(o.QueueBytes, 32<<20)
	return o
}

// Sealer batches, compresses and seals exchanges and appends them to a spool,
// in a goroutine of its own.
type Sealer struct {
	o   SealerOptions
	key hpke.PublicKey
	to  Appender

	mu      sync.Mutex
	queue   []*Exchange
	bytes   int64 // of the queue and of what is being sealed
	sealing int   // exchanges taken from the queue, neither appended nor dropped yet
	dropped uint64
	ended   bool

	wake chan struct{} // something to do
	full chan struct{} // enough for a batch
	stop chan struct{}
	gone chan struct{}
}

// NewSealer starts a sealer to publicKey (X25519, 32 bytes).
func NewSealer(publicKey []byte, to Appender, o SealerOptions) (*Sealer, error) {
	key, err := kem().NewPublicKey(publicKey)
	if err != nil {
		return nil, fmt.Errorf("read recording's public key: %w", err)
	}
	s := &Sealer{o: o.withDefaults(), key: key, to: to, wake: make(chan struct{}, 1),
		full: make(chan struct{}, 1), stop: make(chan struct{}), gone: make(chan struct{})}
	go s.run()
	return s, nil
}

// Add queues an exchange and returns at once; it keeps x and everything it
// points to, so the caller must not change them. False: dropped and counted.
func (s *Sealer) Add(x *Exchange) bool {
	cost := x.cost()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.queue) >= s.o.QueueExchanges || s.bytes+cost > s.o.QueueBytes {
		s.dropped++
		s.lose(1)
		return false
	}
	s.queue = append(s.queue, x)
	s.bytes += cost
	signal(s.wake)
	if len(s.queue) >= s.o.BatchExchanges || s.bytes >= s.o.BatchBytes {
		signal(s.full)
	}
	return true
}

// lose tells the spool of exchanges that will never be a record of it, so that
// its counter, which the control plane reads, has all that was lost.
func (s *Sealer) lose(n int) {
	if counter, ok := s.to.(interface{ Lose(int) }); ok && n > 0 {
		counter.Lose(n)
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Dropped counts exchanges lost so far: queue full or spool full.
func (s *Sealer) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Close seals what is queued and ends the sealer. It does not close the spool.
func (s *Sealer) Close() {
	s.mu.Lock()
	first := !s.ended
	s.ended = true
	s.mu.Unlock()
	if first {
		close(s.stop)
	}
	<-s.gone
}

// run seals. Whatever goes wrong in it ends the recording, never the process.
func (s *Sealer) run() {
	defer close(s.gone)
	defer func() {
		recover()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		s.dropped += uint64(len(s.queue) + s.sealing)
		s.lose(len(s.queue) + s.sealing)
		s.queue, s.sealing = nil, 0
	}()
	for {
		select {
		case <-s.stop:
			s.sealQueue()
			return
		case <-s.wake:
		}
		age := time.NewTimer(s.o.BatchAge)
		select {
		case <-age.C:
		case <-s.full:
		case <-s.stop:
		}
		age.Stop()
		s.sealQueue()
	}
}

func (s *Sealer) sealQueue() {
	for {
		batch, cost := s.next()
		if len(batch) == 0 {
			return
		}
		b, err := seal(batch, s.key)
		if err != nil {
			s.lose(len(batch))
		}
		kept := err == nil && s.to.Append(b) // what it does not take it counts
		s.mu.Lock()
		s.bytes -= cost
		s.sealing = 0
		if !kept {
			s.dropped += uint64(len(batch))
		}
		s.mu.Unlock()
	}
}

func (s *Sealer) next() (batch []*Exchange, cost int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(batch) < len(s.queue) && len(batch) < s.o.BatchExchanges && cost < s.o.BatchBytes {
		cost += s.queue[len(batch)].cost()
		batch = s.queue[:len(batch)+1]
	}
	s.queue = s.queue[len(batch):]
	s.sealing = len(batch)
	if len(s.queue) == 0 {
		s.queue = nil
	}
	return batch, cost
}
