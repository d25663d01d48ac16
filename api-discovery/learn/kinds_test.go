package learn

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever identifies a thing makes a hole, beside the words that stand where it
// does.
func TestIdentifiers(t *testing.T) {
	given := strings.Fields("amber birch cedar delta ember fern grove heath iris jade kelp lily moss nettle olive pine quince reed sage thyme")
	hex := func(i int, n int) string { return strings.Repeat(fmt.Sprintf("%08x", uint32(i+1)*2654435761), 8)[:n] }
	for name, id := range map[string]func(i int) string{
		"numbers":       func(i int) string { return fmt.Sprint(100 + i*37) },
		"small numbers": func(i int) string { return fmt.Sprint(i) },
		"UUIDs": func(i int) string {
			h := hex(i, 32)
			return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
		},
		"ULIDs":       func(i int) string { return fmt.Sprintf("01ARZ3NDEKTSV4RRFFQ69G%02dAV", i) },
		"hashes":      func(i int) string { return hex(i, 40) },
		"slugs":       func(i int) string { return given[i%20] + "-and-" + given[(i*7+3)%20] + "-" + given[(i*3+1)%20] },
		"e-mails":     func(i int) string { return fmt.Sprintf("%s%d@example.org", given[i%20], i) },
		"dates":       func(i int) string { return fmt.Sprintf("2026-%02d-%02d", 1+i%12, 1+i%28) },
		"times":       func(i int) string { return url.PathEscape(fmt.Sprintf("2026-03-%02dT10:00:00Z", 1+i%28)) },
		"user names":  func(i int) string { return given[i%20] + []string{"", "77", "_x", ".k"}[i%4] + given[(i*7)%20] },
		"short codes": func(i int) string { return fmt.Sprintf("%c%d%c%d%c", 'A'+i%26, i%10, 'K'+i%16, i/10%10, 'P'+i%11) },
		"prefixed":    func(i int) string { return fmt.Sprintf("cus_%sX%dq", hex(i, 10), i) },
		"escaped":     func(i int) string { return url.PathEscape(given[i%20] + " & " + given[(i*7+3)%20]) },
		"lists":       func(i int) string { return fmt.Sprintf("%d,%d", 500+i, 900+i*3) },
		"keys":        func(i int) string { return "'" + given[i%20] + given[(i*7+3)%20] + "'" },
	} {
		var list []string
		for i := range 60 {
			list = append(list, "/v1/things/"+id(i), "/v1/things/"+id(i)+"/parts")
		}
		list = append(list, "/v1/things", "/v1/things", "/v1/things/me", "/v1/things/me", "/v1/things/me", "/v1/things/me")
		want := []string{"GET /v1/things", "GET /v1/things/me", "GET /v1/things/{thingId}", "GET /v1/things/{thingId}/parts"}
		got := get(1, list...)
		if diff := cmp.Diff(want, templates(learned(got, inOrder(len(got))).Conclude(nil))); diff != "" {
			t.Errorf("%s, such as %s: %s", name, id(1), diff)
		}
	}
}

// What is written in another way is kept apart: case, extensions, versions, a last
// slash; matrix parameters are none of the path.
func TestWaysOfWriting(t *testing.T) {
	var list []string
	for i := range 30 {
		n := 1000 + i*17
		for _, form := range []string{"/v1/items/%d", "/v2/items/%d", "/v2/items/%d.json", "/V2/Items/%d", "/v2/lists/%d/", "/v2/seats;row=a;place=2/%d", "/v2/%%69tems/%d"} {
			list = append(list, fmt.Sprintf(form, n))
		}
	}
	want := []string{"GET /V2/Items/{itemId}", "GET /v1/items/{itemId}", "GET /v2/items/{itemId}", "GET /v2/items/{itemId}.json", "GET /v2/lists/{listId}/", "GET /v2/seats/{seatId}"}
	got := get(1, list...)
	specs := learned(got, inOrder(len(got))).Conclude(nil)
	if diff := cmp.Diff(want, templates(specs)); diff != "" {
		t.Error(diff)
	}
	var matrix []string
	for _, p := range specs[0].Operations[len(want)-1].Params {
		matrix = append(matrix, p.In+" "+p.Name)
	}
	if diff := cmp.Diff([]string{"path seatId", "matrix place", "matrix row"}, matrix); diff != "" {
		t.Error(diff)
	}
}
