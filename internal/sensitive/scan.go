package sensitive

import "strings"

// shortest is the length from which a value can say by itself what it is.
const shortest = 6

// strength is what a form and its checksum say without a name.
type strength uint8

const (
	no     strength = iota
	weak            // one number in ten or a hundred has it
	fair            // hardly anything else looks so
	strong          // nothing else does
)

// scan is one call of Classify. It lives on the stack.
type scan struct {
	value string
	name  hint
	found []Finding
	base  int // findings before it are the caller's

	read int  // the text up to here was read last for what it says
	said hint // of what follows; nothing before the first
}

// The classes of bytes.
const (
	digit = 1 << iota
	upper
	lower
	underscore
	letter = upper | lower
	alnum  = digit | letter
)

// class says what a byte is; everything that may be in no word is 0.
func class(c byte) byte { return classes[c] }

var classes = func() (t [256]byte) {
	for c := '0'; c <= '9'; c++ {
		t[c] = digit
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = lower
		t[c-0x20] = upper
	}
	t['_'] = underscore
	return t
}()

// run goes from word to word. A word is letters, digits and underscores; what
// it may begin is decided by its characters.
func (s *scan) run() {
	v := s.value
	for i := 0; i < len(v); {
		c := class(v[i])
		if c == 0 {
			i = s.sign(i)
			continue
		}
		j, mask := i+1, c
		for j < len(v) && class(v[j]) != 0 {
			mask |= class(v[j])
			j++
		}
		i = s.word(i, j, mask)
	}
}

// word looks at one word and returns where to go on.
func (s *scan) word(i, j int, mask byte) int {
	if next := s.secret(i, j); next > 0 {
		return next
	}
	if s.compound(i) {
		return j // a part of something longer: a slug, a UUID, a host name
	}
	switch {
	case mask == digit:
		if j-i == 2 {
			if next := s.colons(i, j); next > 0 {
				return next
			}
		}
		return s.number(i, j)
	case mask&digit != 0 && mask&underscore == 0:
		if next := s.uuid(i, j); next > 0 {
			return next
		}
		return s.code(i, j, mask)
	case mask == upper:
		return s.capitals(i, j)
	case mask&^letter == 0 && j-i <= 4:
		if next := s.colons(i, j); next > 0 {
			return next
		}
	}
	return j
}

// compound says whether the word at i hangs on one before it by a sign that
// identifiers are made with.
func (s *scan) compound(i int) bool {
	if i < 2 {
		return false
	}
	switch s.value[i-1] {
	case '-', '.', '+', '~', '%':
		return class(s.value[i-2]) != 0
	}
	return false
}

// whole says whether what ends at j ends there: no letter, no digit, and no
// sign that carries it on.
func (s *scan) whole(j int) bool {
	if j >= len(s.value) {
		return true
	}
	switch c := s.value[j]; {
	case class(c) != 0:
		return false
	case c == '-' || c == '.' || c == '+':
		return j+1 >= len(s.value) || class(s.value[j+1]) == 0
	}
	return true
}

// sign looks at what is no word and returns where to go on.
func (s *scan) sign(i int) int {
	switch s.value[i] {
	case '@':
		s.at(i)
	case '+', '(':
		if next := s.phoneSign(i); next > 0 {
			return next
		}
	case ':':
		if next := s.colonsFirst(i); next > 0 {
			return next
		}
		s.assigned(i)
	case '=':
		s.assigned(i)
	case '$':
		if next := s.hash(i); next > 0 {
			return next
		}
	case '-':
		if strings.HasPrefix(s.value[i:], "-----BEGIN ") {
			return s.pem(i)
		}
	case '<':
		if next := s.machineReadable(i); next > 0 {
			return next
		}
	}
	return i + 1
}

// uuid skips one, whose groups look like numbers of all kinds.
func (s *scan) uuid(i, j int) int {
	v := s.value
	if j-i != 8 || len(v)-i < 36 || v[i+8] != '-' || v[i+13] != '-' || v[i+18] != '-' || v[i+23] != '-' {
		return 0
	}
	for _, c := range []byte(v[i : i+36]) {
		if c != '-' && !isHex(c) {
			return 0
		}
	}
	return i + 36
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// emit keeps a finding of this strength, weighed with what the names around it
// say, and says whether it was kept.
func (s *scan) emit(kind Kind, with strength, start, end int) bool {
	c := weigh(kind, with, s.hintAt(start))
	if c == 0 {
		return false
	}
	s.keep(kind, c, start, end)
	return true
}

// weigh is the confidence in a kind; 0 is none.
func weigh(kind Kind, with strength, h hint) Confidence {
	switch {
	case with == no:
		return 0
	case with == strong, h.kind.agrees(kind):
		return Certain
	case h.kind != None || h.technical: // the name says that it is something else
		return Confidence(with - 1)
	}
	return Confidence(with)
}

// keep adds a finding to those of this call.
func (s *scan) keep(kind Kind, c Confidence, start, end int) {
	for i := range s.found[s.base:] {
		if f := &s.found[s.base+i]; f.Kind == kind {
			f.Count++
			if c > f.Confidence {
				f.Confidence, f.Start, f.End = c, start, end
			}
			return
		}
	}
	if len(s.found)-s.base < MaxFindings {
		s.found = append(s.found, Finding{Kind: kind, Confidence: c, Start: start, End: end, Count: 1})
	}
}

// hintAt is what is known by name about what stands at a position: the words
// before it, else the field's name.
func (s *scan) hintAt(start int) hint {
	if start > 1 && s.name.kind == None {
		if h := s.before(start); h.kind != None || h.technical {
			return h
		}
	}
	return s.name
}
