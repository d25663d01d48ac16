package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/gabion-io/gabion/filters/chain"
)

// tuned says whether a sample belongs to the folders that may be looked at when
// rules are chosen. The others are only counted.
func tuned(s sample) bool { return s.folder() < 0x20 }

func corpusPart(profile string) error {
	from := findCorpus()
	if from == "" {
		fmt.Printf("corpus: left out: there is none in ../shared/waf-corpus, and %s is not set\n\n", corpusEnv)
		return nil
	}
	samples, err := readCorpus(from)
	if err != nil {
		return err
	}
	raws := make([][]byte, len(samples))
	for i := range samples {
		raws[i] = samples[i].raw
	}
	fmt.Println("corpus                   attacks  found      %  malformed   normal  stopped      %  malformed")
	for _, p := range slices.Compact([]string{"crs", profile}) {
		j, err := newJudge(p)
		if err != nil {
			return err
		}
		verdicts := judgeAll(j, raws)
		j.Close()
		printCorpus(p, samples, verdicts)
		if p == profile {
			printTop(samples, verdicts)
		}
	}
	return nil
}

func printCorpus(profile string, samples []sample, verdicts []chain.Verdict) {
	for _, half := range []struct {
		name string
		of   bool
	}{{"folders 00-1f", true}, {"folders 20-  ", false}} {
		var black, white tally
		for i, s := range samples {
			switch {
			case tuned(s) != half.of:
			case s.attack:
				black.add(outcomeOf(verdicts[i]))
			default:
				white.add(outcomeOf(verdicts[i]))
			}
		}
		fmt.Printf("%-9s %s %9d %6d %6.2f %10d %8d %8d %6.3f %10d\n", profile, half.name, black.all, black.denied, percent(black.denied, black.all),
			black.malformed, white.all, white.denied, percent(white.denied, white.all), white.malformed)
	}
}

// printTop names the rules behind false positives, and those that matched in
// attacks which passed, of the folders that may be looked at.
func printTop(samples []sample, verdicts []chain.Verdict) {
	alarms, misses := map[int]int{}, map[int]int{}
	for i, s := range samples {
		if !tuned(s) {
			continue
		}
		for _, id := range verdicts[i].Rules {
			switch o := outcomeOf(verdicts[i]); {
			case !s.attack && o == denied:
				alarms[id]++
			case s.attack && o == passed:
				misses[id]++
			}
		}
	}
	fmt.Printf("top rules behind false positives (00-1f): %s\n", top(alarms, 12))
	fmt.Printf("top rules in attacks that passed (00-1f): %s\n\n", top(misses, 12))
}

func top[K cmp.Ordered](counts map[K]int, n int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	text := ""
	for i, k := range keys {
		if i == n {
			break
		}
		text += fmt.Sprintf(" %v×%d", k, counts[k])
	}
	if text == "" {
		return " none"
	}
	return text
}
