package sensitive

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// hint is what a name says about its value.
type hint struct {
	kind      Kind
	technical bool // it holds an identifier, a count, a time, …: a number in it is no person's
}

const (
	maxWords  = 12
	maxPhrase = 4 // words of the longest phrase in the dictionary

	maxParent      = 40 // bytes of a parent's name
	maxParentWords = 3
)

// entry is what the dictionary has for a phrase.
type entry struct {
	kind      Kind
	technical bool
	about     bool // after a kind's name: the field is about the value, it does not hold it
	asks      bool // before a kind's name: likewise
}

// dictionary is made once: it is a constant that has no literal.
var dictionary = sync.OnceValue(func() map[string]entry {
	m := map[string]entry{}
	for kind, phrases := range names {
		for phrase := range strings.SplitSeq(phrases, ",") {
			phrase = strings.Join(strings.Fields(phrase), " ")
			m[phrase] = entry{kind: Kind(kind)}
			if joined := strings.ReplaceAll(phrase, " ", ""); joined != phrase && len(joined) > 4 {
				m[joined] = entry{kind: Kind(kind)}
			}
		}
	}
	add := func(words string, set func(*entry)) {
		for w := range strings.FieldsSeq(words) {
			e := m[w]
			set(&e)
			m[w] = e
		}
	}
	add(technicalWords, func(e *entry) { e.technical = true })
	add(aboutWords, func(e *entry) { e.about = true })
	add(askingWords, func(e *entry) { e.asks = true })
	return m
})

// words are a name's words in lower case, without accents, parted by blanks.
type words struct {
	buf    [2*MaxName + 2*maxParent]byte
	from   [maxWords + 1]int // where each word begins; the next begins behind a blank
	n      int
	parent int // how many of them are the parent's
}

// lookUp takes the longest phrase that the dictionary knows, of equally long
// ones the last.
func lookUp(name string) hint {
	var w words
	w.read(name)
	return w.hint(w.n)
}

// hint looks at the words; technical ones count among the last few only.
func (w *words) hint(lastWords int) (h hint) {
	m := dictionary()
	for length := min(maxPhrase, w.n); length > 0; length-- {
		for end := w.n; end >= length; end-- {
			phrase := w.phrase(end-length, end)
			e, ok := m[string(phrase)]
			if one := singular(phrase); !ok && length <= 2 && len(one) < len(phrase) {
				e, ok = m[string(one)]
			}
			if !ok {
				continue
			}
			if e.technical && length == 1 && end > w.n-lastWords {
				h.technical = true
			}
			if e.kind == None || h.kind != None || end <= w.parent {
				continue
			}
			if w.about(m, end-length, end) {
				return hint{technical: true}
			}
			h.kind = e.kind
			if length > 1 {
				h.technical = false
				return h
			}
		}
	}
	return h
}

// about says whether the words around a kind's name say that its value is not
// here: emailVerified, has_password, card_type.
func (w *words) about(m map[string]entry, start, end int) bool {
	for k := end; k < w.n; k++ {
		if m[string(w.phrase(k, k+1))].about {
			return true
		}
	}
	return start > 0 && m[string(w.phrase(start-1, start))].asks
}

func (w *words) phrase(from, to int) []byte { return w.buf[w.from[from] : w.from[to]-1] }

func singular(b []byte) []byte {
	if n := len(b); n > 4 && b[n-1] == 's' && b[n-2] != 's' {
		return b[:n-1]
	}
	return b
}

// read parts a name at signs, digits and changes of case.
func (w *words) read(name string) {
	if len(name) > MaxName {
		name = name[len(name)-MaxName:]
	}
	n, open := w.from[w.n], false
	begin := func() {
		if open {
			w.buf[n] = ' '
			n++
			open = false
		}
	}
	for i := 0; i < len(name); {
		c := name[i]
		k := class(c)
		switch {
		case c >= 0x80:
			r, size := utf8.DecodeRuneInString(name[i:])
			if !open && !w.start(n, &open) {
				return
			}
			n += copy(w.buf[n:], plainLetter(r, name[i:i+size]))
			i += size
			continue
		case k&letter == 0:
			begin()
			i++
			continue
		case k == upper && i > 0 && (class(name[i-1]) == lower || class(name[i-1]) == upper && i+1 < len(name) && class(name[i+1]) == lower):
			begin()
		}
		if !open && !w.start(n, &open) {
			return
		}
		w.buf[n] = c | 0x20
		n++
		i++
	}
	begin()
	w.from[w.n] = n
}

// start begins a word at n, if there is room for one.
func (w *words) start(n int, open *bool) bool {
	w.from[w.n] = n
	if w.n == maxWords {
		return false
	}
	w.n++
	w.from[w.n] = n // until the word has an end
	*open = true
	return true
}

// plainLetter is a Latin letter without its accent, or what it was.
func plainLetter(r rune, was string) string {
	const from = "àáâãäåāăąçćčďđèéêëēęěğìíîïīįıłñńňòóôõöøōőŕřśšşșťţțùúûüūůűųýÿźżž"
	const to = "aaaaaaaaacccddeeeeeeegiiiiiiilnnnoooooooorrsssstttuuuuuuuuyyzzz"
	switch r {
	case 'ß':
		return "ss"
	case 'æ', 'Æ':
		return "ae"
	case 'œ', 'Œ':
		return "oe"
	}
	k := 0
	for _, f := range from {
		if f == r || r >= 0xc0 && r <= 0xde && f == r+0x20 || r > 0xff && f == r+1 && r&1 == 0 {
			return to[k : k+1]
		}
		k++
	}
	return was
}

const contextBytes = 48

// before is what the words before a position in the value say about what follows. A
// sign and the number behind it ask for the same.
func (s *scan) before(position int) hint {
	text := strings.TrimRight(s.value[:position], " \t\"'=:#([\\")
	if len(text) != s.read {
		s.read, s.said = len(text), lastWords(text)
	}
	return s.said
}

// lastWords is what the end of a text says about what follows.
func lastWords(text string) hint {
	from := max(0, len(text)-contextBytes)
	cut := from > 0
	for k := len(text) - 1; k >= from; k-- {
		if c := text[k]; c == ',' || c == ';' || c == '|' || c == '\n' || c == '{' || c == '}' || c == '&' || c == '?' || c == '.' && k+1 < len(text) && text[k+1] == ' ' {
			from, cut = k+1, false
			break
		}
	}
	if cut { // not half a word
		for from < len(text) && class(text[from])&letter != 0 {
			from++
		}
	}
	var w words
	w.read(text[from:])
	if w.n > 5 { // what was said long before is about something else
		w.drop(w.n - 5)
	}
	return w.hint(2)
}

// drop forgets the first words.
func (w *words) drop(k int) {
	copy(w.from[:], w.from[k:w.n+1])
	w.n -= k
}
