package waf

import (
	"io/fs"
	"path"
	"strings"
)

// phrases rule values out that hold none of the phrases of @pm or @pmFromFile,
// at a nanosecond or two a byte.
type phrases struct {
	first [gramBits / 64]uint64 // the first pair or triple of each phrase
	pairs bool                  // some phrase has but two bytes
	all   literals
}

// phrasesOf is nil when r has no phrases, or one of a single byte.
func phrasesOf(r *compiledRule, files fs.FS) *phrases {
	var list []string
	switch strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(r.function, "!"), "@")) {
	case "pm":
		list = strings.Split(strings.ToLower(r.data), " ")
	case "pmfromfile", "pmf":
		if r.id < 100_000 { // the author's: none, they are refused
			return nil
		}
		b, err := fs.ReadFile(files, path.Join("@owasp_crs", strings.TrimSpace(r.data)))
		if err != nil {
			return nil
		}
		list = phrasesIn(b)
	default:
		return nil
	}
	p := &phrases{}
	for _, s := range list {
		low := []byte(s)
		for i, c := range low {
			low[i] = lowerByte(c)
		}
		if len(low) < 2 {
			return nil
		}
		h := pair(low[0], low[1])
		if len(low) > 2 {
			h = triple(low[0], low[1], low[2])
		} else {
			p.pairs = true
		}
		p.first[h/64] |= 1 << (h % 64)
		p.all = append(p.all, literal{string(low), gramsOf(string(low))})
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
