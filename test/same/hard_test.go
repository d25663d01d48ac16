package same

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
)

// TestHardTexts: on texts that lead automata from one new state to the next, after so
// many of them that no more states are made, both engines find the same.
func TestHardTexts(t *testing.T) {
	if ordered() || testing.Short() {
		t.Skip("of single values the order says nothing, and one goroutine meets no other")
	}
	const letters = "abcdefghijklmnopqrstuvwxyz"
	alphabets := []string{letters + "    ", letters + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !#$%&'()*+,-./:;<=>?@[]^_`{|}~\"\\", "ab=<>'\"( );/.-", letters + "éüß√ \u212a\u017f"}
	pieces := strings.Fields("select union from where or 1=1 ' \" -- /* */ <script > alert( ) onerror= javascript: ../ /etc/passwd ; cat | id $( ` { } ${ jndi: ldap:// %00 " +
		"sleep( exec <?php system( eval( () { :; } && || curl wget http://127.0.0.1/ <svg onload document.cookie java.lang.Runtime #{ {{ }} nc -e powershell &#x41; , = + a 1")
	rnd := rand.New(rand.NewPCG(13, 14))
	text := func(size int, from []string) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(from[rnd.IntN(len(from))])
		}
		return b.String()
	}
	post := func(id, media string, body []byte) message {
		return message{id: id, body: body, head: filters.RequestHead{Method: "POST", Scheme: "http", Authority: "shop.example.com", Path: "/", Proto: "HTTP/1.1",
			Headers: []filters.Header{{Name: "user-agent", Value: "Mozilla/5.0"}, {Name: "accept", Value: "*/*"}, {Name: "content-type", Value: media}}}}
	}
	var messages []message
	for i, a := range alphabets {
		for n := range 2 {
			messages = append(messages, post(fmt.Sprintf("alphabet %d, %d", i, n), "text/plain", []byte(text(3000, strings.Split(a, "")))))
		}
		body, _ := json.Marshal([]string{text(1500, pieces)})
		messages = append(messages, post(fmt.Sprintf("pieces %d", i), "application/json", body))
	}
	for _, i := range []int{1, balanced} {
		fast, err := waf.NewCompiler().Compile(config(i))
		if err != nil {
			t.Fatal(err)
		}
		defer fast.Release()
		for range 3 {
			for _, a := range alphabets {
				if _, err := run(fast, post("long", "text/plain", []byte(text(88<<10, strings.Split(a, ""))))); err != nil {
					t.Fatal(err)
				}
			}
		}
		compareAll(t, stock[i], fast, messages)
	}
}
