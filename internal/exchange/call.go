package exchange

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// maxCalls is how many calls of one batch are told apart.
const maxCalls = 32

// calls finds what a body asks for, in the protocols that say it there.
func calls(r *Raw, o *Observation, f facts) []Call {
	m := o.Request.MediaType
	switch {
	case f.soapAction != "" || m == "application/soap+xml" || m == "text/xml" && o.Method == "POST":
		return soapCall(r, o, f)
	case o.Method == "GET" && strings.Contains(r.Path, "query="):
		return answeredGraphQL(graphqlQuery(r.Path), r.Response.Body)
	case o.Method != "POST" || len(r.Request.Body) == 0 || len(r.Request.Body) > 4<<20:
		return nil
	case m == "application/graphql":
		return answeredGraphQL(parseGraphQL(string(r.Request.Body), ""), r.Response.Body)
	case m != "application/json" && !strings.HasSuffix(m, "+json") && m != "":
		return nil
	}
	body := strings.TrimSpace(string(r.Request.Body[:min(len(r.Request.Body), 1)]))
	// Cheap tests before a second parse.
	text := r.Request.Body
	switch {
	case contains(text, `"jsonrpc"`):
		return jsonrpcCalls(text, r.Response.Body)
	case contains(text, `"query"`) || contains(text, `"mutation"`) || contains(text, "persistedQuery"):
		return answeredGraphQL(graphqlCalls(text), r.Response.Body)
	case contains(text, `"method"`) && contains(text, `"params"`) && contains(text, `"id"`) && body == "{":
		return jsonrpcCalls(text, r.Response.Body)
	}
	return nil
}

func contains(b []byte, s string) bool {
	return strings.Contains(string(b[:min(len(b), 64<<10)]), s)
}

// each decodes a body that is one object or a list of them.
func each[T any](body []byte) (list []T) {
	var one T
	if json.Unmarshal(body, &list) == nil {
		return list[:min(len(list), maxCalls)]
	}
	if json.Unmarshal(body, &one) == nil {
		return []T{one}
	}
	return nil
}

// jsonrpcCalls names the methods; of the Model Context Protocol also the tool,
// the prompt or the kind of resource.
func jsonrpcCalls(body, answer []byte) (list []Call) {
	replies := repliesIn(answer)
	type request struct {
		Version string          `json:"jsonrpc"`
		Method  string          `json:"method"`
		ID      json.RawMessage `json:"id"`
		Params  json.RawMessage `json:"params"`
	}
	for _, q := range each[request](body) {
		if q.Method == "" || len(q.Method) > 100 || q.Version == "" && len(q.ID) == 0 {
			continue
		}
		c := Call{Protocol: "jsonrpc", Name: callName(q.Method)}
		if isMCP(q.Method) {
			c.Protocol = "mcp"
			var p struct {
				Name string `json:"name"`
				URI  string `json:"uri"`
			}
			_ = json.Unmarshal(q.Params, &p)
			switch {
			case p.Name != "" && (q.Method == "tools/call" || q.Method == "prompts/get"):
				c.Name += " " + callName(p.Name)
			case p.URI != "" && q.Method == "resources/read":
				scheme, _, _ := strings.Cut(p.URI, ":")
				c.Name += " " + callName(scheme)
			}
		}
		c.Refused = refused(replies, string(q.ID))
		list = append(list, c)
	}
	return list
}

func isMCP(method string) bool {
	if method == "initialize" {
		return true
	}
	for _, p := range []string{"tools/", "prompts/", "resources/", "notifications/", "completion/", "logging/", "sampling/", "roots/", "elicitation/"} {
		if strings.HasPrefix(method, p) {
			return true
		}
	}
	return false
}

// callName keeps a name as developers write it; what is none is masked.
func callName(s string) string {
	if len(s) > 100 {
		return MaskToken
	}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '.' || r == ':' }) {
		switch KindOf(part) {
		case KindWord, KindMixed, KindVersion, KindBool, KindSmall:
		case KindToken:
			if !examineName(part) {
				return MaskToken
			}
		default:
			return MaskValue
		}
	}
	return s
}

// soapCall takes the action from the header, the media type, or the first element
// of the body.
func soapCall(r *Raw, o *Observation, f facts) []Call {
	action := strings.Trim(f.soapAction, `" `)
	if action == "" {
		if _, after, found := strings.Cut(f.requestType, "action="); found {
			action, _, _ = strings.Cut(strings.TrimLeft(after, `"`), `"`)
		}
	}
	action = action[strings.LastIndexAny(action, "/#:")+1:]
	if action == "" && o.Request.Shape != nil {
		action = soapBody(o.Request.Shape)
	}
	if action == "" {
		return nil
	}
	return []Call{{Protocol: "soap", Name: callName(action)}}
}

// soapBody finds the name of the element in the envelope's body.
func soapBody(s *Shape) string {
	for _, e := range s.Members {
		if e.Name != "Envelope" {
			continue
		}
		for _, b := range e.Shape.Members {
			if b.Name != "Body" {
				continue
			}
			for _, x := range b.Shape.Members {
				if !strings.HasPrefix(x.Name, "@") {
					return x.Name
				}
			}
		}
	}
	return ""
}

// graphqlQuery reads a query sent with GET.
func graphqlQuery(path string) []Call {
	_, query, _ := strings.Cut(path, "?")
	values, err := url.ParseQuery(query)
	if err != nil || !strings.ContainsAny(values.Get("query"), "{") {
		return nil
	}
	return parseGraphQL(values.Get("query"), values.Get("operationName"))
}

func graphqlCalls(body []byte) (list []Call) {
	type request struct {
		Query     string `json:"query"`
		Operation string `json:"operationName"`
	}
	for _, q := range each[request](body) {
		switch {
		case strings.ContainsRune(q.Query, '{'):
			list = append(list, parseGraphQL(q.Query, q.Operation)...)
		case q.Operation != "" && q.Query == "":
			list = append(list, Call{Protocol: "graphql", Name: "query " + callName(q.Operation)})
		}
	}
	return list[:min(len(list), maxCalls)]
}

// graphqlReader takes a document apart as far as names go: operations, and the
// fields selected, fragments included. It is no validator.
type graphqlReader struct {
	tokens    []string
	at        int
	fragments map[string][2]int // name to the range of tokens of its selection
}

// parseGraphQL answers the operation with the given name, or all of a document.
// Each root field is an operation: "query viewer".
func parseGraphQL(text, operation string) (list []Call) {
	g := &graphqlReader{tokens: graphqlTokens(text), fragments: map[string][2]int{}}
	type found struct {
		kind, name string
		from, to   int
	}
	var operations []found
	for g.at < len(g.tokens) {
		kind, name := "query", ""
		switch t := g.tokens[g.at]; t {
		case "{":
		case "query", "mutation", "subscription", "fragment":
			kind = t
			g.at++
			if g.at < len(g.tokens) && isGraphQLName(g.tokens[g.at]) {
				name = g.tokens[g.at]
			}
			for g.at < len(g.tokens) && g.tokens[g.at] != "{" {
				if g.tokens[g.at] == "(" {
					g.at = g.close(g.at)
				}
				g.at++
			}
		default:
			g.at++
			continue
		}
		if g.at >= len(g.tokens) {
			break
		}
		from := g.at
		g.at = g.close(g.at) + 1
		if kind == "fragment" {
			g.fragments[name] = [2]int{from + 1, min(g.at, len(g.tokens)) - 1}
			continue
		}
		operations = append(operations, found{kind, name, from + 1, min(g.at, len(g.tokens)) - 1})
	}
	for _, o := range operations {
		if operation != "" && o.name != "" && o.name != operation {
			continue
		}
		byRoot := map[string]*Call{}
		var roots []string
		budget := 500
		g.fields(o.from, o.to, "", 0, &budget, func(path string) {
			root, _, _ := strings.Cut(path, ".")
			c := byRoot[root]
			if c == nil {
				c = &Call{Protocol: "graphql", Name: o.kind + " " + root}
				byRoot[root] = c
				roots = append(roots, root)
			}
			if !slices.Contains(c.Fields, path) && len(c.Fields) < 200 {
				c.Fields = append(c.Fields, path)
			}
		})
		for _, r := range roots {
			list = append(list, *byRoot[r])
		}
	}
	return list[:min(len(list), maxCalls)]
}

// close finds the bracket that belongs to the one at a token.
func (g *graphqlReader) close(at int) int {
	depth := 0
	for i := at; i < len(g.tokens); i++ {
		switch g.tokens[i] {
		case "{", "(", "[":
			depth++
		case "}", ")", "]":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(g.tokens)
}

// fields calls note for each field between two tokens.
func (g *graphqlReader) fields(from, to int, prefix string, depth int, budget *int, note func(string)) {
	for i := from; i < to && *budget > 0 && depth < 12; i++ {
		*budget--
		t := g.tokens[i]
		switch {
		case t == "..." && i+1 < to:
			i++
			if g.tokens[i] == "on" {
				i++ // the type; its selection follows as if it were here
				for i+1 < to && g.tokens[i+1] != "{" {
					i++
				}
				if i+1 < to {
					end := g.close(i + 1)
					g.fields(i+2, end, prefix, depth+1, budget, note)
					i = end
				}
			} else if f, ok := g.fragments[g.tokens[i]]; ok {
				g.fields(f[0], f[1], prefix, depth+1, budget, note)
			}
		case t == "(":
			i = g.close(i)
		case t == "@":
			i++
			if i+1 < to && g.tokens[i+1] == "(" {
				i = g.close(i + 1)
			}
		case isGraphQLName(t):
			if i+2 < to && g.tokens[i+1] == ":" { // an alias
				i += 2
				t = g.tokens[i]
			}
			path := t
			if prefix != "" {
				path = prefix + "." + t
			}
			note(path)
			next := i + 1
			for next < to && (g.tokens[next] == "(" || g.tokens[next] == "@") {
				if g.tokens[next] == "(" {
					next = g.close(next) + 1
				} else if next += 2; next < to && g.tokens[next] == "(" {
					next = g.close(next) + 1
				}
			}
			if next < to && g.tokens[next] == "{" {
				end := g.close(next)
				g.fields(next+1, end, path, depth+1, budget, note)
				next = end + 1
			}
			i = next - 1
		}
	}
}

func isGraphQLName(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	c := s[0]
	return isLetter(c) || c == '_'
}

// graphqlTokens splits a document into names and punctuators; strings and
// comments are dropped.
func graphqlTokens(s string) (tokens []string) {
	for i := 0; i < len(s) && len(tokens) < 20_000; {
		c := s[i]
		switch {
		case c == '#':
			for i < len(s) && s[i] != '\n' {
				i++
			}
		case c == '"':
			i = skipGraphQLString(s, i)
			tokens = append(tokens, `"`)
		case isLetter(c) || c == '_':
			from := i
			for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '_') {
				i++
			}
			tokens = append(tokens, s[from:i])
		case strings.HasPrefix(s[i:], "..."):
			tokens = append(tokens, "...")
			i += 3
		case strings.IndexByte("{}()[]:@=!|&$", c) >= 0:
			tokens = append(tokens, s[i:i+1])
			i++
		default:
			i++
		}
	}
	return tokens
}

func skipGraphQLString(s string, i int) int {
	if strings.HasPrefix(s[i:], `"""`) {
		if end := strings.Index(s[i+3:], `"""`); end >= 0 {
			return i + 6 + end
		}
		return len(s)
	}
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"', '\n':
			return i + 1
		}
	}
	return len(s)
}
