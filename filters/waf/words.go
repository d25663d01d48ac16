package waf

import (
	"math/bits"
	"slices"
)

// wordTable finds, in one pass over a text, which of many words it holds, in upper or
// lower case. Of a long text the grams say little: it has most of them by chance. It
// does not change.
type wordTable struct {
	size  int
	heads [gramBits / 64]uint64 // the first three bytes of each word, by hash
	ranks [gramBits / 64]uint16 // how many heads come before
	lists [][]headed            // by head
}

// headed is a word and its number.
type headed struct {
	word string
	id   int32
}

const (
	// exactText is the length, in bytes, from which a text is read for words.
	exactText = 256
	// minWord is the shortest word of a table, in bytes. Pairs are as good as found.
	minWord = 3
)

// newWordTable makes a table of different words in lower case. The place of each is
// its number.
func newWordTable(words []string) *wordTable {
	t := &wordTable{size: len(words)}
	byHead := map[uint16][]headed{}
	for id, word := range words {
		h := triple(word[0], word[1], word[2])
		t.heads[h/64] |= 1 << (h % 64)
		byHead[h] = append(byHead[h], headed{word, int32(id)})
	}
	for i, word := range t.heads {
		t.ranks[i] = uint16(len(t.lists))
		for ; word != 0; word &= word - 1 {
			h := uint16(i*64 + bits.TrailingZeros64(word))
			t.lists = append(t.lists, slices.Clip(byHead[h]))
		}
	}
	return t
}

// find sets the bits of the words in text.
func (t *wordTable) find(text string, into []uint64) {
	if len(text) < minWord {
		return
	}
	a, b := lowered[text[0]], lowered[text[1]]
	for i := 2; i < len(text); i++ {
		c := lowered[text[i]]
		if h := triple(a, b, c); t.heads[h/64]&(1<<(h%64)) != 0 {
			at := t.ranks[h/64] + uint16(bits.OnesCount64(t.heads[h/64]&(1<<(h%64)-1)))
			for _, w := range t.lists[at] {
				if into[w.id/64]&(1<<(w.id%64)) == 0 && begins(text[i-2:], w.word) {
					into[w.id/64] |= 1 << (w.id % 64)
				}
			}
		}
		a, b = b, c
	}
}

// begins says that text begins with a word in lower case.
func begins(text, word string) bool {
	if len(text) < len(word) {
		return false
	}
	for i := range len(word) {
		if lowered[text[i]] != word[i] {
			return false
		}
	}
	return true
}

// lowered is lowerByte as a table.
var lowered = func() (t [256]byte) {
	for c := range t {
		t[c] = lowerByte(byte(c))
	}
	return t
}()
