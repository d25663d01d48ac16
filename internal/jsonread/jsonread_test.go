package jsonread

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var errText = errors.New("no JSON")

// read is a whole reader made of the pieces: what encoding/json takes it takes, and
// reads the same.
func read(text string) (any, error) {
	r := Over(text)
	v, err := value(&r)
	if err == nil && !r.Done() {
		err = errText
	}
	return v, err
}

func value(r *Reader) (any, error) {
	switch c := r.Next(); {
	case c == '{':
		return object(r)
	case c == '[':
		return array(r)
	case c == '"':
		return str(r)
	case c == '-' || c-'0' <= 9:
		text, n := r.Number()
		if n == NoNumber {
			return nil, errText
		}
		return json.Number(text), nil
	}
	switch r.Word() {
	case 't':
		return true, nil
	case 'f':
		return false, nil
	case 'n':
		return nil, nil
	}
	return nil, errText
}

func str(r *Reader) (string, error) {
	text, form, ok := r.Text()
	if !ok {
		return "", errText
	}
	if form&Escaped != 0 {
		b, ok := Unescape(nil, text)
		if !ok {
			return "", errText
		}
		text = string(b)
	}
	if form&Beyond != 0 { // as encoding/json does
		text = string([]rune(text))
	}
	return text, nil
}

func object(r *Reader) (any, error) {
	out := map[string]any{}
	r.Skip()
	if r.Take('}') {
		return out, nil
	}
	for {
		name, err := str(r)
		if err != nil || !r.Take(':') {
			return nil, errText
		}
		if out[name], err = value(r); err != nil {
			return nil, err
		}
		switch more, ok := r.More('}'); {
		case !ok:
			return nil, errText
		case !more:
			return out, nil
		}
	}
}

func array(r *Reader) (any, error) {
	out := []any{}
	r.Skip()
	if r.Take(']') {
		return out, nil
	}
	for {
		v, err := value(r)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		switch more, ok := r.More(']'); {
		case !ok:
			return nil, errText
		case !more:
			return out, nil
		}
	}
}

// agree holds that a text is read as the standard library reads it.
func agree(t *testing.T, text string) {
	t.Helper()
	got, err := read(text)
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var want any
	valid := json.Valid([]byte(text)) && d.Decode(&want) == nil
	if valid != (err == nil) {
		t.Fatalf("%q: valid %v, read says %v", text, valid, err)
	}
	if valid && !cmp.Equal(got, want) {
		t.Fatalf("%q: %s", text, cmp.Diff(want, got))
	}
}

var texts = []string{
	`{"a":[1,2.5e3,-0,"x\u00e9",null,true],"b":{}}`, `[]`, ` { } `, "\t[ 1 ,\r\n2 ]", `"\"\\\/\b\f\n\r\t"`, `"\u00fc\ud83d\ude00"`, `"\ud83d"`, `"\ud83d\u0041"`,
	`"\ude00\ud83d"`, `"\ud83d\ud83d\ude00"`, "\"\xff\"", "\"\xe2\x82\"", `"\x"`, `"\u12g4"`, `"\u12"`, `"\`, `"abcdefghijklmnop`, "\"abcdefg\x1fh\"", "\"abcdefghijk\x00\"",
	`"seven77"`, `"eight888"`, `"nine 9999"`, `"dix-sept 17 177é"`, `"éééééééééééé\n"`, `01`, `-`, `-01`, `1.`, `.5`, `1e`, `1e+`, `1E-07`, `-0.0e0`, `1+1`, `1-2`, `+1`, `1 2`,
	`tru`, `trues`, `nul`, `falsé`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a" : 1 , "b":2}`, `[`, `{`, `]`, `"`, ``, ` `, "\x00", "[\x00]", "[1\x00]", `{"a":1]`, `[1}`, `1e999999`, "\ufeff1",
}

func TestAgreesOnTexts(t *testing.T) {
	for _, s := range texts {
		agree(t, s)
	}
}

// Of texts that are JSON, and of those that once were.
func TestAgreesWithEncodingJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	const signs = "\"\\{}[],:0-9.eEu ntf\x00\x1f\x80\xff\n"
	for range 20_000 {
		text := []byte(random(rng, 4))
		agree(t, string(text))
		for range 3 {
			at := rng.IntN(len(text))
			text[at] = signs[rng.IntN(len(signs))]
			agree(t, string(text))
		}
		agree(t, string(text[:rng.IntN(len(text))]))
	}
}

func random(rng *rand.Rand, depth int) string {
	space := strings.Repeat(" ", max(0, rng.IntN(8)-6))
	switch n := rng.IntN(10); {
	case n < 2 && depth > 0:
		var list []string
		for range rng.IntN(4) {
			list = append(list, random(rng, depth-1))
		}
		return "[" + space + strings.Join(list, space+","+space) + "]"
	case n < 5 && depth > 0:
		var list []string
		for range rng.IntN(4) {
			list = append(list, randomText(rng)+space+":"+random(rng, depth-1))
		}
		return "{" + strings.Join(list, ","+space) + space + "}"
	case n < 8:
		return randomText(rng)
	}
	return []string{"true", "false", "null", "0", "-0", "12", "-3.25", "1e9", "6.02E+23", "123456789012345678901"}[rng.IntN(10)] + space
}

func randomText(rng *rand.Rand) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for range rng.IntN(14) {
		b.WriteString([]string{"a", "Z", "7", " ", "é", "€", "😀", `\"`, `\\`, `\n`, `\u0041`, `\ud83d\ude00`, `\ud800`, "word", "/"}[rng.IntN(15)])
	}
	b.WriteByte('"')
	return b.String()
}

// A string is as long as it is, wherever in it stands what ends it.
func TestTextOfAnyLength(t *testing.T) {
	for n := range 40 {
		for at := range n + 1 {
			for _, c := range []string{"", `\n`, "é", "\x1f", "\x7f", "!", "#", "[", "]"} {
				agree(t, `"`+strings.Repeat("x", at)+c+strings.Repeat("y", n-at)+`"`)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[")+strings.Count(text, "{") > 5000 {
			return // encoding/json has a bound on depth, this has none
		}
		agree(t, text)
	})
}

func BenchmarkText(b *testing.B) {
	text := `"` + strings.Repeat("a sentence of some words, as people write them. ", 20) + `"`
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r := Over(text)
		if _, _, ok := r.Text(); !ok {
			b.Fatal("no text")
		}
	}
}
