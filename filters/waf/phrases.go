package waf

// phrases rule values out that hold none of the phrases of @pm or @pmFromFile,
// at a nanosecond or two a byte.
type phrases struct {
	first [gramBits / 64]uint64 // the first pair or triple of each phrase
	pairs bool                  // some phrase has but two bytes
	all   literals
}

// newPhrases takes phrases in lower case; nil when one of them is a single byte.
func newPhrases(list []string) *phrases {
	p := &phrases{}
	for _, s := range list {
		if len(s) < 2 {
			return nil
		}
		h := pair(s[0], s[1])
		if len(s) > 2 {
			h = triple(s[0], s[1], s[2])
		} else {
			p.pairs = true
		}
		p.first[h/64] |= 1 << (h % 64)
		p.all = append(p.all, literal{s, gramsOf(s)})
	}
	return p
}

// mayBeIn is false only when no phrase is in the text.
func (p *phrases) mayBeIn(t *trial, f *form, ids []int32) bool {
	if len(f.text) >= fewGrams {
		return p.all.mayHold(t.found(f), ids)
	}
	var a, b byte
	for i := range len(f.text) {
		c := lowerByte(f.text[i])
		if i > 1 {
			if h := triple(a, b, c); p.first[h/64]&(1<<(h%64)) != 0 {
				return true
			}
		}
		if p.pairs && i > 0 {
			if h := pair(b, c); p.first[h/64]&(1<<(h%64)) != 0 {
				return true
			}
		}
		a, b = b, c
	}
	return false
}
