package waf

import (
	"slices"
	"strings"
	_ "unsafe" // for the table of the tokeniser

	_ "github.com/corazawaf/libinjection-go" // whose table it is
)

// sqlTable is the tokeniser's table: words, phrases of several, operators of two
// bytes, and fingerprints, which begin with '0'. It has no other door. If a
// version moves it this one is empty, and every text is asked about.
//
//go:linkname sqlTable github.com/corazawaf/libinjection-go.sqlKeywords
var sqlTable map[string]byte

// sqlWords are the words of the table, in lower case, and those that phrases in it
// are made of. They do not change.
type sqlWords struct {
	pairs   map[[2]byte]bool // operators of two bytes
	list    []string         // 0: none
	keyword []bool           // by number: the table has it, as more than a name
	slots   [sqlSlots]uint16 // numbers, by hash; what does not fit is in the next
}

const (
	sqlSlots = 1 << 12
	sqlHash  = 2166136261
	// minSQLTable is how many words a table has at least that is one.
	minSQLTable = 500
)

// sqlNamed are the words that the tokeniser names in its program.
var sqlNamed = strings.Fields("in like not into if user user_id user_name database password current_user current_date current_time " +
	"current_timestamp localtime localtimestamp")

// newSQLWords is nil for a table that is none, or too large.
func newSQLWords(table map[string]byte) *sqlWords {
	w := &sqlWords{pairs: map[[2]byte]bool{}, list: []string{""}, keyword: []bool{false}}
	words := map[string]bool{} // with whether they are keywords
	know := func(word string, keyword bool) { words[word] = keyword || words[word] }
	for text, category := range table {
		if len(text) == 2 && sqlKinds[text[0]] == sqlDouble {
			w.pairs[[2]byte{text[0], text[1]}] = true
		}
		parts := strings.Split(strings.ToLower(text), " ")
		if len(parts) == 1 {
			know(parts[0], category != 'n')
			continue
		}
		for _, part := range parts {
			if part != "" && sqlKinds[part[0]] == sqlDigit {
				return nil // "0x" is a word, and counts as a plain one
			}
			know(part, false)
		}
	}
	for _, word := range sqlNamed {
		know(word, false)
	}
	for word := range words {
		if word == "" || sqlKinds[word[0]] != sqlLetter {
			delete(words, word)
		}
	}
	if len(words) < minSQLTable || len(words) > sqlSlots/2 {
		return nil
	}
	sorted := make([]string, 0, len(words))
	for word := range words {
		sorted = append(sorted, word)
	}
	slices.Sort(sorted)
	for _, word := range sorted {
		w.add(word, words[word])
	}
	return w
}

func (w *sqlWords) add(word string, keyword bool) {
	hash := uint32(sqlHash)
	for i := range len(word) {
		hash = sqlHashed(hash, word[i])
	}
	at := hash % sqlSlots
	for w.slots[at] != 0 {
		at = (at + 1) % sqlSlots
	}
	w.slots[at] = uint16(len(w.list))
	w.list, w.keyword = append(w.list, word), append(w.keyword, keyword)
}

// find gives the number of a word in ASCII, whose hash is known; 0: not there.
func (w *sqlWords) find(word string, hash uint32) uint16 {
	for at := hash % sqlSlots; w.slots[at] != 0; at = (at + 1) % sqlSlots {
		if known := w.list[w.slots[at]]; len(known) == len(word) && strings.EqualFold(known, word) {
			return w.slots[at]
		}
	}
	return 0
}

// sqlHashed adds a byte to the hash of a word; letters count alike in both cases.
func sqlHashed(hash uint32, c byte) uint32 { return (hash ^ uint32(lowerByte(c))) * 16777619 }

func upperByte(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

// Kinds of bytes that a token begins with; those not listed are not known here.
const (
	sqlSpace = iota + 1
	sqlLetter
	sqlDigit  // or a dot
	sqlAlone  // a token by itself, whatever follows
	sqlSingle // an operator, unless it begins a comment
	sqlDouble // an operator, perhaps with the byte after it
	sqlAt
)

var sqlKinds = func() (kinds [256]uint8) {
	for kind, list := range map[uint8]string{sqlSpace: " \n\t\v\f\r", sqlDigit: "0123456789.", sqlAlone: ",;()?", sqlSingle: "-/+%^~", sqlDouble: "!&*:<=>|", sqlAt: "@"} {
		for _, c := range []byte(list) {
			kinds[c] = kind
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		kinds[c], kinds[c-'a'+'A'] = sqlLetter, sqlLetter
	}
	kinds['_'] = sqlLetter
	return kinds
}()

// sqlEndsWord and sqlEndsVariable are the bytes that neither goes beyond.
var (
	sqlEndsWord     = bytesOf(" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\v\f\r\"\xa0\x00")
	sqlEndsVariable = bytesOf(" <>:\\?=@!#~+-*/&|^%(),';\t\n\v\f\r'`\"")
)

func bytesOf(list string) (set [256]bool) {
	for _, c := range []byte(list) {
		set[c] = true
	}
	return set
}
