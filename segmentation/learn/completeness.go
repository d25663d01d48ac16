package learn

import "math"

// Completeness says how much is still unseen: the probability that the next
// sighting (an edge in a window of time) is of an edge that no rule allows. The
// estimate is Good's and Turing's: the share of sightings that were of edges seen
// once only. I. J. Good, The population frequencies of species and the estimation
// of population parameters, Biometrika 40 (1953).
type Completeness struct {
	Edges     int     // different ones, as rules tell them apart
	Sightings int     // edges times windows
	Once      int     // edges seen in one window
	Twice     int     // in two
	Unseen    float64 // from 0 to 1
	Low, High float64 // the 90 % interval
}

// estimate counts edges by the number of windows they were seen in.
func estimate(seen []int) Completeness {
	c := Completeness{Edges: len(seen)}
	for _, n := range seen {
		c.Sightings += n
		switch n {
		case 1:
			c.Once++
		case 2:
			c.Twice++
		}
	}
	if c.Sightings == 0 {
		c.Unseen, c.High = 1, 1
		return c
	}
	n := float64(c.Sightings)
	c.Unseen = float64(c.Once) / n
	low, high := interval(float64(c.Once), float64(c.Twice))
	c.Low, c.High = max(low/n, 0), min(high/n, 1)
	return c
}

// interval is where the number of unseen edges' sightings lies with 90 % when as
// much time again goes by: the exact one of a Poisson count, widened. The truth
// varies around the estimate with the variance of once and twice seen edges
// together (H. E. Robbins 1968, W. W. Esty 1983), and what comes next varies around
// the truth once more.
func interval(once, twice float64) (low, high float64) {
	// Wilson and Hilferty's approximation of the chi-square quantiles at 5 and 95 %.
	const z = 1.6449
	quantile := func(k, z float64) float64 {
		if k <= 0 {
			return 0
		}
		t := 1 - 1/(9*k) + z/(3*math.Sqrt(k))
		return k * t * t * t
	}
	low, high = quantile(once, -z), quantile(once+1, z)
	wide := math.Sqrt((2*once + 2*twice + 2) / (once + 1))
	return once - wide*(once-low), once + wide*(high-once)
}
