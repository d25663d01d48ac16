package apiguard

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Whatever schema of the usual kind and whatever value: what is proved quickly is
// what the library says, and most of what is good is proved.
func TestQuickAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	proved, good := 0, 0
	for range 3000 {
		text, err := json.Marshal(randomSchema(rng, 3))
		if err != nil {
			t.Fatal(err)
		}
		s, err := compileSchema(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if s.quick == nil {
			t.Fatalf("%s is not known", text)
		}
		for range 10 {
			raw, err := json.Marshal(randomValue(rng, 3))
			if err != nil {
				t.Fatal(err)
			}
			v, err := parse(raw, 10)
			if err != nil {
				t.Fatal(err)
			}
			quick, whole := s.quick.fits(v), s.valid.Validate(v)
			if s.quick.proves(raw, 10) != quick {
				t.Fatalf("%s fits %s quickly: %v as a value, not so while it is read", raw, text, quick)
			}
			if quick && whole != nil {
				t.Fatalf("%s fits %s quickly, and does not: %v", raw, text, whole)
			}
			if whole == nil {
				good++
				if quick {
					proved++
				}
			}
		}
	}
	if good < 1000 || proved < good*9/10 {
		t.Errorf("of %d good values %d are proved quickly", good, proved)
	}
}

func pick[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

func randomSchema(rng *rand.Rand, depth int) map[string]any {
	s := map[string]any{}
	switch rng.IntN(8) {
	case 0:
		s["type"] = "string"
		if rng.IntN(2) == 0 {
			s["minLength"], s["maxLength"] = rng.IntN(3), 2+rng.IntN(4)
		} else {
			s[pick(rng, "format", "format", "pattern")] = pick(rng, "date", "email", "uuid")
		}
	case 1:
		s["type"], s["minimum"], s["maximum"] = pick(rng, "integer", "number"), pick(rng, -1.5, 0, 1), pick(rng, 2, 1e6, 9007199254740992)
	case 2:
		s["type"] = pick[any](rng, "boolean", "null", []string{"string", "null"}, []string{"integer", "boolean"})
	case 3:
		s["enum"] = []string{"a", "bb", ""}
	case 4:
		s["maxItems"], s["minItems"] = 2, rng.IntN(2)
		if depth > 0 {
			s["type"], s["items"] = "array", randomSchema(rng, depth-1)
		}
	case 5, 6:
		if depth > 0 {
			s["type"] = "object"
			s["properties"] = map[string]any{"a": randomSchema(rng, depth-1), "b": randomSchema(rng, depth-1)}
			s["required"] = pick(rng, []string{}, []string{"a"}, []string{"a", "c"})
			s["additionalProperties"] = pick[any](rng, true, false, randomSchema(rng, depth-1))
		}
	}
	return s
}

func randomValue(rng *rand.Rand, depth int) any {
	switch rng.IntN(8) {
	case 0:
		return pick(rng, "a", "bb", "", "ünïcode", "2026-02-28", "a@b.example", "2c1c8b38-8b0e-4f0e-8b0e-2c1c8b388b0e", "email")
	case 1:
		return pick(rng, 0, 1, -1, 2, 3, 1_000_000, 9007199254740991, 9007199254740993)
	case 2:
		return pick(rng, 0.5, 1.0, 2.5, -1.5, 1e21)
	case 3:
		return pick[any](rng, true, false, nil)
	case 4:
		list := []any{}
		for range rng.IntN(4) {
			list = append(list, randomValue(rng, max(depth-1, 0)))
		}
		return list
	}
	o := map[string]any{}
	for range rng.IntN(4) {
		if depth > 0 {
			o[pick(rng, "a", "b", "c", fmt.Sprint(rng.IntN(9)))] = randomValue(rng, depth-1)
		}
	}
	return o
}
