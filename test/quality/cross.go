package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gabion-io/gabion/filters/chain"
)

// trial is one payload in one place.
type trial struct {
	payload
	place string
	raw   []byte
}

// trials puts every payload into every place. XML attacks are documents: they
// also stand as whole bodies, where they belong.
func trials() ([]trial, error) {
	own, err := ownPayloads()
	if err != nil {
		return nil, err
	}
	suite, err := suitePayloads()
	if err != nil {
		return nil, err
	}
	return placed(slices.Concat(own, suite)), nil
}

func placed(payloads []payload) (out []trial) {
	for _, p := range payloads {
		if p.family == "xxe" {
			out = append(out, trial{p, "whole body", []byte(post("text/xml", p.text))})
		}
		for _, at := range places() {
			if raw, ok := at.put(p.text); ok {
				out = append(out, trial{p, at.name, []byte(raw)})
			}
		}
	}
	return out
}

func crossPart(profile string) error {
	all, err := trials()
	if err != nil {
		return err
	}
	profiles := slices.Compact([]string{"crs", profile})
	byProfile, err := judgeTrials(all, profiles)
	if err != nil {
		return err
	}
	printTrials(all, profiles, byProfile, []group{
		{"all", func(t trial) (string, bool) { return "all", true }},
		{"payloads of our own, by place", func(t trial) (string, bool) { return t.place, !suiteFamily(t.family) }},
		{"payloads of the rule set's suite, by place", func(t trial) (string, bool) { return t.place, suiteFamily(t.family) }},
		{"by family", func(t trial) (string, bool) { return t.family, true }},
	})
	return nil
}

// group counts trials under a name, or not at all.
type group struct {
	title string
	of    func(trial) (string, bool)
}

// judgeTrials gives each profile's verdicts, in order.
func judgeTrials(all []trial, profiles []string) (byProfile [][]chain.Verdict, err error) {
	raws := make([][]byte, len(all))
	for i := range all {
		raws[i] = all[i].raw
	}
	for _, p := range profiles {
		j, err := newJudge(p)
		if err != nil {
			return nil, err
		}
		byProfile = append(byProfile, judgeAll(j, raws))
		j.Close()
	}
	return byProfile, nil
}

func printTrials(all []trial, profiles []string, byProfile [][]chain.Verdict, groups []group) {
	for _, g := range groups {
		fmt.Printf("%-45s", "cross-check, "+g.title)
		for _, p := range profiles {
			fmt.Printf(" %9s %%", p)
		}
		fmt.Println("  requests")
		counts := map[string][]tally{}
		for i, t := range all {
			name, ok := g.of(t)
			if !ok {
				continue
			}
			if counts[name] == nil {
				counts[name] = make([]tally, len(profiles))
			}
			for k := range profiles {
				counts[name][k].add(outcomeOf(byProfile[k][i]))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Printf("  %-43s", name)
			for _, c := range counts[name] {
				fmt.Printf(" %11.1f", percent(c.denied+c.malformed, c.all))
			}
			fmt.Printf(" %9d\n", counts[name][0].all)
		}
	}
	fmt.Println()
}

func suiteFamily(f string) bool { return len(f) > 4 && f[:4] == "crs-" }
