package extproc

import (
	"sync"
	"time"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/gabion-io/gabion/filters"
)

// lateBody ends a request whose body does not come. Envoy shows a body that it holds
// when it is whole, so how fast it comes is not seen: what is seen is that at the
// least rate it would be here. Envoy takes a denial that answers no message.
type lateBody struct {
	lock    sync.Mutex // the exchange, and who sends, are one at a time
	server  *server
	session *session
	send    func(*procv3.ProcessingResponse) error
	timer   *time.Timer
}

// start begins to wait, if the exchange waits for a body. Called with the lock.
func (l *lateBody) start() {
	due := l.session.due
	if due == 0 {
		return
	}
	l.session.due = 0
	var mine *time.Timer
	mine = time.AfterFunc(due, func() {
		l.lock.Lock()
		defer l.lock.Unlock()
		if l.timer != mine {
			return // the body came while we waited for the lock
		}
		l.timer = nil
		l.server.guard("slow upload", func() {
			if step := l.session.exchange.Waiting(); step.Do == filters.Deny {
				_ = l.send(l.session.tell(step, nil)) // the client may be gone
			}
		})
	})
	l.timer = mine
}

// stop ends the waiting. Called with the lock.
func (l *lateBody) stop() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}
