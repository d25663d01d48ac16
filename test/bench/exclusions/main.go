// Command exclusions measures what learned exclusions are worth: a labelled
// traffic set of many clients over days goes through the real engine, exclusions
// are learned from the first days as `gabion waf propose` does, all of them are
// accepted, and the rest is judged with and without them: false positives removed,
// attacks lost, and what of the attackers' got into the evidence.
//
// The traffic is generated from seeds; it is not anybody's. Known attacks placed
// in every parameter of every operation give what detection costs there.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

type options struct {
	people, visits, days, learn, attacks int
	profile                              string
	verbose                              bool
}

func main() {
	var o options
	seeds := flag.String("seeds", "1,2,3", "one run for each")
	flag.IntVar(&o.people, "people", 250, "benign clients")
	flag.IntVar(&o.visits, "visits", 36, "requests of each")
	flag.IntVar(&o.days, "days", 7, "days of traffic")
	flag.IntVar(&o.learn, "learn", 4, "of them, the first days that are learned from")
	flag.IntVar(&o.attacks, "attacks", 4, "place every nth known attack in each parameter")
	flag.StringVar(&o.profile, "profile", "crs", "the policy's profile")
	flag.BoolVar(&o.verbose, "v", false, "say on standard error what was proposed and what stays")
	flag.Parse()
	for _, word := range strings.Split(*seeds, ",") {
		seed, err := strconv.ParseUint(strings.TrimSpace(word), 10, 64)
		if err == nil {
			err = run(context.Background(), seed, o)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench-exclusions:", err)
			os.Exit(1)
		}
	}
}

// figures are one run's line.
type figures struct {
	Seed          uint64         `json:"seed"`
	Profile       string         `json:"profile"`
	Learned       int            `json:"learned_from"` // requests in the days learned from
	Proposals     int            `json:"proposals"`
	Exclusions    int            `json:"exclusions"`
	AttackEvents  int            `json:"attack_events"`      // of the attackers, in those days
	InEvidence    map[string]int `json:"attack_in_evidence"` // of them, in a proposal's evidence, by behaviour
	Judged        int            `json:"judged"`             // requests in the days after
	FalseBefore   int            `json:"false_positives"`
	FalseAfter    int            `json:"false_positives_left"`
	RemovedPct    float64        `json:"removed_pct"`
	AttacksBefore int            `json:"attacks_found"` // the attackers' own, in the days after
	AttacksAfter  int            `json:"attacks_found_after"`
	AttacksSent   int            `json:"attacks_sent"`

	Routes []routeFigures `json:"routes"`
}

func run(ctx context.Context, seed uint64, o options) error {
	dir, err := os.MkdirTemp("", "bench-exclusions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := openShop(ctx, dir, o.profile)
	if err != nil {
		return err
	}
	defer s.store.Close()

	r := rand.New(rand.NewPCG(seed, 0))
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	all := append(benign(r, crowd(r, o.people), begin, o.days, o.visits), attackers(r, begin, o.days)...)
	inOrder(all)
	split := begin.AddDate(0, 0, o.learn)
	n := 0
	for n < len(all) && all[n].at.Before(split) {
		n++
	}
	first, rest := all[:n], all[n:]

	s.now = split
	who, err := s.live(ctx, first)
	if err != nil {
		return err
	}
	before, err := s.policy(ctx)
	if err != nil {
		return err
	}
	found, err := s.desk.Suggest(ctx, proposal.SuggestRules{Limit: 100})
	if err != nil {
		return err
	}
	if o.verbose {
		explain(found)
	}
	out := figures{Seed: seed, Profile: o.profile, Learned: len(first), Judged: len(rest), Proposals: len(found.Proposals), InEvidence: map[string]int{}}
	for _, w := range who {
		if strings.HasPrefix(w, "attack") {
			out.AttackEvents++
		}
	}
	var excluded []wafrules.Exclusion
	for _, p := range found.Proposals {
		excluded = append(excluded, p.Exclusions...)
		out.Exclusions += len(p.Exclusions)
		for _, id := range p.Evidence.Events {
			if strings.HasPrefix(who[id], "attack") {
				out.InEvidence[who[id]]++
				if o.verbose {
					fmt.Fprintf(os.Stderr, "IN EVIDENCE of %s: %s\n", p.Title, who[id])
				}
			}
		}
	}
	if err := s.acceptAll(ctx, found.Proposals); err != nil {
		return err
	}
	after, err := s.policy(ctx)
	if err != nil {
		return err
	}
	if err := s.judge(rest, before, after, &out, o); err != nil {
		return err
	}
	if out.Routes, err = s.placed(before, after, excluded, o.attacks); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// judge runs the rest of the traffic through both policies.
func (s *shop) judge(rest []sent, before, after filters.Policy, out *figures, o options) error {
	was, err := s.engine(before)
	if err != nil {
		return err
	}
	defer was.Close()
	is, err := s.engine(after)
	if err != nil {
		return err
	}
	defer is.Close()
	for _, r := range rest {
		m := filters.Message{Request: &r.head, RequestBody: r.body}
		v, w := was.Decide(m), is.Decide(m)
		denied, still := v.Decision != filters.Allow, w.Decision != filters.Allow
		switch {
		case r.attack():
			out.AttacksSent++
			out.AttacksBefore += count(denied)
			out.AttacksAfter += count(still)
		case denied:
			out.FalseBefore++
			out.FalseAfter += count(still)
			if still && o.verbose {
				left(r, w)
			}
		}
	}
	if out.FalseBefore > 0 {
		out.RemovedPct = 100 * float64(out.FalseBefore-out.FalseAfter) / float64(out.FalseBefore)
	}
	return nil
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// explain lists the proposals for whoever works on learning.
func explain(found proposal.Suggestions) {
	fmt.Fprintf(os.Stderr, "%+v\n", found.Looked)
	for _, p := range found.Proposals {
		e := p.Evidence
		fmt.Fprintf(os.Stderr, "%s\n  %d events, %d clients, %d hours; replay %+v; opens %d of %d, %.2f points; rehearsal passed %d of %d\n",
			p.Title, e.Covered, e.Clients, e.Hours, e.Replay, e.Opens.Opened, e.Opens.Denied, e.Opens.Points, p.Rehearsal.NewlyPassed, p.Rehearsal.Judged)
		for _, x := range e.Rules {
			fmt.Fprintf(os.Stderr, "    %+v\n", x)
		}
		for _, note := range e.Notes {
			fmt.Fprintf(os.Stderr, "    %s\n", note)
		}
	}
}

// left says why a false positive stays.
func left(r sent, v filters.Verdict) {
	fmt.Fprintf(os.Stderr, "LEFT %s %s score %d:", r.head.Method, r.head.Path, v.Score)
	for _, m := range v.Event.Matches {
		if m.Score > 0 {
			fmt.Fprintf(os.Stderr, " %d@%s", m.Rule, m.Variable)
		}
	}
	fmt.Fprintf(os.Stderr, " %.120q\n", r.body)
}
