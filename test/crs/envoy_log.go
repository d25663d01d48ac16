package crs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// entry is what the access log says of one exchange.
type entry struct {
	Peer   string            `json:"peer"`
	Detail string            `json:"detail"`
	Shown  map[string]string `json:"shown"`
	Raw    string            `json:"event"`
}

func (e *entry) event() (*filters.Event, error) {
	if e.Raw == "" || e.Raw == "-" {
		return nil, nil
	}
	var ev filters.Event
	if err := json.Unmarshal([]byte(e.Raw), &ev); err != nil {
		return nil, fmt.Errorf("decode event %.200q: %w", e.Raw, err)
	}
	return &ev, nil
}

// accessLog follows Envoy's access log and hands entries to those who wait for
// them: an exchange is known by the client's port, as nothing can be added to
// the request without the rules seeing it.
type accessLog struct {
	file *os.File
	stop chan struct{}
	done chan struct{}
	mu   sync.Mutex
	wait map[string]chan *entry // by peer
}

func accessLogPath(dir string) string { return filepath.Join(dir, "access.log") }

func followAccessLog(path string) (*accessLog, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	l := &accessLog{file: f, stop: make(chan struct{}), done: make(chan struct{}), wait: map[string]chan *entry{}}
	go l.follow()
	return l, nil
}

func (l *accessLog) follow() {
	defer close(l.done)
	var rest []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := l.file.Read(buf)
		rest = append(rest, buf[:n]...)
		for {
			line, after, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				break
			}
			l.deliver(line)
			rest = after
		}
		rest = append([]byte(nil), rest...)
		if err == nil && n > 0 {
			continue
		}
		select {
		case <-l.stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *accessLog) deliver(line []byte) {
	e := &entry{}
	if json.Unmarshal(line, e) != nil {
		return // the waiting side tells
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ch := l.wait[e.Peer]; ch != nil {
		delete(l.wait, e.Peer) // what follows on the connection is not the case's request
		ch <- e
	}
}

// expect announces an exchange. Its channel gets the first entry of the peer.
func (l *accessLog) expect(peer string) <-chan *entry {
	ch := make(chan *entry, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wait[peer] = ch
	return ch
}

func (l *accessLog) forget(peer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wait, peer)
}

func (l *accessLog) close() {
	close(l.stop)
	<-l.done
	_ = l.file.Close()
}
