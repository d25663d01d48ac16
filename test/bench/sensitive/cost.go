package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// costs are microseconds for one body of 1 KB, in one goroutine: the middle of
// many rounds.
type costs struct {
	Bytes        int     `json:"body_bytes"`
	Fields       int     `json:"fields"`
	WalkMicros   float64 `json:"walk_us"`     // finding the fields, no classifier
	BothMicros   float64 `json:"classify_us"` // with the classifier
	KnownMicros  float64 `json:"known_us"`    // with names looked up before, as whoever sees the same operation again does
	PlainMicros  float64 `json:"plain_us"`    // with no sensitive value in the body
	FormMicros   float64 `json:"names_us"`    // ten query parameters and headers, no body
	PerFieldNano float64 `json:"field_ns"`
}

func measureCost() costs {
	rich, plain := bodies(true), bodies(false)
	c := costs{Bytes: len(rich[0])}
	nothing := func(_, _ []byte) { c.Fields++ }
	walk(rich[0], nothing)
	fields := c.Fields
	var found []sensitive.Finding
	classify := func(name, value []byte) { found = sensitive.Named(string(name)).ClassifyBytes(found[:0], value) }
	c.WalkMicros = middle(rich, func(b []byte) { walk(b, nothing) })
	c.BothMicros = middle(rich, func(b []byte) { walk(b, classify) })
	known := map[string]sensitive.Field{}
	walk(rich[0], func(name, _ []byte) { known[string(name)] = sensitive.Named(string(name)) })
	c.KnownMicros = middle(rich, func(b []byte) {
		walk(b, func(name, value []byte) { found = known[string(name)].ClassifyBytes(found[:0], value) })
	})
	c.PlainMicros = middle(plain, func(b []byte) { walk(b, classify) })
	names := [][2]string{{"q", "rope"}, {"page", "2"}, {"limit", "20"}, {"sort", "price"}, {"user-agent", "Mozilla/5.0 (X11; Linux x86_64)"},
		{"accept", "application/json"}, {"x-request-id", "550e8400-e29b-41d4-a716-446655440000"}, {"cookie", "a=b"}, {"referer", "https://example.com/a"}, {"host", "example.com"}}
	c.FormMicros = middle(rich, func([]byte) {
		for _, n := range names {
			found = sensitive.Classify(found[:0], n[0], n[1])
		}
	})
	c.Fields = fields
	c.PerFieldNano = (c.BothMicros - c.WalkMicros) * 1000 / float64(fields)
	return c
}

// middle is the median over rounds of the time for one body.
func middle(bodies [][]byte, do func([]byte)) float64 {
	const rounds = 41
	var times []float64
	for range rounds {
		began := time.Now()
		for _, b := range bodies {
			do(b)
		}
		times = append(times, float64(time.Since(began).Nanoseconds())/1000/float64(len(bodies)))
	}
	slices.Sort(times)
	return times[rounds/2]
}

// bodies are 500 different customers or goods of about 1 KB.
func bodies(rich bool) (all [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for k := range 500 {
		var b bytes.Buffer
		if rich {
			fmt.Fprintf(&b, `{"customer":{"id":%d,"firstName":"Ada","lastName":"Lovelace","email":"ada%d@example.com","phone":"+44 20 7946 0%03d","dateOfBirth":"1981-12-24","iban":"DE89370400440532013000","address":{"street":"12 Main Street","city":"London","postcode":"N1 9GU","country":"GB"}},"orders":[`, 1000+k, k, k)
		} else {
			fmt.Fprintf(&b, `{"catalogue":{"id":%d,"title":"Ropes and lines","slug":"ropes-%d","revision":17,"locale":"en-GB","currency":"EUR","description":"Twelve metres of rope, in stock since spring","warehouse":{"aisle":"B12","shelf":"4","country":"GB"}},"items":[`, 1000+k, k)
		}
		for b.Len() < 940 {
			fmt.Fprintf(&b, `{"sku":"rope-%d","quantity":%d,"price":%d.50,"placed":"2026-11-2%dT19:36:53Z","trace":"%016x"},`, r.IntN(99), r.IntN(9), r.IntN(500), r.IntN(9), r.Uint64())
		}
		b.Truncate(b.Len() - 1)
		b.WriteString("]}")
		all = append(all, b.Bytes())
	}
	return all
}

// walk calls visit for every string and number of a JSON body with the key it
// stands under. It is a measuring device: bodies come from this program.
func walk(b []byte, visit func(name, value []byte)) {
	var name []byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			end := i + 1 + bytes.IndexByte(b[i+1:], '"')
			if text := b[i+1 : end]; end+1 < len(b) && b[end+1] == ':' {
				name = text
			} else {
				visit(name, text)
			}
			i = end
		case c >= '0' && c <= '9':
			end := i
			for end < len(b) && (b[end] >= '0' && b[end] <= '9' || b[end] == '.') {
				end++
			}
			visit(name, b[i:end])
			i = end - 1
		}
	}
}
