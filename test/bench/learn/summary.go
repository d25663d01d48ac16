package main

import "fmt"

// summary is of many topologies: sums, and the worst of each with its seed.
type summary struct {
	Topologies int     `json:"topologies"`
	Workloads  string  `json:"workloads"` // least to most
	Frequent   float64 `json:"recallFrequent"`
	WorstF     string  `json:"worstFrequent"`
	All        float64 `json:"recallAll"`
	WorstA     string  `json:"worstAll"`
	RarePairs  string  `json:"rarePairs"` // learned of all
	Precision  float64 `json:"precision"`
	WorstP     string  `json:"worstPrecision"`
	Attacks    string  `json:"attackEdges"` // learned of all
	In         int     `json:"topologiesWithLearnedAttacks"`
	WorstL     string  `json:"mostLearned"`
}

func summarise(list []score) (s summary) {
	least, most, rare, pairs, attacks, learned := list[0].Workloads, 0, 0.0, 0, 0, 0
	worst := func(sign float64, value func(score) float64) string {
		at := list[0]
		for _, x := range list {
			if sign*value(x) < sign*value(at) {
				at = x
			}
		}
		return fmt.Sprintf("%.4g (seed %d, %s, %d workloads)", value(at), at.Seed, at.Scheme, at.Workloads)
	}
	for _, x := range list {
		least, most = min(least, x.Workloads), max(most, x.Workloads)
		s.Frequent, s.All, s.Precision = s.Frequent+x.Frequent, s.All+x.All, s.Precision+x.Precision
		rare, pairs = rare+x.RarePair*float64(x.RarePairs), pairs+x.RarePairs
		attacks, learned = attacks+x.Attacks, learned+x.Learned
		if x.Learned > 0 {
			s.In++
		}
	}
	n := float64(len(list))
	s.Topologies, s.Workloads = len(list), fmt.Sprintf("%d to %d", least, most)
	s.Frequent, s.All, s.Precision = s.Frequent/n, s.All/n, s.Precision/n
	s.RarePairs, s.Attacks = fmt.Sprintf("%.0f of %d", rare, pairs), fmt.Sprintf("%d of %d", learned, attacks)
	s.WorstF = worst(1, func(x score) float64 { return x.Frequent })
	s.WorstA = worst(1, func(x score) float64 { return x.All })
	s.WorstP = worst(1, func(x score) float64 { return x.Precision })
	s.WorstL = worst(-1, func(x score) float64 { return float64(x.Learned) })
	return s
}
