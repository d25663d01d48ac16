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
	kin := kinOf(words)
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
			d.judgeWord(c, kin, crowd, total, w)
			if g != nil {
				c.measure(&g.vals, len(words))
			}
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
		say(-3-clamp(math.Log2(n/8), 0, 3), "the same in all %d exchanges", int(n))
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
	leaves, deleted := 0.0, 0.0
	for _, c := range words {
		if c.profile.leaf == 0 {
			continue
		}
		leaves++
		deleted += one(c.profile.ends[endToken(endKey{method: "DELETE"})] > 0)
		for t := range c.profile.ends {
			all[t]++
		}
	}
	if leaves < 2 {
		return
	}
	if m := float64(len(words)); deleted >= 0.9*m { // settings are put, things are deleted one by one
		say(clamp(0.5*(m-3), 0, 3), "%d of %d are deleted", int(deleted), int(m))
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
func (d *decider) judgeWord(c *candidate, all *kin, crowd *crowd, shared float64, w where) {
	// That there is a parameter here says only so much about one segment.
	score := min(shared, 5)
	say := func(weight float64, format string, args ...any) {
		score += weight
		c.reasons = append(c.reasons, reason{fmt.Sprintf(format, args...), weight})
	}
	if o := oddness(c.kid); o > 0 {
		say(1.5*o, "holds digits or signs")
	} else if isPronoun(c.kid.text) {
		say(-6, "%q stands for whoever asks", c.kid.text)
	} else if isRouteWord(c.kid.text) {
		say(-1.5, "%q is no name of a thing", c.kid.text)
	}
	like, belief := crowd.likeness(c.profile)
	sure := belief * min(1, c.profile.n/8)
	if all.n > 2 || shared > 0 {
		switch {
		case belief > 0.3 && like < 0.15:
			say(-4*sure, "other operations below than its siblings have")
		case belief > 0.3:
			say(2.5*(like-0.45)*sure, "what lies below is %d%% like its siblings'", int(100*like))
		}
	}
	ending(c, all, say)
	collection(c, all, say)
	if d.values[c.kid.id].elsewhere(w.id) {
		say(1.2, "a value elsewhere")
	}
	if d.words[c.kid.id].elsewhere(w.id) {
		say(-1.2, "a word elsewhere")
	}
	if all.n > 2 && c.count >= 3 {
		apart(c, all, say)
	}
	c.score, c.value = score, score > 0
}

// measure: among ids of one length, one of another length is none of them, unless
// there are many such: then names are taken as well.
func (c *candidate) measure(beside *values, words int) {
	width, distinct := beside.width(), beside.distinct()
	if width == 0 || words > 1+distinct/4 {
		return
	}
	often := clamp(c.count*float64(distinct)/float64(beside.count)/3, 0, 1) // as the values beside it, thrice
	r := reason{fmt.Sprintf("all of %d values beside it are %d characters long", distinct, width), -often * min(7, 1+0.75*float64(distinct))}
	c.reasons = append(c.reasons, r)
	c.score += r.weight
	c.value = c.score > 0
}

// kin is what siblings are like together.
type kin struct {
	n, leaves, asked float64
	ends             map[token]float64 // how many leaves take a method
	fields, params   map[string]float64
	haveFields       float64
	haveParams       float64
	forms            [len(form{})]float64
	busy             float64 // siblings that were called often, and of them
	end, goOn        float64 // those where paths end, and where they go on
	share            float64 // of exchanges that end there, summed over them
	largest, second  float64 // exchanges
	below, valued    float64 // exchanges that go on, and of them those that go on with a value
}

func kinOf(words []*candidate) *kin {
	k := &kin{n: float64(len(words)), ends: map[token]float64{}, fields: map[string]float64{}, params: map[string]float64{}}
	for _, c := range words {
		if c.count > k.largest {
			k.largest, k.second = c.count, k.largest
		} else {
			k.second = max(k.second, c.count)
		}
		for i, has := range formOfText(c.kid.text) {
			if has {
				k.forms[i]++
			}
		}
		if len(c.profile.fields) > 0 {
			k.haveFields++
		}
		if len(c.profile.params) > 0 {
			k.haveParams++
		}
		for n := range c.profile.fields {
			k.fields[n]++
		}
		for n := range c.profile.params {
			k.params[n]++
		}
		k.below += c.profile.total[0]
		k.valued += c.profile.at[0][hashToken]
		if c.profile.n >= oftenCalled {
			k.busy++
			k.share += c.profile.leaf / c.profile.n
			k.end += one(c.profile.leaf > 0)
			k.goOn += one(c.profile.total[0] > 0)
		}
		if c.profile.leaf == 0 {
			continue
		}
		k.leaves++
		if len(c.profile.params) > 0 {
			k.asked++
		}
		for t := range c.profile.ends {
			k.ends[t]++
		}
	}
	return k
}

// oftenCalled is from how many exchanges on it shows whether paths end at a
// segment or go on.
const oftenCalled = 5

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// ending: a collection of its own never ends where the things beside it do, and
// a report among things never goes on. How much that says is bounded by how
// likely it is by chance.
func ending(c *candidate, all *kin, say func(float64, string, ...any)) {
	if c.profile.n < 2*oftenCalled || all.busy < 4 {
		return
	}
	others := all.busy - 1
	share := (all.share - c.profile.leaf/c.profile.n) / others
	switch {
	case c.profile.leaf == 0 && all.end > 0.6*others:
		say(-min(4*(2*all.end/others-1), chance(share, c.profile.n)), "paths end at %d of its %d siblings, and never at it", int(all.end), int(others))
	case c.profile.total[0] == 0 && all.goOn > 0.6*others:
		say(-min(4*(2*all.goOn/others-1), chance(1-share, c.profile.n)), "paths go on after %d of its %d siblings, and never after it", int(all.goOn), int(others))
	}
}

// collection: after one come values, one after another, and after none of its
// siblings: it is where they are kept.
func collection(c *candidate, all *kin, say func(float64, string, ...any)) {
	mine, others := c.profile.at[0][hashToken], all.below-c.profile.total[0]
	if c.profile.values >= 4 && mine > 0.9*c.profile.total[0] && others >= 8 && all.valued-mine < 0.05*others {
		say(-min(6, 1.5+1.2*math.Log2(c.profile.values/2)), "followed by %d values, and its siblings by words", int(c.profile.values))
	}
}

// chance is how surprising it is, as log odds, that what happens with a share of
// exchanges does not in n, discounted because one value is often asked for one
// thing.
func chance(share, n float64) float64 {
	return -min(n, 40) / 2 * math.Log(clamp(1-share, 0.01, 1))
}

// apart: one that is called, asked and answers in another way than the others.
func apart(c *candidate, all *kin, say func(float64, string, ...any)) {
	if inCommon(c.profile.fields, all.fields, all.haveFields) < 0.3 {
		say(-2.5, "answers with other members than its siblings")
	}
	if inCommon(c.profile.params, all.params, all.haveParams) < 0.3 {
		say(-1.5, "takes other query parameters than its siblings")
	}
	if what := unlike(c, all); what != "" {
		say(-5.5, "the only one without %s", what)
	}
	largest := all.largest
	if c.count == largest {
		largest = all.second
	}
	if times := c.count / max(largest, 1); c.count >= 20 && times > 6 {
		say(-min(4, 1.5+1.2*math.Log2(times/6)), "%d times as many exchanges as any sibling", int(times))
	}
	if c.profile.leaf < 4 || all.leaves < 5 {
		return
	}
	// Of the best shared method, how many siblings have it.
	same, asked, leaves := 0.0, all.asked, all.leaves-1
	for t := range c.profile.ends {
		same = max(same, all.ends[t]-1)
	}
	if same < 0.15*leaves {
		say(-2.5, "called with other methods than its siblings")
	}
	if n := len(c.profile.params); n >= 1 && asked-1 < 0.15*leaves {
		say(-min(3.5, 2+0.5*float64(n)), "takes query parameters, and its siblings do not")
	}
}

// inCommon is the mean share of siblings that have the names of one; 1 when there
// is too little to compare.
func inCommon(mine map[string]bool, all map[string]float64, have float64) float64 {
	if len(mine) == 0 || have < 3 {
		return 1
	}
	sum := 0.0
	for n := range mine {
		sum += (all[n] - 1) / (have - 1)
	}
	return sum / float64(len(mine))
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
func unlike(c *candidate, all *kin) string {
	if all.n < 12 {
		return ""
	}
	mine := formOfText(c.kid.text)
	for i, n := range all.forms {
		if !mine[i] && n >= 0.93*(all.n-1) {
			return formNames[i]
		}
	}
	return ""
}

func clamp(x, lo, hi float64) float64 { return max(lo, min(hi, x)) }
