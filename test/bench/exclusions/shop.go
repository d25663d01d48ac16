package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/test/plane"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// shop is a control plane without a network in front of a shop without an
// application: store, compiler, proposals and the filter's engine are the real
// ones.
type shop struct {
	store   *store.Store
	desk    *proposal.Desk
	world   plane.Compiled
	runtime *chain.Runtime
	now     time.Time
	tape    []*recording.Exchange
	fixed   []source.Item
	engine  proposal.Engine
}

func openShop(ctx context.Context, dir, profile string) (*shop, error) {
	st, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	s := &shop{store: st, runtime: chain.NewJudging(chain.Options{})}
	s.engine = func(p filters.Policy) (proposal.Judge, error) { return s.runtime.Judge(p) }
	if s.fixed, err = plane.Items(source.File, plane.Traffic); err != nil {
		return nil, err
	}
	policy := "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata:\n  name: shop\n  namespace: default\nspec:\n  mode: detect\n  profile: " + profile + "\n"
	parsed, err := plane.Items(source.Store, policy)
	if err != nil {
		return nil, err
	}
	_, _, err = st.PutResource(ctx, store.Resource{Key: store.Key(v1alpha1.KeyOf(parsed[0].Object)), Origin: store.OriginStore, Manifest: []byte(policy), Author: "bench"}, store.PutOptions{Author: "bench"})
	if err != nil {
		return nil, err
	}
	checker := chain.NewChecker()
	s.world = plane.Compiled{
		Set: func() source.Set { return source.NewSet(s.stored(ctx), nil) },
		Compile: func(set source.Set) compile.Result {
			return compile.Compile(set, compile.Options{Now: s.now, Check: checker.Check})
		},
		Mark: st.Mark,
	}
	s.desk = proposal.NewDesk(proposal.Options{
		Store: st, World: s.world, Engine: s.engine, Recordings: s, Attacks: regression.Attacks,
		Now: func() time.Time { return s.now }, Budget: 3 * time.Second,
	})
	return s, nil
}

// stored are the resources in force. What the store holds was read once already,
// so that it cannot be read now ends the program.
func (s *shop) stored(ctx context.Context) []source.Item {
	all := slices.Clone(s.fixed)
	rows, err := s.store.Resources(ctx, "")
	if err != nil {
		panic(err)
	}
	for _, r := range rows {
		i, err := plane.Items(source.Store, string(r.Manifest))
		if err != nil {
			panic(err)
		}
		i[0].Revision = r.Revision
		all = append(all, i[0])
	}
	return all
}

// live shows requests to the filter as it is configured now and keeps what comes
// of them: events, exchanges and recordings. It gives the events' ids of each
// request's sender.
func (s *shop) live(ctx context.Context, all []sent) (map[string]string, error) {
	tables, err := s.world.Effective(ctx, nil)
	if err != nil {
		return nil, err
	}
	who := map[string]string{}
	for name, table := range tables {
		config, err := json.Marshal(table)
		if err != nil {
			return nil, err
		}
		loaded, err := s.runtime.Load(config)
		if err != nil {
			return nil, err
		}
		defer loaded.Release()
		var events []filters.Event
		var seen []exchange.Exchange
		for key, binding := range table.Bindings {
			for i := range all {
				e, x := s.one(loaded, name, key, i, &all[i])
				x.PolicyID = binding.Policy
				if e != nil {
					events = append(events, *e)
					who[e.ID] = all[i].who
				}
				s.tape = append(s.tape, x)
				seen = append(seen, exchange.Exchange{ID: "x" + x.ID, Event: x.ID, Time: all[i].at, Client: clientHash(all[i].client),
					Method: all[i].head.Method, Host: shopHost, Path: exchange.MaskPath(all[i].head.Path), Status: 200})
			}
		}
		if _, err := s.store.AddEvents(ctx, events); err != nil {
			return nil, err
		}
		if _, err := s.store.AddExchanges(ctx, seen); err != nil {
			return nil, err
		}
	}
	return who, nil
}

// one judges a request and masks its event as the door does.
func (s *shop) one(t *chain.Table, listener, key string, i int, r *sent) (*filters.Event, *recording.Exchange) {
	x := t.Begin(key)
	x.RequestHeaders(&r.head, len(r.body) == 0)
	if len(r.body) > 0 {
		x.RequestBody(r.body, true)
	}
	x.ResponseHeaders(&filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "text/html"}}}, true)
	e := x.Complete()
	kept := &recording.Exchange{ID: fmt.Sprintf("%08d", i), Time: r.at, Listener: listener, Key: key, Route: "default/shop",
		Request: r.head, RequestBody: r.body, RequestBodyBytes: int64(len(r.body)), Decision: filters.Allow}
	if e == nil {
		return nil, kept
	}
	e.Time, e.Listener, e.Proxy = r.at, listener, "bench"
	e.Client, e.ClientNet = clientHash(r.client), netip.PrefixFrom(r.client, 24).Masked().String()
	e.Host, e.Path = exchange.MaskHost(e.Host), exchange.MaskPath(e.Path)
	kept.ID, kept.Decision, kept.Event = e.ID, e.Decision, e
	return e, kept
}

func clientHash(a netip.Addr) string {
	sum := sha256.Sum256([]byte(a.String()))
	return hex.EncodeToString(sum[:8])
}

// acceptAll writes every proposal, as a person would who trusts them all.
func (s *shop) acceptAll(ctx context.Context, ps []proposal.Proposal) error {
	for _, p := range ps {
		_, err := s.desk.Accept(ctx, p.ID, "bench")
		if errors.Is(err, proposal.ErrBaseChanged) { // the one before was written into the same policy
			if _, err = s.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{Since: s.now}); err == nil {
				_, err = s.desk.Accept(ctx, p.ID, "bench")
			}
		}
		if err != nil {
			return fmt.Errorf("accept %s: %w", p.Title, err)
		}
	}
	return nil
}

// policy is what governs the shop now.
func (s *shop) policy(ctx context.Context) (filters.Policy, error) {
	tables, err := s.world.Effective(ctx, nil)
	if err != nil {
		return filters.Policy{}, err
	}
	for _, t := range tables {
		for _, b := range t.Bindings {
			return t.Policies[b.Policy], nil
		}
	}
	return filters.Policy{}, errors.New("nothing governs the shop")
}

// Count and Each make the shop's tape a proposal.Recordings.
func (s *shop) Count(q recording.Query) (int, error) { return len(s.tape), nil }

func (s *shop) Each(q recording.Query, fn func(*recording.Exchange) error) (recording.OpenReport, error) {
	report := recording.OpenReport{Segments: 1}
	ids := map[string]bool{}
	for _, id := range q.IDs {
		ids[id] = true
	}
	for _, x := range s.tape {
		if len(ids) > 0 && !ids[x.ID] || x.Time.Before(q.Since) || !q.Until.IsZero() && !x.Time.Before(q.Until) {
			report.Skipped++
			continue
		}
		report.Exchanges++
		if err := fn(x); err != nil {
			return report, err
		}
	}
	return report, nil
}
