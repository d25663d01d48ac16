package main

import (
	"context"
	"errors"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// routeFigures is detection of the known attacks placed in the parameters of one
// operation.
type routeFigures struct {
	Route  string  `json:"route"`
	Placed int     `json:"placed"` // attacks, once for each parameter
	Found  int     `json:"found"`
	Lost   int     `json:"lost"`
	Points float64 `json:"points_lost"`            // of those placed anywhere on the route
	Worst  string  `json:"worst_parameter"`        // where most is lost
	There  float64 `json:"points_lost_in_the_one"` // of those placed in that parameter alone
}

// operations are the shop's, each with the parameters that it reads.
func operations() []struct {
	name    string
	at      wafrules.Exclusion
	targets []string
} {
	everywhere := []string{"REQUEST_COOKIES:prefs", "REQUEST_COOKIES:sid", "REQUEST_HEADERS:x-device", "REQUEST_HEADERS:user-agent", "REQUEST_HEADERS:referer"}
	op := func(name, method, path string, targets ...string) struct {
		name    string
		at      wafrules.Exclusion
		targets []string
	} {
		return struct {
			name    string
			at      wafrules.Exclusion
			targets []string
		}{name, wafrules.Exclusion{Method: method, Host: shopHost, Path: path}, append(targets, everywhere...)}
	}
	out := []struct {
		name    string
		at      wafrules.Exclusion
		targets []string
	}{
		op("GET /search", "GET", "/search", "ARGS_GET:q", "ARGS_GET:page", "ARGS_GET:sort"),
		op("POST /comments", "POST", "/comments", "ARGS_POST:text", "ARGS_POST:author"),
		op("POST /orders/{number}/note", "POST", "/orders/4711/note", "ARGS_POST:note"),
		op("POST /blog/{value}/comment", "POST", "/blog/oak-or-beech/comment", "ARGS_POST:body"),
		op("POST /api/articles", "POST", "/api/articles", "ARGS:json.title", "ARGS:json.body", "ARGS:json.tags.0"),
		op("PUT /api/files", "PUT", "/api/files", "ARGS:json.name", "ARGS:json.content"),
		op("GET /", "GET", "/"),
	}
	return out
}

// placed sends every nth known attack to each parameter of each operation, under
// both policies.
func (s *shop) placed(before, after filters.Policy, excluded []wafrules.Exclusion, nth int) ([]routeFigures, error) {
	all, err := regression.Attacks()
	if err != nil {
		return nil, err
	}
	var attacks []wafrules.Attack
	for i := 0; i < len(all); i += nth {
		attacks = append(attacks, all[i])
	}
	for _, p := range []filters.Policy{before, after} { // held, so that each is compiled once
		j, err := s.engine(p)
		if err != nil {
			return nil, err
		}
		defer j.Close()
	}
	var out []routeFigures
	for _, op := range operations() {
		f := routeFigures{Route: op.name}
		for _, target := range op.targets {
			at := op.at
			at.Target = target
			o := proposal.Opened(context.Background(), proposal.AttackTrial{Engine: s.engine, Attacks: attacks, Before: before, After: after,
				Exclusions: excluded, Places: []wafrules.Exclusion{at}})
			if o.Error != "" {
				return nil, errors.New(o.Error)
			}
			f.Placed, f.Found, f.Lost = f.Placed+o.Tried, f.Found+o.Denied, f.Lost+o.Opened
			if o.Points >= f.There {
				f.There, f.Worst = o.Points, target
			}
		}
		f.Points = 100 * float64(f.Lost) / float64(f.Placed)
		out = append(out, f)
	}
	return out, nil
}
