package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/internal/exchange"
)

// value is a valid value of a schema.
func (g *generator) value(name string, s map[string]any, depth int) string {
	if one := append(anyList(s["oneOf"]), anyList(s["anyOf"])...); len(one) > 0 {
		if m, ok := one[g.r.IntN(len(one))].(map[string]any); ok && depth < 5 {
			return g.value(name, m, depth+1)
		}
	}
	if enum := anyList(s["enum"]); len(enum) > 0 {
		return fmt.Sprint(enum[g.r.IntN(len(enum))])
	}
	kind := ""
	if t := typesOf(s); len(t) > 0 {
		kind = t[0]
	}
	switch kind {
	case "integer":
		if page(name) {
			return strconv.Itoa(1 + g.r.IntN(100))
		}
		return strconv.Itoa(1 + int(exchange.Key{}.Hash(name+strconv.FormatUint(g.pick.Uint64(), 10))%9_000_000))
	case "number":
		return strconv.FormatFloat(float64(g.r.IntN(10000))/100, 'f', 2, 64)
	case "boolean":
		return strconv.FormatBool(g.r.IntN(2) == 0)
	}
	i := int(g.pick.Uint64())
	switch s["format"] {
	case "date-time":
		return g.clock.AddDate(0, 0, -i).UTC().Format("2006-01-02T15:04:05Z")
	case "date":
		return g.clock.AddDate(0, 0, -i).Format("2006-01-02")
	case "uuid":
		h := g.hex(name, i, 32)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	case "uri":
		return "https://example.com/" + g.word(name, i)
	case "email":
		return g.word(name, i) + "@example.com"
	case "style":
		return g.styled(s, name, i)
	}
	switch {
	case strings.HasSuffix(name, "sha") || strings.HasSuffix(name, "digest"):
		return g.hex(name, i, 40)
	case strings.HasSuffix(name, "uuid"):
		h := g.hex(name, i, 32)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	return g.style.value(g, name, i)
}

func page(name string) bool {
	return slices.Contains([]string{"page", "per_page", "limit", "offset", "size"}, name)
}

// styled values say their own style: those of the small descriptions in apis.go.
func (g *generator) styled(s map[string]any, name string, i int) string {
	kind, _ := s["style"].(string)
	kind, arg, _ := strings.Cut(kind, ":")
	switch kind {
	case "prefix":
		return arg + g.token(name, i, 14)
	case "sid":
		return arg + g.hex(name, i, 32)
	case "base62":
		return g.token(name, i, 22)
	case "hex":
		return g.hex(name, i, 24)
	case "word":
		return g.word(name, i)
	case "handle":
		return g.handle(name, i)
	case "slug":
		return g.word(name, i) + "-" + g.word(name, i*7+1) + "-" + g.word(name, i*3+2)
	case "code":
		return g.code(name, i)
	case "lang":
		return []string{"en", "de", "fr", "es", "it", "pt-BR", "en-US", "zh-CN", "ja", "ko", "nl", "sv"}[i%12]
	case "currency":
		return []string{"usd", "eur", "gbp", "jpy", "chf", "sek", "nok", "dkk", "pln", "czk", "huf", "try", "brl", "mxn"}[i%14]
	case "email":
		return g.word(name, i) + "." + g.word(name, i+5) + "@example.com"
	case "year":
		return strconv.Itoa(1990 + i%35)
	case "month":
		return fmt.Sprintf("%02d", 1+i%12)
	case "day":
		return fmt.Sprintf("%02d", 1+i%28)
	case "ids":
		n := 1 + g.r.IntN(4)
		var list []string
		for k := range n {
			list = append(list, strconv.Itoa(1+(i*31+k*17)%5000))
		}
		return strings.Join(list, ",")
	case "semver":
		return fmt.Sprintf("%d.%d.%d", i%4, i%7, i%11)
	case "country":
		return strings.Fields("US GB DE FR ES IT PT NL SE NO DK PL CZ HU AT CH BE IE FI JP AU CA BR MX")[i%24]
	case "region":
		return strings.Fields("us-east1 us-west1 us-central1 europe-west1 europe-west4 asia-east1 asia-south1 global")[i%8]
	case "dns":
		h := exchange.Key{}.Hash("d" + name + strconv.Itoa(i))
		return []string{g.word(name, i), g.word(name, i) + "-" + g.word(name, i*5+3), g.word(name, i) + "-" + strconv.Itoa(i%20)}[h%3]
	case "pod":
		return g.word(name, i%40) + "-" + g.hex(name, i, 9) + "-" + strings.ToLower(g.token(name, i, 5))
	case "small":
		return strconv.Itoa(1 + i%20)
	case "title":
		w := g.word(name, i)
		w = strings.ToUpper(w[:1]) + w[1:]
		if i%2 == 0 {
			w += "_" + g.word(name, i*3+1)
		}
		if i%9 == 0 {
			w += "_(" + g.word(name, i+1) + ")"
		}
		return w
	case "sku":
		return strings.ToUpper(g.token(name, i, 3)) + "-" + strconv.Itoa(1000+i%9000)
	}
	return g.word(name, i)
}

func (g *generator) hex(name string, i, n int) string {
	var b strings.Builder
	for k := 0; b.Len() < n; k++ {
		fmt.Fprintf(&b, "%016x", exchange.Key{}.Hash(name+"/"+strconv.Itoa(i)+"/"+strconv.Itoa(k)))
	}
	return b.String()[:n]
}

func (g *generator) token(name string, i, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var b strings.Builder
	h := exchange.Key{}.Hash("t" + name + strconv.Itoa(i))
	for range n {
		b.WriteByte(letters[h%62])
		h = h/62 ^ h*0x9e3779b97f4a7c15
	}
	return b.String()
}

func (g *generator) code(name string, i int) string {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	h := exchange.Key{}.Hash("c" + name + strconv.Itoa(i))
	var b strings.Builder
	for range 5 {
		b.WriteByte(letters[h%32])
		h /= 32
	}
	return b.String()
}

// word is the i-th word of a name's pool: a dictionary word, two of them beyond.
func (g *generator) word(name string, i int) string {
	h := exchange.Key{}.Hash("w" + name + strconv.Itoa(i))
	w := dictionary[h%uint64(len(dictionary))]
	if i >= len(dictionary)/2 {
		w += dictionary[(h>>20)%uint64(len(dictionary))]
	}
	return w
}

// handle is a name that somebody chose.
func (g *generator) handle(name string, i int) string {
	h := exchange.Key{}.Hash("h" + name + strconv.Itoa(i))
	w, v := dictionary[h%uint64(len(dictionary))], dictionary[(h>>20)%uint64(len(dictionary))]
	switch (h >> 40) % 6 {
	case 0:
		return w
	case 1:
		return w + "-" + v
	case 2:
		return w + strconv.Itoa(int(h>>50)%100)
	case 3:
		return strings.ToUpper(w[:1]) + w[1:]
	case 4:
		return w + "_" + v
	}
	return w + v
}

// json is a valid instance of a schema, with optional members left out at times.
func (g *generator) json(s map[string]any, depth int) any {
	if s == nil || depth > 6 {
		return nil
	}
	for _, all := range anyList(s["allOf"]) {
		if m, ok := all.(map[string]any); ok {
			return g.json(m, depth)
		}
	}
	if one := append(anyList(s["oneOf"]), anyList(s["anyOf"])...); len(one) > 0 && s["properties"] == nil {
		m, _ := one[g.r.IntN(len(one))].(map[string]any)
		return g.json(m, depth+1)
	}
	types := typesOf(s)
	if s["nullable"] == true && g.r.IntN(5) == 0 {
		return nil
	}
	if props, ok := s["properties"].(map[string]any); ok && (len(types) == 0 || types[0] == "object") {
		required := anyList(s["required"])
		out := map[string]any{}
		for _, name := range sortedKeys(props) {
			if slices.Contains(required, any(name)) || g.r.IntN(3) > 0 {
				m, _ := props[name].(map[string]any)
				out[name] = g.json(m, depth+1)
			}
		}
		return out
	}
	if len(types) == 0 {
		return "x"
	}
	switch types[0] {
	case "array":
		items, _ := s["items"].(map[string]any)
		list := []any{}
		for range g.r.IntN(3) {
			list = append(list, g.json(items, depth+1))
		}
		return list
	case "object":
		return map[string]any{}
	case "integer", "number", "boolean":
		return json.RawMessage(g.value("id", map[string]any{"type": types[0]}, 0))
	}
	return g.value("name", s, 0)
}

func sortedKeys(m map[string]any) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func appendJSON(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		return b
	}
	return append(b, j...)
}

var dictionary = strings.Fields(`amber anchor apple arrow atlas autumn badge bamboo banner barley basil beacon berry birch bishop blaze blossom bolt
border bottle branch brave breeze bridge bronze brook bubble bucket butter cabin cactus camel candle canyon carbon castle cedar chalk cherry chess
cinder circle citrus clover cobalt comet copper coral cosmos cotton crane crater cream cricket crystal cypress daisy delta desert diamond dolphin
domino dragon drift eagle echo ember emerald engine falcon feather fern fiddle flame flint forest fossil fox galaxy garden garnet ginger glacier
globe golden granite grape gravel harbor hazel hermit heron hollow honey horizon hunter indigo iris island ivory jade jasmine jungle juniper kayak
kernel kettle kite lagoon lantern laurel lemon lilac linen lion lotus lunar magnet mango maple marble marsh meadow melon mercury meteor mint mirror
mist monkey moon mosaic mountain nectar needle nickel noble north nova oak oasis ocean olive onyx opal orange orbit orchid otter oyster paddle palm
panda paper pearl pebble pepper phoenix pine planet plum polar pollen pond poppy prairie prism pulse puzzle quartz quill rabbit radar rain raven
reef ridge river robin rocket rose ruby saddle saffron sage sail salmon sand sapphire scarlet shadow shell shore silk silver sky slate snow solar
sparrow spice spiral spring spruce star stone storm summer sunset swan sword tango teal temple thistle thunder tiger timber topaz torch tulip tundra
turtle twig valley vapor velvet violet violin walnut water whale wheat willow wind winter wolf wood yarrow zebra zenith zephyr team user report
project main master develop release docs build test data web api service backend frontend mobile client server core tools issue label event`)
