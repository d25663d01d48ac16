package store

import (
	"context"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// ExchangeQuery selects exchanges, newest first.
type ExchangeQuery struct {
	Since, Until time.Time
	Route        string
	Method, Path string
	Host         string
	Client       string
	Limit        int // default 100, at most 10,000
}

// AddExchanges stores those not stored yet (by ID); a later report of the same
// stream replaces the earlier.
func (s *Store) AddExchanges(ctx context.Context, xs []exchange.Exchange) (added int, err error) {
	panic("todo")
}

func (s *Store) Exchanges(ctx context.Context, q ExchangeQuery) ([]exchange.Exchange, error) {
	panic("todo")
}
