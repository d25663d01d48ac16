package main

import (
	"strings"
	"testing"

	"github.com/gabion-io/gabion/internal/exchange"
)

// Whatever is read, what comes out has a method and a path.
func FuzzReadExchanges(f *testing.F) {
	f.Add(`{"time":"2026-03-01T10:00:00Z","client":"10.0.0.1","method":"GET","scheme":"https","host":"h","path":"/a?b=1","request":{"headers":{"a":"b","c":["d"]},"body":""},"status":200,"response":{"headers":[["a","b"]],"body_base64":"AA=="},"duration_ms":1.5}`)
	f.Add("{}\n\n[]")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readExchanges(strings.NewReader(text), "x", func(decode toLearn) error { return checkRaw(t, decode) })
	})
}

func FuzzReadHAR(f *testing.F) {
	f.Add(`{"log":{"version":"1.2","entries":[{"startedDateTime":"2026-03-01T10:00:00Z","time":1,"request":{"method":"POST","url":"https://h/a?b=1","headers":[{"name":"a","value":"b"}],"postData":{"mimeType":"x/y","params":[{"name":"c","value":"d"}]}},"response":{"status":200,"content":{"text":"AA==","encoding":"base64"}}}]}}`)
	f.Add("\xef\xbb\xbf{\"log\":{}}")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readHAR(strings.NewReader(text), "x", func(decode toLearn) error { return checkRaw(t, decode) })
	})
}

func checkRaw(t *testing.T, decode toLearn) error {
	raw, err := decode()
	if err != nil || raw == nil {
		return err
	}
	if raw.Method == "" || raw.Path == "" {
		t.Fatalf("%+v", raw)
	}
	var o exchange.Observation
	(&exchange.Door{}).Observe(raw, &o)
	return nil
}
