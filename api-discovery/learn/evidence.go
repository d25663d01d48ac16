package learn

import (
	"fmt"
	"math"
	"strings"

	"github.com/gabion-io/gabion/internal/exchange"
)

// judgeWords weighs the evidence for "these segments are values of one
// parameter" against "these are words of the API". First what speaks for all of
// them, then what each one says for itself. Weights are log odds; they were
// found by measuring (test/bench/api), not derived.
func (d *decider) judgeWords(words []*candidate, g *gap, p *place, w where) []reason {
	var shared []reason
	say := func(weight float64, format string, args ...any) {
		if weight != 0 {
			shared = append(shared, reason{fmt.Sprintf(format, args...), weight})
		}
	}
	crowd := d.crowd(words, g)
	position(w, p, say)
	cardinality(words, say)
	texts(words, say)
	structure(words, crowd, say)
	methods(words, say)
	names(words, say)
	d.known(words, w, say)
	if g != nil {
		beside(words, g, say)
	}
	total := 0.0
	for _, r := range shared {
		total += r.weight
	}
	for _, c := range words {
		if !c.fixed {
			d.judgeWord(c, words, crowd, total, w)
		}
	}
	return shared
}

func (d *decider) crowd(words []*candidate, g *gap) *crowd {
	profiles := make([]*profile, 0, len(words)+1)
	for _, c := range words {
		profiles = append(profiles, c.profile)
	}
	if g != nil {
		profiles = append(profiles, profileOf(g.nodes))
	}
	return crowdOf(profiles)
}

// position: what stands before. After a value comes a word more often than not,
// after a plural a value.
func position(w where, p *place, say func(float64, string, ...any)) {
	switch {
	case w.depth == 0:
		say(-2.5, "the first segment of the path")
	case w.hole:
		say(-1.8, "follows a value")
	case isPlural(w.text):
		say(1.2, "follows the plural %q", w.text)
	default:
		say(-0.4, "follows %q", w.text)
	}
	for _, e := range p.ends {
		switch {
		case e.ok == 0:
		case e.key.method == "GET" && isPlural(w.text):
			say(0.3, "the collection itself is read")
		case e.key.method == "POST" && isPlural(w.text):
			say(0.3, "the collection is posted to")
		}
	}
}

// cardinality: values go on arriving, words come again.
func cardinality(words []*candidate, say func(float64, string, ...any)) {
	m, once, n := float64(len(words)), 0.0, 0.0
	for _, c := range words {
		n += c.count
		if c.count == 1 {
			once++
		}
	}
	closed := n >= 6*m && once <= 0.08*m
	switch {
	case m == 1:
		say(-3, "the same in all %d exchanges", int(n))
		return
	case m <= 3:
		say(-1.9+0.5*(m-1), "%d distinct in %d exchanges", int(m), int(n))
	case m >= 25 && closed:
		say(min(4, 0.3+0.6*math.Log2(m/25)), "%d distinct", int(m))
	case m >= 25:
		say(min(6, 0.5+1.2*math.Log2(m/25)), "%d distinct", int(m))
	}
	switch {
	case closed && m <= 40:
		say(-clamp(0.8*math.Log(n/m), 0, 3), "%d distinct in %d exchanges, and hardly one came once only", int(m), int(n))
	case n >= 3*m:
		say(clamp(4*(once/m-0.15), -1.2, 2.5), "%d of %d came only once, in %d exchanges", int(once), int(m), int(n))
	case m > 3:
		say(clamp(0.3*(m-3), 0, 2), "%d distinct in only %d exchanges", int(m), int(n))
	}
}

// texts: words of an API are written in letters.
func texts(words []*candidate, say func(float64, string, ...any)) {
	odd, codes, length := 0.0, 0.0, len(words[0].kid.text)
	for _, c := range words {
		odd += oddness(c.kid)
		if isCode(c.kid.text) {
			codes++
		}
		if len(c.kid.text) != length {
			length = -1
		}
	}
	switch m := float64(len(words)); {
	case m >= 4 && codes >= 0.85*m:
		say(3.5, "they are codes, as of languages, countries or currencies")
	case m >= 6 && length > 0:
		say(2.5, "all are %d characters long", length)
	}
	if odd > 0 {
		say(3.5*odd/float64(len(words)), "%d%% hold digits or signs", int(100*odd/float64(len(words))))
	}
}

// isCode: "de", "en-US", "EUR".
func isCode(s string) bool {
	if len(s) == 5 && (s[2] == '-' || s[2] == '_') {
		s = s[:2] + s[3:]
	} else if len(s) < 2 || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// oddness is how unlike a word of an API a text is.
func oddness(k *kid) float64 {
	switch k.kind {
	case exchange.KindMixed:
		return mixedOddness(k.text)
	case exchange.KindOther, exchange.KindVersion:
		return 1
	case exchange.KindWord:
		if i := strings.IndexByte(k.text, '.'); i > 0 {
			return 0.6
		}
	}
	return 0
}

// mixedOddness: "s3", "oauth2" and "last-30-days" are written by developers too.
func mixedOddness(s string) float64 {
	letters, digits := 0, 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			digits++
		} else {
			letters++
		}
	}
	switch {
	case digits <= 2 && letters >= 3*digits && s == strings.ToLower(s) && !strings.HasSuffix(s, "."):
		return 0.45
	case digits <= 1:
		return 0.6
	}
	return 1
}

// structure: the same operations below, or different ones.
func structure(words []*candidate, c *crowd, say func(float64, string, ...any)) {
	var like, belief, weights float64
	for _, x := range words {
		l, b := c.likeness(x.profile)
		wt := weight(x.profile) * b
		like += l * wt
		weights += wt
		if b > 0.3 {
			belief++
		}
	}
	if weights == 0 || len(words) < 2 {
		return
	}
	r := like / weights
	strength := clamp((belief-1)/4, 0, 1) // two or three that are alike may be by design
	k := 6.0
	if r < 0.45 {
		k = 9
	}
	say(k*(r-0.45)*strength, "what lies below %d of them is %d%% alike", int(belief), int(100*r))
}

// methods: the items of a collection take the same methods.
func methods(words []*candidate, say func(float64, string, ...any)) {
	all := map[token]float64{}
	leaves := 0.0
	for _, c := range words {
		if c.profile.leaf == 0 {
			continue
		}
		leaves++
		for t := range c.profile.ends {
			all[t]++
		}
	}
	if leaves < 2 {
		return
	}
	if len(all) == 1 {
		for t := range all {
			switch t {
			case endToken(endKey{method: "DELETE"}), endToken(endKey{method: "PUT"}), endToken(endKey{method: "PATCH"}):
				say(0.8, "each is changed or deleted")
			case endToken(endKey{method: "POST"}):
				say(-1, "each is only posted to")
			}
		}
		return
	}
	// How even the methods are: for each, the share of leaves that have it, as
	// expected when all draw from one distribution.
	var fit, weights float64
	sum := 0.0
	for _, c := range words {
		for t, n := range c.profile.ends {
			_ = t
			sum += min(n, 5)
		}
	}
	share := map[token]float64{}
	for _, c := range words {
		for t, n := range c.profile.ends {
			share[t] += min(n, 5) / sum
		}
	}
	for _, c := range words {
		if c.profile.leaf == 0 {
			continue
		}
		var have, expected float64
		for t, q := range share {
			e := 1 - pow(1-q, c.profile.leaf)
			expected += q * e
			if c.profile.ends[t] > 0 {
				have += q
			}
		}
		wt := min(c.profile.leaf, 8)
		fit += wt * min(1, have/max(expected, 1e-9))
		weights += wt
	}
	if fit/weights < 0.98 || weights > 10 {
		say(3*(fit/weights-0.75), "their methods are %d%% alike", int(100*fit/weights))
	}
}

// names: the same query parameters and the same members in answers.
func names(words []*candidate, say func(float64, string, ...any)) {
	weigh(words, func(p *profile) map[string]bool { return p.fields }, 2.4, "members of their answers", say)
	weigh(words, func(p *profile) map[string]bool { return p.params }, 1.5, "their query parameters", say)
}

func weigh(words []*candidate, of func(*profile) map[string]bool, most float64, what string, say func(float64, string, ...any)) {
	count := map[string]float64{}
	have := 0.0
	for _, c := range words {
		if set := of(c.profile); len(set) > 0 {
			have++
			for n := range set {
				count[n]++
			}
		}
	}
	if have < 2 {
		return
	}
	common, total := 0.0, 0.0
	for _, c := range words {
		for n := range of(c.profile) {
			common += (count[n] - 1) / (have - 1)
			total++
		}
	}
	alike := common / total
	say(most*(alike-0.5)*min(1, have/3), "%s are %d%% alike", what, int(100*alike))
}

// known: what is a value or a word elsewhere.
func (d *decider) known(words []*candidate, w where, say func(float64, string, ...any)) {
	values, others := 0.0, 0.0
	for _, c := range words {
		if d.values[c.kid.id].elsewhere(w.id) {
			values++
		}
		if d.words[c.kid.id].elsewhere(w.id) {
			others++
		}
	}
	m := float64(len(words))
	most := min(3, 0.6*m) // one name in common says little
	if values > others {
		say(most*(values-others)/m, "%d of %d are values elsewhere", int(values), int(m))
	} else if others > values {
		say(-min(2.5, most)*(others-values)/m, "%d of %d are words elsewhere", int(others), int(m))
	}
}

// beside: words next to values that are none.
func beside(words []*candidate, g *gap, say func(float64, string, ...any)) {
	distinct, m, once := float64(g.vals.distinct()), float64(len(words)), 0.0
	for _, c := range words {
		if c.count == 1 {
			once++
		}
	}
	switch {
	case distinct < 2:
	case m >= 4 && once >= 0.25*m && m >= 0.1*distinct:
		say(clamp(m*0.3, 0, 2), "beside %d values that are no words", int(distinct))
	default:
		say(-1, "few beside %d values that are no words", int(distinct))
	}
}

// judgeWord adds what one segment says for itself.
func (d *decider) judgeWord(c *candidate, all []*candidate, crowd *crowd, shared float64, w where) {
	// That there is a parameter here says only so much about one segment.
	score := min(shared, 5)
	say := func(weight float64, format string, args ...any) {
		score += weight
		c.reasons = append(c.reasons, reason{fmt.Sprintf(format, args...), weight})
	}
	if o := oddness(c.kid); o > 0 {
		say(1.5*o, "holds digits or signs")
	} else if isRouteWord(c.kid.text) {
		say(-1.5, "%q is no name of a thing", c.kid.text)
	}
	like, belief := crowd.likeness(c.profile)
	sure := belief * min(1, c.profile.n/8)
	if len(all) > 2 || shared > 0 {
		switch {
		case belief > 0.3 && like < 0.15:
			say(-4*sure, "other operations below than its siblings have")
		case belief > 0.3:
			say(2.5*(like-0.45)*sure, "what lies below is %d%% like its siblings'", int(100*like))
		}
	}
	if d.values[c.kid.id].elsewhere(w.id) {
		say(1.2, "a value elsewhere")
	}
	if d.words[c.kid.id].elsewhere(w.id) {
		say(-1.2, "a word elsewhere")
	}
	if len(all) > 2 && c.count >= 3 {
		apart(c, all, say)
	}
	c.score, c.value = score, score > 0
}

// apart: one that is called, asked and answers in another way than the others.
func apart(c *candidate, all []*candidate, say func(float64, string, ...any)) {
	if o := against(c, all, func(p *profile) map[string]bool { return p.fields }); o < 0.3 {
		say(-2.5, "answers with other members than its siblings")
	}
	if o := against(c, all, func(p *profile) map[string]bool { return p.params }); o < 0.3 {
		say(-1.5, "takes other query parameters than its siblings")
	}
	leaves, same, asked, largest := 0.0, 0.0, 0.0, 0.0
	for _, o := range all {
		if o == c {
			continue
		}
		largest = max(largest, o.count)
		if o.profile.leaf == 0 {
			continue
		}
		leaves++
		if len(o.profile.params) > 0 {
			asked++
		}
		for t := range c.profile.ends {
			if o.profile.ends[t] > 0 {
				same++
				break
			}
		}
	}
	if c.profile.leaf >= 4 && leaves >= 4 {
		if same < 0.15*leaves {
			say(-2.5, "called with other methods than its siblings")
		}
		if n := len(c.profile.params); n >= 1 && asked < 0.15*leaves {
			say(-min(3.5, 2+0.5*float64(n)), "takes query parameters, and its siblings do not")
		}
	}
	if what := unlike(c, all); what != "" {
		say(-5.5, "the only one without %s", what)
	}
	if c.count >= 20 && c.count > 6*largest {
		say(-1.5, "%d times as many exchanges as any sibling", int(c.count/max(largest, 1)))
	}
}

// form is how a text is written.
type form [6]bool

var formNames = [len(form{})]string{"a hyphen", "two hyphens", "an underscore", "a digit", "a capital", "a dot"}

func formOfText(s string) (f form) {
	hyphens := strings.Count(s, "-")
	f[0], f[1], f[2] = hyphens > 0, hyphens > 1, strings.Contains(s, "_")
	f[3], f[4], f[5] = strings.ContainsAny(s, "0123456789"), s != strings.ToLower(s), strings.Contains(s, ".")
	return f
}

// unlike names what nearly all siblings have in their text and this one lacks.
func unlike(c *candidate, all []*candidate) string {
	if len(all) < 12 {
		return ""
	}
	var have [len(form{})]int
	for _, o := range all {
		for i, has := range formOfText(o.kid.text) {
			if has {
				have[i]++
			}
		}
	}
	mine := formOfText(c.kid.text)
	for i, n := range have {
		if !mine[i] && float64(n) >= 0.93*float64(len(all)-1) {
			return formNames[i]
		}
	}
	return ""
}

// against is how much of one's names the siblings have too, in the mean.
func against(c *candidate, all []*candidate, of func(*profile) map[string]bool) float64 {
	mine := of(c.profile)
	if len(mine) == 0 {
		return 1
	}
	sum, n := 0.0, 0.0
	for _, o := range all {
		if o != c && len(of(o.profile)) > 0 {
			sum += overlap(mine, of(o.profile))
			n++
			if n >= 50 {
				break
			}
		}
	}
	if n < 2 {
		return 1
	}
	return sum / n
}

func clamp(x, lo, hi float64) float64 { return max(lo, min(hi, x)) }
