package access

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Failed logins: each address may fail loginBurst times at once and once every
// loginEvery after that; loginAddresses addresses are remembered.
const (
	loginBurst     = 10
	loginEvery     = 2 * time.Second
	loginAddresses = 4096
	knownTokens    = 256
)

// throttle slows down guessing of tokens. An address that has used up its
// failures gets 429 for every token this process has not yet seen to be good, so
// that an attacker on the same address cannot lock the owner out.
type throttle struct {
	now func() time.Time

	mu        sync.Mutex
	addresses *lru[string, *rate.Limiter]
	good      *lru[[32]byte, struct{}]
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now:       now,
		addresses: newLRU[string, *rate.Limiter](loginAddresses),
		good:      newLRU[[32]byte, struct{}](knownTokens),
	}
}

// allow says whether this token may be tried from this address.
func (t *throttle) allow(address, token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.good.get(sha256.Sum256([]byte(token))); ok {
		return true
	}
	l, ok := t.addresses.get(address)
	return !ok || l.TokensAt(t.now()) >= 1
}

// failed counts a refused token against its address.
func (t *throttle) failed(address, token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.good.remove(sha256.Sum256([]byte(token)))
	l, ok := t.addresses.get(address)
	if !ok {
		l = rate.NewLimiter(rate.Every(loginEvery), loginBurst)
		t.addresses.put(address, l)
	}
	l.AllowN(t.now(), 1)
}

// succeeded remembers a good token by its hash.
func (t *throttle) succeeded(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.good.put(sha256.Sum256([]byte(token)), struct{}{})
}

// lru is a bounded map that forgets what was used longest ago. Not safe for
// concurrent use.
type lru[K comparable, V any] struct {
	max   int
	order *list.List // of lruEntry, most recent first
	byKey map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](max int) *lru[K, V] {
	return &lru[K, V]{max: max, order: list.New(), byKey: make(map[K]*list.Element)}
}

func (c *lru[K, V]) get(k K) (V, bool) {
	e, ok := c.byKey[k]
	if !ok {
		var zero V
		return zero, false
	}
	c.order.MoveToFront(e)
	return e.Value.(lruEntry[K, V]).value, true
}

func (c *lru[K, V]) put(k K, v V) {
	if e, ok := c.byKey[k]; ok {
		e.Value = lruEntry[K, V]{k, v}
		c.order.MoveToFront(e)
		return
	}
	c.byKey[k] = c.order.PushFront(lruEntry[K, V]{k, v})
	if c.order.Len() > c.max {
		c.remove(c.order.Back().Value.(lruEntry[K, V]).key)
	}
}

func (c *lru[K, V]) remove(k K) {
	if e, ok := c.byKey[k]; ok {
		c.order.Remove(e)
		delete(c.byKey, k)
	}
}
