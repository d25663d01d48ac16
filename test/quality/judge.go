package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// policyOf is a policy in block mode as the control plane would make it of
// "profile: name" and nothing else.
func policyOf(profile string) (filters.Policy, error) {
	s := wafrules.Defaults()
	s.Profile = profile
	raw, err := json.Marshal(s)
	if err != nil {
		return filters.Policy{}, err
	}
	return filters.Policy{
		Mode: filters.ModeBlock, FailureMode: filters.FailClosed,
		RequestBody:  filters.BodyInspection{Inspect: true, Limit: 128 << 10, StructuredLimit: 1 << 20, Depth: 64, Beyond: filters.BeyondPartial},
		ResponseBody: filters.BodyInspection{Limit: 512 << 10, Beyond: filters.BeyondPartial},
		Block:        filters.BlockResponse{Status: 403},
		WAF:          raw,
	}, nil
}

func newJudge(profile string) (*chain.Judge, error) {
	p, err := policyOf(profile)
	if err != nil {
		return nil, err
	}
	j, err := chain.NewJudge(p, chain.Options{})
	if err != nil {
		return nil, fmt.Errorf("compile profile %s: %w", profile, err)
	}
	return j, nil
}

// outcome is what became of a request.
type outcome int

const (
	passed outcome = iota
	denied
	malformed // refused with 400: by the parser in front, or by a base rule
)

func outcomeOf(v chain.Verdict) outcome {
	switch {
	case v.Decision != filters.Denied:
		return passed
	case v.Status == 400:
		return malformed
	}
	return denied
}

// judgeAll gives the verdicts of all requests, in order.
func judgeAll(j *chain.Judge, raws [][]byte) []chain.Verdict {
	out := make([]chain.Verdict, len(raws))
	var next sync.Mutex
	at := 0
	var done sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for {
				next.Lock()
				i := at
				at++
				next.Unlock()
				if i >= len(raws) {
					return
				}
				out[i] = j.DecideRaw(raws[i])
			}
		})
	}
	done.Wait()
	return out
}

// tally counts outcomes.
type tally struct{ all, denied, malformed int }

func (t *tally) add(o outcome) {
	t.all++
	switch o {
	case denied:
		t.denied++
	case malformed:
		t.malformed++
	}
}

func percent(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}
