package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// secrets are values of the traffic, in lower case: here and in testdata.
func secrets() []string {
	return []string{"anna", "smith", "s3cr3t", "10.20.30", "ring twice", "4242424242424242", "de89370400440532013000", "eyjhbgci", "ac-77", "q7x9", "lovelace", "analytical", "london", "+49309"}
}

// traffic has something of every protocol, media type, credential and shape, and
// names that YAML or a path means something by. Each comes a dozen times, so that
// all that needs evidence has it.
func traffic() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for round := range 12 {
		for _, x := range exchanges(round) {
			if err := enc.Encode(x); err != nil {
				panic(err) // maps of texts and numbers
			}
		}
	}
	return b.Bytes()
}

type dict map[string]any

func exchanges(i int) []dict {
	const jsonType = "application/json; charset=utf-8"
	var list []dict
	add := func(method, path string, status int, request, response any, headers dict) dict {
		message := func(body any) dict {
			m := dict{"headers": dict{}}
			if body != nil {
				m["headers"] = dict{"Content-Type": jsonType}
				m["body"] = body
			}
			return m
		}
		req := message(request)
		for k, v := range headers {
			req["headers"].(dict)[k] = v
		}
		x := dict{"time": fmt.Sprintf("2026-03-01T10:00:%02dZ", i), "client": "10.20.30.4", "method": method, "scheme": "https", "host": "api.example", "path": path,
			"request": req, "status": status, "response": message(response), "duration_ms": 2.5}
		list = append(list, x)
		return x
	}
	typed := func(x dict, side, media, body string) {
		m := x[side].(dict)
		m["headers"].(dict)["Content-Type"] = media
		m["body"] = body
	}
	jwt := dict{"Authorization": "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJzdWIiOiJhbm5hIiwiYXVkIjoic2hvcCJ9.c2ln"}
	word := []string{"open", "paid", "void"}[i%3]
	var note any
	if i%2 == 0 {
		note = "please ring twice, Anna Smith"
	}
	add("GET", fmt.Sprintf("/v1/orders/%d?on=%d&yes=true&%%7B%%7D=1&expand[]=a&expand[]=b&filter[state]=%s&ids=1,2,3", 10000+i*7, i, word), 200, nil,
		dict{"id": 10000 + i, "status": word, "note": note, "mixed": []any{1, "a", nil, 2.5, true}, "empty": []any{}, "deep": dict{"a": dict{"b": []any{dict{"c": i}}}},
			"1:20": "x", "on": true, "no": nil, "<<": 1, "=": 2, "- a: b": 3, "ünï\u2028\u0000": 4, "by": dict{"anna@example.com": 1, fmt.Sprint("q7x9", i, "zk81p0aa"): 2}, "big": 12345678901}, jwt)
	add("POST", "/v1/payments", 201, dict{"type": "card", "number": "4242424242424242", "amount": i}, nil, dict{"X-Api-Key": "s3cr3t-key-of-anna"})
	add("POST", "/v1/payments", 201, dict{"type": "transfer", "iban": "DE89370400440532013000", "amount": i}, dict{"ok": true}, dict{"Authorization": "Basic YW5uYTpzM2NyM3Q="})
	add("POST", "/v1/payments", 422, dict{"type": 5}, dict{"errors": []any{dict{"path": "/type", "message": "Anna"}}}, nil)
	add("GET", "/v1/accounts/AC-77"+fmt.Sprint(i)+"/statement.pdf", 200, nil, nil, dict{"Cookie": "session=s3cr3t-session-0123456789; lang=de"})
	add("PROPFIND", "/dav/", 207, nil, nil, nil)
	add("HEAD", "/v1/orders", 200, nil, nil, nil)
	add("DELETE", "/v1/orders/10017", 204, nil, nil, jwt)
	add("GET", "/%7Bodd%7D/a%20b/%3F%23", 200, nil, dict{"a": 1}, nil)
	add("GET", "/", 200, nil, nil, nil)
	add("GET", "/x/", 200, nil, nil, nil)
	add("GET", "/x", 200, nil, nil, nil)
	add("GET", fmt.Sprintf("/Users(%d)", i+1000), 200, nil, dict{"value": []any{}}, nil)
	add("POST", fmt.Sprintf("/v1/jobs/%d:cancel", i+1000), 202, nil, nil, nil)
	add("GET", fmt.Sprintf("/map/color=red;lat=%d/end", i), 200, nil, nil, nil)
	add("POST", "/graphql", 200, dict{"query": "query Viewer { viewer { login repositories { name } } }"}, dict{"data": dict{"viewer": dict{"login": "anna"}}}, jwt)
	add("POST", "/graphql", 200, dict{"query": "mutation { addStar(id: \"q7x9\") { id } }"}, dict{"data": nil}, jwt)
	add("POST", "/rpc", 200, []any{dict{"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": []any{1}}, dict{"jsonrpc": "2.0", "id": 2, "method": "net_version"}}, []any{dict{"jsonrpc": "2.0", "id": 1, "result": "0x1"}}, nil)
	add("POST", "/mcp", 200, dict{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": dict{"name": "search", "arguments": dict{"q": "anna"}}}, dict{"jsonrpc": "2.0", "id": 1, "result": dict{}}, nil)
	typed(add("POST", "/soap", 200, nil, nil, dict{"SOAPAction": "urn:GetQuote"}), "request", "text/xml; charset=utf-8",
		`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><GetQuote><sym id="7">Anna</sym></GetQuote></s:Body></s:Envelope>`)
	typed(add("POST", "/shop.Orders/Get", 200, nil, nil, nil), "request", "application/grpc+proto", "\x00\x00\x00\x00\x02\x08\x01")
	typed(add("POST", "/form", 200, nil, nil, nil), "request", "application/x-www-form-urlencoded", fmt.Sprintf("name=Anna+Smith&age=%d&tag=a&tag=b&%%7Btoken%%7D=1", i))
	typed(add("POST", "/upload", 200, nil, nil, nil), "request", "multipart/form-data; boundary=xx",
		"--xx\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nAnna\r\n--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"anna.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--xx--\r\n")
	typed(add("GET", "/feed", 200, nil, nil, nil), "response", "application/atom+xml", `<feed><entry id="1"><title>Anna</title></entry><entry id="2"><title>Ben</title></entry></feed>`)
	typed(add("GET", "/events", 200, nil, nil, dict{"Accept": "text/event-stream"}), "response", "text/event-stream", "data: anna\n\n")
	typed(add("GET", "/lines", 200, nil, nil, nil), "response", "application/x-ndjson", "{\"a\":1}\n{\"a\":\"anna\"}\n")
	typed(add("GET", "/odd", 200, nil, nil, nil), "response", "not a type; at all", "Anna")
	typed(add("GET", "/broken", 200, nil, nil, nil), "response", jsonType, `{"name":"Anna"`)
	add("GET", "/live", 101, nil, nil, dict{"Upgrade": "websocket", "Connection": "Upgrade"})
	add("GET", "/status/520", 200, nil, nil, nil)
	add("GET", "/status/520", 520, nil, dict{"e": strings.Repeat("anna ", 3)}, nil)
	other := add("GET", "/v1/orders/10017", 200, nil, dict{"elsewhere": true}, nil)
	other["host"], other["scheme"] = "[2001:db8::1]:8443", "https"
	return list
}
