package same

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/gabion-io/gabion/filters"
)

// readMessages are requests whose values a profile reads further: what the rule
// set's own tests have few of. Each text stands in every place that is read.
func readMessages() (out []message) {
	texts := []string{
		"1' or '1'='1' -- ", "blue table", `<svg onload=alert(1)>`, "it's 5 < 6 && 7 > 2; see docs", "$(cat /etc/passwd)", `{"a":{"b":"; id"},"$ne":1}`,
		"/fcg-bin/x /bin/less $login_id profile", "{{7*7}}", "\n    url\n    name $first", "union select names", "&lt;script&gt;alert(1)&lt;/script&gt;",
	}
	for i, text := range texts {
		quoted, _ := json.Marshal(map[string]any{"note": text, text: 1, "list": []any{text, nil, 1.5, map[string]any{"q": text}}})
		coded := base64.StdEncoding.EncodeToString([]byte(text + " and enough to be worth decoding"))
		add := func(kind, method, path, media, body string, headers ...filters.Header) {
			m := message{id: fmt.Sprintf("%s %d", kind, i), body: []byte(body), head: filters.RequestHead{Method: method, Scheme: "http",
				Authority: "shop.example", Path: path, Proto: "HTTP/1.1", Headers: append(headers, filters.Header{Name: "user-agent", Value: "Mozilla/5.0"})}}
			if media != "" {
				m.head.Headers = append(m.head.Headers, filters.Header{Name: "content-type", Value: media})
			}
			out = append(out, m)
		}
		q := url.QueryEscape(text)
		add("query", "GET", "/a?q="+q+"&r="+url.QueryEscape("https://a.example/?z="+q), "", "")
		add("JSON in the query", "GET", "/a?f="+url.QueryEscape(string(quoted)), "", "")
		add("base64", "GET", "/a?d="+url.QueryEscape(coded), "", "")
		add("path", "GET", "/a/"+url.PathEscape(text)+"/b", "", "")
		add("headers", "GET", "/a", "", "", filters.Header{Name: "x-note", Value: text},
			filters.Header{Name: "referer", Value: "https://b.example/?s=" + q}, filters.Header{Name: "cookie", Value: "c=" + q + "; d=" + coded})
		add("JSON", "POST", "/a", "application/json", string(quoted))
		add("JSON as text", "POST", "/a", "text/plain", string(quoted))
		add("lines", "POST", "/a", "application/x-ndjson", string(quoted)+"\n"+string(quoted)+"\n")
		add("text", "POST", "/a", "text/plain", text)
		add("form", "POST", "/a", "application/x-www-form-urlencoded", "a="+q+"&"+q+"=b&c="+url.QueryEscape(string(quoted)))
		add("XML", "POST", "/a", "text/xml", "<a b=\"c\"><d><![CDATA["+text+"]]></d></a>")
		add("upload", "POST", "/a", "multipart/form-data; boundary=XbX", "--XbX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.php.jpg\"\r\n"+
			"Content-Type: image/jpeg\r\n\r\n<?php "+text+" ?>\r\n--XbX\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n"+text+"\r\n--XbX--\r\n")
		add("nothing known", "POST", "/a", "", string(quoted))
	}
	return out
}
