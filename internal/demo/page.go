package demo

import (
	"encoding/base64"
	"io"
	"net/http"
)

const indexPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Harbour Bank &amp; Goods</title>
<h1>Harbour Bank &amp; Goods</h1>
<p>A demo application. What it can do: <a href="/openapi.yaml">/openapi.yaml</a>.
Sign in as <code>ada</code> with <code>analytical-engine</code>.</p>
<form action="/search"><input name="q" value="tea"><button>Search</button></form>
<form action="/reviews" method="post">
<input type="hidden" name="sku" value="rope-12"><input name="stars" value="5"><textarea name="text"></textarea><button>Review</button>
</form>
</html>
`

func (a *app) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, indexPage)
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (a *app) description(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}

// echo answers with the request as it arrived here, so that a suite sees what
// the proxy in front made of it.
func (a *app) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUpload))
	if err != nil {
		refuseBody(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"method": r.Method, "target": r.RequestURI, "proto": r.Proto, "host": r.Host,
		"headers": r.Header, "size": len(body), "body": base64.StdEncoding.EncodeToString(body),
	})
}
