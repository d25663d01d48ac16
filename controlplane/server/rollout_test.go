package server

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/hosts"
)

func TestCountRollout(t *testing.T) {
	proxy := func(connected bool, types ...ads.TypeStatus) ads.ProxyStatus {
		return ads.ProxyStatus{Connected: connected, Types: types}
	}
	got := countRollout([]ads.ProxyStatus{
		proxy(true, ads.TypeStatus{Want: "2", Acked: "2"}, ads.TypeStatus{}),
		proxy(true, ads.TypeStatus{Want: "2", Acked: "1"}, ads.TypeStatus{Want: "1", Acked: "1"}),
		proxy(true, ads.TypeStatus{Want: "2", Acked: "1", Nacked: "2"}),
		proxy(true, ads.TypeStatus{Want: "2", Nacked: "2"}, ads.TypeStatus{Want: "3", Acked: "1"}),
		proxy(false, ads.TypeStatus{Acked: "1"}),
	})
	if diff := cmp.Diff(Rollout{Proxies: 4, Accepted: 1, Refused: 1, Waiting: 2}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCountAgents(t *testing.T) {
	got := countAgents([]hosts.Status{
		{Connected: true, Want: "2", Acked: "2", Resources: 1},
		{Connected: true, Want: "0", Acked: "0"},
		{Connected: true, Want: "2", Acked: "2", Nacked: "1", Resources: 1},
		{Connected: true, Want: "2", Acked: "1"},
		{Connected: true, Want: "3", Acked: "1", Nacked: "2"},
		{Connected: true, Want: "2", Acked: "1", Nacked: "2"},
		{Want: "2", Acked: "1"},
	})
	if diff := cmp.Diff(Tally{Connected: 5, Accepted: 2, Refused: 1, Waiting: 2}, got); diff != "" {
		t.Error(diff)
	}
}

// answering is a fleet that accepts after a few looks.
type answering struct{ looks int }

func (a *answering) Nacks() []ads.Nack { return nil }
func (a *answering) Status() []ads.ProxyStatus {
	a.looks++
	acked := "1"
	if a.looks > 3 {
		acked = "2"
	}
	return []ads.ProxyStatus{{Connected: true, Types: []ads.TypeStatus{{Want: "2", Acked: acked}}}}
}

func TestRolloutWaitsForAnswers(t *testing.T) {
	a := &api{Options: Options{Proxies: &answering{}, Log: slog.New(slog.DiscardHandler)}}
	if r := a.rolledOut(t.Context()); r.Accepted != 1 || r.Waiting != 0 {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	a.Proxies = &answering{looks: -1000}
	if r := a.rolledOut(ctx); r.Waiting != 1 {
		t.Errorf("%+v", r)
	}
}
