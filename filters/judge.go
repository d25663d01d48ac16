package filters

// Message is one whole exchange, for judging outside a proxy. Response may be
// nil; a nil body is no body. RequestBytes and ResponseBytes are the bodies'
// whole lengths when less is given (a recording cut them); 0: all is given.
type Message struct {
	Request                     *RequestHead
	RequestBody                 []byte
	RequestBytes, ResponseBytes int64
	Response                    *ResponseHead
	ResponseBody                []byte
}

// Verdict is what an engine outside a proxy says of one request; `gabion waf
// check` prints it.
type Verdict struct {
	Decision Decision `json:"decision"`
	Status   int      `json:"status"` // what the client would get; 200 when it passes
	Score    int      `json:"score"`
	Rules    []int    `json:"rules"` // distinct ids that caused the score, in order of evaluation
	Micros   int64    `json:"micros"`
	Reason   string   `json:"reason,omitempty"`
	Event    *Event   `json:"-"` // nil: no finding
}
