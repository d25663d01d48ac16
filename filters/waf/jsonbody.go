package waf

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// jsonBody reads JSON bodies in place of the engine's own reader and to the same
// arguments. That one puts them into a map first and then, one by one, into the
// collection, which is a map again: a quarter of the time that a body of very many
// numbers takes.
type jsonBody struct{}

const (
	// Of what a body says, names included, so many times its own length is kept, and
	// always so much: the engine's bounds.
	jsonTimes = 8
	jsonFloor = 4096
)

func (jsonBody) ProcessRequest(body io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	text, err := addJSON(body, v.ArgsPost(), v, o.RequestBodyRecursionLimit, o.ArgumentLimit)
	if err == nil && v.TX() != nil {
		v.TX().Set("json_request_body", []string{text})
	}
	return err
}

func (jsonBody) ProcessResponse(body io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	text, err := addJSON(body, v.ResponseArgs(), v, o.ResponseBodyRecursionLimit, o.ArgumentLimit)
	if err == nil && v.TX() != nil && v.ResponseBody() != nil {
		v.TX().Set("json_response_body", []string{text})
	}
	return err
}

// addJSON adds what is in a body, up to where it cannot be read, and says why not.
func addJSON(body io.Reader, to collection.Map, v plugintypes.TransactionVariables, depth, limit int) (text string, err error) {
	b, err := io.ReadAll(body) // io.Copy takes 32 KB, whatever there is to copy
	if err != nil {
		return "", err
	}
	text = string(b)
	r := jsonAdder{to: to, limit: limit, left: max(jsonTimes*len(text), jsonFloor), path: []byte("json")}
	truncated, err := r.items(gjson.Parse(text), depth)
	if truncated {
		set(v.ArgumentsLimitReached(), "1")
	}
	switch {
	case errors.Is(err, errJSONBudget):
		return text, fmt.Errorf("flattened form exceeds the %d byte budget for a %d byte body", max(jsonTimes*len(text), jsonFloor), len(text))
	case err != nil:
		return text, err
	case deeper(text, depth): // before Valid, which is recursive without bound
		return text, errJSONDepth
	case !gjson.Valid(text):
		return text, errors.New("invalid JSON")
	}
	return text, nil
}

var (
	errJSONDepth  = errors.New("max recursion reached while reading json object")
	errJSONBudget = errors.New("flattened json exceeds its byte budget")
)

type jsonAdder struct {
	to      collection.Map
	limit   int // of values, and of lengths of arrays; 0: none
	left    int // bytes that may still be added
	path    []byte
	values  int
	lengths int
}

// items adds what is in an object or array, and the length of an array under its own
// name. truncated says that the limit was reached.
func (r *jsonAdder) items(json gjson.Result, depth int) (truncated bool, err error) {
	if r.limit > 0 && r.values >= r.limit {
		return true, nil
	}
	if depth <= 0 {
		return false, errJSONDepth
	}
	length, before := 0, len(r.path)
	json.ForEach(func(key, value gjson.Result) bool {
		if r.limit > 0 && r.values >= r.limit {
			truncated = true
			return false
		}
		r.path = append(r.path[:before], '.')
		if key.Type == gjson.String {
			r.path = append(r.path, key.Str...)
		} else {
			r.path = strconv.AppendInt(r.path, int64(key.Num), 10)
			length++
		}
		text := value.Raw
		switch value.Type {
		case gjson.JSON:
			var inner bool
			inner, err = r.items(value, depth-1)
			truncated = truncated || inner
			return err == nil
		case gjson.String:
			text = value.Str
		case gjson.Null:
			text = ""
		}
		err = r.add(text)
		r.values++
		return err == nil
	})
	r.path = r.path[:before]
	if length == 0 || truncated || err != nil {
		return truncated, err
	}
	if r.limit > 0 && r.lengths >= r.limit {
		return true, nil
	}
	r.lengths++
	return false, r.add(strconv.Itoa(length))
}

// add adds a value under the path.
func (r *jsonAdder) add(value string) error {
	if r.left -= len(r.path) + len(value); r.left < 0 {
		return errJSONBudget
	}
	r.to.Add(string(r.path), value)
	return nil
}

// deeper says that there are more brackets within each other than limit.
func deeper(text string, limit int) bool {
	depth, inString, escaped := 0, false, false
	for i := range len(text) {
		c := text[i]
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
