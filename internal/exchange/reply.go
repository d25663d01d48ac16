package exchange

import (
	"bytes"
	"encoding/json"
)

// reply is what an answer says of a call, in the protocols that answer 200 to
// everything: also to what they do not have.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Error  json.RawMessage `json:"error"`
	Result json.RawMessage `json:"result"`
	Errors json.RawMessage `json:"errors"` // of GraphQL, as data
	Data   json.RawMessage `json:"data"`
}

// refused says whether one of the replies is an error to the call with an id; to a
// call that could not be read the reply names none.
func refused(replies []reply, id string) bool {
	for i := range replies {
		switch r := &replies[i]; {
		case said(r.ID) && string(r.ID) != id, !said(r.ID) && len(replies) > 1:
		case said(r.Error):
			return true
		case contains(r.Result, `"isError"`): // of a tool
			var result struct {
				IsError bool `json:"isError"`
			}
			return json.Unmarshal(r.Result, &result) == nil && result.IsError
		}
	}
	return false
}

// answeredGraphQL marks calls as refused when nothing was done of what they asked:
// there are errors, and no data.
func answeredGraphQL(calls []Call, answer []byte) []Call {
	if len(calls) == 0 || !contains(answer, `"errors"`) {
		return calls
	}
	if replies := repliesIn(answer); len(replies) == 1 && said(replies[0].Errors) && !said(replies[0].Data) {
		for i := range calls {
			calls[i].Refused = true
		}
	}
	return calls
}

// said says that a member is there and not null.
func said(v json.RawMessage) bool { return len(v) > 0 && !bytes.Equal(v, []byte("null")) }

// repliesIn reads a body that is one reply or a list, or a stream of events with
// one in each. Where no error is named, there is nothing to read.
func repliesIn(body []byte) (list []reply) {
	if len(body) > 4<<20 || !contains(body, "rror") {
		return nil
	}
	if text := bytes.TrimSpace(body); text[0] == '{' || text[0] == '[' {
		return each[reply](text)
	}
	for line := range bytes.Lines(body) {
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok && len(list) < maxCalls {
			list = append(list, each[reply](data)...)
		}
	}
	return list
}
