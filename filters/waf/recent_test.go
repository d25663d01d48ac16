package waf

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Whatever else was asked in between, and by whom, an answer is that of its text.
func TestRecentAnswers(t *testing.T) {
	r := newRecent()
	even := func(s string) bool { return len(s)%2 == 0 }
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				text := strings.Repeat("a", (i*7+worker)%(2*maxRecent)) + fmt.Sprint(i%600)
				if r.ask(text, even) != even(text) {
					t.Errorf("a wrong answer for %d bytes", len(text))
					return
				}
			}
		})
	}
	wg.Wait()
	asked := 0
	for range 3 {
		r.ask("Mozilla/5.0", func(string) bool { asked++; return true })
	}
	if asked > 1 {
		t.Errorf("asked %d times for one text", asked)
	}
}
