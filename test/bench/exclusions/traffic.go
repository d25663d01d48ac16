package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// sent is one request of the traffic set with its label.
type sent struct {
	at     time.Time
	who    string // "benign", or the attacker's behaviour
	client netip.Addr
	head   filters.RequestHead
	body   []byte
}

func (s sent) attack() bool { return strings.HasPrefix(s.who, "attack") }

const shopHost = "shop.example.com"

// person is one benign client with its habits.
type person struct {
	addr   netip.Addr
	agent  string
	cookie string
	device string
}

// crowd makes n people in nearly as many networks.
func crowd(r *rand.Rand, n int) []person {
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"}
	var out []person
	for i := range n {
		net := i
		if i%10 == 9 {
			net = i - 1 // some share one
		}
		out = append(out, person{
			addr:   netip.AddrFrom4([4]byte{198, 18 + byte(net/250), byte(net % 250), byte(1 + r.IntN(250))}),
			agent:  pick(r, agents),
			cookie: preferences(r),
			device: pick(r, []string{`{"os":"linux","app":"shop; 4.2"}`, `{"os":"ios","app":"shop; 4.1"}`, `{"os":"android","app":"shop; 4.2"}`}),
		})
	}
	return out
}

// preferences are what a badly made front end keeps in a cookie: an expression
// that only it reads.
func preferences(r *rand.Rand) string {
	return fmt.Sprintf("sort=price&view=(%s);id|%d", pick(r, []string{"list", "grid", "map"}), r.IntN(1000))
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// text is a paragraph, with an aside as often as share says.
func text(r *rand.Rand, share float64) string {
	var s []string
	for range 1 + r.IntN(3) {
		w := pick(r, subjects()) + " " + pick(r, verbs()) + "."
		s = append(s, strings.ToUpper(w[:1])+w[1:])
	}
	if r.Float64() < share {
		from := asides()
		if r.IntN(50) == 0 {
			from = code()
		}
		s = append(s, pick(r, from))
	}
	if r.Float64() < 0.5 {
		s = append(s, pick(r, closings()))
	}
	return strings.Join(s, " ")
}

// request begins one from a person.
func (p person) request(r *rand.Rand, at time.Time, method, target string) sent {
	s := sent{at: at, who: "benign", client: p.addr, head: filters.RequestHead{
		Method: method, Scheme: "https", Authority: shopHost, Path: target, Proto: "HTTP/1.1", Time: at,
		Client: netip.AddrPortFrom(p.addr, uint16(20000+r.IntN(30000))),
	}}
	s.set("host", shopHost)
	s.set("user-agent", p.agent)
	s.set("accept", "text/html,application/json;q=0.9,*/*;q=0.8")
	s.set("accept-language", "en-GB,en;q=0.5")
	if r.Float64() < 0.5 {
		s.set("cookie", "sid="+fmt.Sprintf("%016x", r.Uint64())+"; prefs="+url.QueryEscape(p.cookie))
	}
	if r.Float64() < 0.3 {
		s.set("x-device", p.device)
	}
	return s
}

func (s *sent) set(name, value string) {
	s.head.Headers = append(s.head.Headers, filters.Header{Name: name, Value: value})
}

func (s sent) with(contentType string, body []byte) sent {
	s.body = body
	s.set("content-type", contentType)
	s.set("content-length", fmt.Sprint(len(body)))
	return s
}

func (s sent) form(fields ...string) sent {
	v := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return s.with("application/x-www-form-urlencoded", []byte(v.Encode()))
}

func (s sent) json(doc any) sent {
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err) // plain data
	}
	return s.with("application/json", body)
}

// visit is one thing a person does in the shop.
func (p person) visit(r *rand.Rand, at time.Time) sent {
	switch n := r.IntN(100); {
	case n < 40:
		return p.request(r, at, "GET", pick(r, []string{"/", "/tables/oak", "/chairs?page=2", "/about", "/cart"}))
	case n < 60:
		return p.request(r, at, "GET", "/search?q="+url.QueryEscape(pick(r, questions())))
	case n < 72:
		return p.request(r, at, "POST", "/comments").form("author", pick(r, []string{"Ann", "Bo", "Cy", "Di"}), "text", text(r, 0.7))
	case n < 80:
		return p.request(r, at, "POST", fmt.Sprintf("/orders/%d/note", 1000+r.IntN(9000))).form("note", text(r, 0.5))
	case n < 88:
		return p.request(r, at, "POST", "/blog/"+pick(r, slugs())+"/comment").form("body", text(r, 0.6))
	case n < 95:
		var html strings.Builder
		for range 1 + r.IntN(4) {
			html.WriteString(pick(r, htmlPieces()))
		}
		return p.request(r, at, "POST", "/api/articles").json(map[string]any{"title": pick(r, slugs()), "body": html.String(), "tags": []string{"oak", "new"}})
	default:
		blob := make([]byte, 60+r.IntN(200))
		for i := range blob {
			blob[i] = byte(r.Uint32())
		}
		return p.request(r, at, "PUT", "/api/files").json(map[string]any{"name": "photo.jpg", "content": base64.StdEncoding.EncodeToString(blob)})
	}
}

// benign is the crowd's traffic over some days, in the hours people are awake.
func benign(r *rand.Rand, people []person, begin time.Time, days, visits int) []sent {
	var out []sent
	for _, p := range people {
		for range visits {
			at := begin.AddDate(0, 0, r.IntN(days)).Add(time.Duration(6+r.IntN(17))*time.Hour + time.Duration(r.IntN(3600))*time.Second)
			out = append(out, p.visit(r, at))
		}
	}
	return out
}

func inOrder(all []sent) {
	slices.SortStableFunc(all, func(a, b sent) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
}
