package waf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/libinjection-go"
)

// sqlPieces are what texts are put together from: all that the tokeniser knows by
// name, and what it knows by kind.
func sqlPieces() (words, rest []string) {
	for text := range sqlTable {
		if text[0] != '0' {
			words = append(words, strings.ToLower(text))
			words = append(words, strings.Fields(text)...)
		}
	}
	slices.Sort(words)
	words = append(slices.Compact(words), sqlNamed...)
	rest = strings.Fields("a b shoes order_1 _x x_ e1 table7 utf8_bin USER_IDs in. select.a a.b json.events.12.note order.by sys.x a.select user_id(" +
		" dbms_lock.sleep dbms_lock.sleeps shop.example.com e q nq u x b n 0 1 00 17 1.5 1. .5 . .. 1e 1e5 1e+ 1e-7 1ex .e 0x 0xff 0xg 0b 0b1 0b2 1d 1f 1fu 1du 1d; 12a 1.e(1)" +
		" @ @@ @a @@version @user @user_id @database @in + - -- / /* */ * = == & && % ? < > <= <> <=> << >> != !! !< ! ^ | || ~ ~* |/ := :: : :a ( ) (( )) , ; ;; ;if ;select" +
		" https://shop.example.com/order/17 a@b.example 8f0e1d2c-1234-4abc-a123-0123456789ab 2026-11-27T10:00:00Z 10:00")
	rest = append(rest, " ", "\t", "\n", "\r", "\v", "\f", strings.Repeat("a", 31), strings.Repeat("a", 32), strings.Repeat("b", 30)+"_", strings.Repeat("b", 31)+"_", strings.Repeat("c", 40)+".select")
	return words, rest
}

// sqlText puts a text together. Now and then it has what has no shape.
func sqlText(rnd *rand.Rand, words, rest []string) string {
	if rnd.IntN(3) == 0 {
		return sqlLike(rnd, words, rest)
	}
	var b strings.Builder
	some := func(from []string) { b.WriteString(from[rnd.IntN(len(from))]) }
	for range 1 + rnd.IntN(9) {
		switch rnd.IntN(16) {
		case 0, 1, 2, 3, 4:
			some(words)
		case 5, 6:
			b.WriteString(strings.ToUpper(words[rnd.IntN(len(words))]))
		case 7, 8:
			some([]string{"a", "blue", "shoes", "in_stock", "1", "42", "n"})
		case 9:
			fmt.Fprint(&b, rnd.IntN(1000))
		case 10:
			if rnd.IntN(4) == 0 {
				some([]string{"'", "\"", "#", "`", "$", "\\", "[", "]", "{", "}", "é", "\x00", "\xa0", "ſ"})
			}
		default:
			some(rest)
		}
		if rnd.IntN(3) > 0 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// sqlLike is an injection of which one token or two are something else.
func sqlLike(rnd *rand.Rand, words, rest []string) string {
	injections := []string{"1 or 1 = 1", "1 union select a", "1 ) or ( 1 = 1", "1 ; drop table a", "1 and user ( ) = 1", "a ; if ( 1 = 1 ) select a", "1 && sleep ( 1 )",
		"1 order by 1 , a", "1 into outfile a", "1 not in ( select a from b )", "a collate utf8_bin = 1", "1 having 1 < 2", "@a := 1 or @b", "a :: int = 1", "1 like a or 1", "exec a . b 1", "1 * ( select 1 )"}
	tokens := strings.Fields(injections[rnd.IntN(len(injections))])
	for range rnd.IntN(3) {
		from := [][]string{words, rest, {"a", "in_stock", "1", "select", "or", "(", "=", "a.b"}}[rnd.IntN(3)]
		tokens[rnd.IntN(len(tokens))] = from[rnd.IntN(len(from))]
	}
	return strings.Join(tokens, " ")
}

// TestSQLShapes: where a text has a shape, the answer about the first of that
// shape is the one about the text.
func TestSQLShapes(t *testing.T) {
	texts := 60_000
	if os.Getenv("GABION_FULL") != "" {
		texts = 3_000_000
	} else if testing.Short() {
		texts = 6_000
	}
	c, words, rest := newSQLShapes(), []string(nil), []string(nil)
	if c.words == nil || len(c.words.list) < 800 {
		t.Fatal("the tokeniser's table is not where it was")
	}
	words, rest = sqlPieces()
	rnd := rand.New(rand.NewPCG(11, 12))
	shaped, found := 0, 0
	for range texts {
		text := sqlText(rnd, words, rest)
		if !sameShape(t, c, text) {
			continue
		}
		if shaped++; !c.harmless(text, alphabetOf(text)) {
			found++
		}
	}
	t.Logf("%d of %d texts have a shape, %d of them are injections", shaped, texts, found)
	if shaped < texts/3 || found < texts/200 {
		t.Errorf("of %d texts %d have a shape, of those %d are injections", texts, shaped, found)
	}
}

// sameShape compares the answers, if the text has a shape.
func sameShape(t *testing.T, c *sqlShapes, text string) bool {
	t.Helper()
	a := alphabetOf(text)
	var s sqlShape
	shaped := text != "" && a&^sqlPlain == 0 && c.words.shape(text, &s)
	harmless := c.harmless(text, a)
	if found, print := libinjection.IsSQLi(text); harmless && found || shaped && harmless == found {
		t.Fatalf("%q, %v: harmless %v, of fingerprint %q", text, s.tokens[:s.used], harmless, print)
	}
	return shaped
}

// TestSQLShapesOfWords: every word and phrase alone and before and after others.
func TestSQLShapesOfWords(t *testing.T) {
	c := newSQLShapes()
	words, rest := sqlPieces()
	for _, w := range words {
		for _, text := range []string{w, w + " a", "a " + w, w + " in_stock", w + "(1)", "1 " + w + " 1", w + "." + w, "@" + w + "(", w + " " + w, "a;" + w, w + " union select 1"} {
			sameShape(t, c, text)
		}
	}
	for _, w := range rest {
		for _, v := range rest {
			sameShape(t, c, w+v)
			sameShape(t, c, w+" "+v)
		}
	}
}

// FuzzSQLShapes: the same of any text. What was asked before stays.
func FuzzSQLShapes(f *testing.F) {
	words, rest := sqlPieces()
	rnd := rand.New(rand.NewPCG(13, 14))
	for range 50 {
		f.Add(sqlText(rnd, words, rest))
	}
	c := newSQLShapes()
	f.Fuzz(func(t *testing.T, text string) {
		sameShape(t, c, text)
	})
}
