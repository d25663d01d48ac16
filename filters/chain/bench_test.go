package chain

import (
	"testing"

	"github.com/gabion-io/gabion/filters"
)

// The usual mix: a GET with two arguments, a JSON body of 1 KB, each with a
// response whose body is not inspected.
func BenchmarkExchange(b *testing.B) {
	json := post("")
	json.Headers[2].Value = "application/json"
	body := []byte(`{"items":[`)
	for len(body) < 1000 {
		body = append(body, `{"id":"a-17","name":"Blue chair","qty":2,"price":"12.50"},`...)
	}
	body = append(body[:len(body)-1], "]}"...)
	for name, m := range map[string]Message{
		"GET":  {Request: get("/some/path?parameters=and&other=Stuff"), Response: &filters.ResponseHead{Status: 200}},
		"JSON": {Request: json, RequestBody: body, Response: &filters.ResponseHead{Status: 200}},
	} {
		b.Run(name, func(b *testing.B) {
			j := testJudge(b, filters.ModeBlock, nil)
			b.ReportAllocs()
			for b.Loop() {
				j.Decide(m)
			}
		})
	}
}
