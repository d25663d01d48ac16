package waf

// in64 gives what the characters of base64 stand for; -1 for others. The engine
// decodes up to the first of those, but passes over line ends.
var in64 = func() (values [256]int8) {
	for i := range values {
		values[i] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		values[c] = int8(i)
	}
	return values
}()

// base64Length is how many bytes a text is decoded to; it does not count further
// than most.
func base64Length(text string, most int) int {
	n := 0
	for i := 0; i < len(text) && n*3/4 < most; i++ {
		switch c := text[i]; {
		case in64[c] >= 0:
			n++
		case c != '\r' && c != '\n':
			return n * 3 / 4
		}
	}
	return n * 3 / 4
}

// base64Alphabet is what texts made of a are decoded to. With letters that may be
// anything.
func base64Alphabet(a alphabet) (out alphabet) {
	if a&letters != 0 {
		return anyAlphabet
	}
	var values []int
	for c, v := range in64 {
		if v >= 0 && classes[c]&a != 0 {
			values = append(values, int(v))
		}
	}
	for _, v := range values {
		for _, w := range values { // each byte has parts of two characters
			out |= classes[byte(v<<2|w>>4)] | classes[byte(v<<4|w>>2)] | classes[byte(v<<6|w)]
		}
	}
	return out
}
