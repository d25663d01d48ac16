package waf

import (
	"fmt"
	"net"
	"strconv"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Denial is the engine's wish to deny. In detect mode it is only reported.
type Denial struct {
	Status   int    // what the rule says; 0: whatever the policy answers with
	Location string // of a redirect
	Rule     int
	Reason   string // one phrase
}

// Transaction is one exchange inside an Engine. The phases are called in order,
// each at most once. Not safe for concurrent use.
type Transaction struct {
	engine  *Engine
	tx      types.Transaction
	proto   string
	denial  *Denial
	base    int // id of the first base rule that hit, 0: none
	seen    int // matched rules looked at
	matched bool
	changed bool

	response *filters.ResponseHead // that the engine has not been shown; nil: none
}

// Begin starts a transaction. Close it.
func (e *Engine) Begin(id string) *Transaction {
	return &Transaction{engine: e, tx: e.waf.NewTransactionWithID(id)}
}

// RequestHeaders runs phase 1.
func (t *Transaction) RequestHeaders(h *filters.RequestHead) error {
	client, server := h.Client, h.Server
	var clientIP, serverIP string
	if client.Addr().IsValid() {
		clientIP = client.Addr().Unmap().WithZone("").String()
	}
	if server.Addr().IsValid() {
		serverIP = server.Addr().Unmap().WithZone("").String()
	}
	t.tx.ProcessConnection(clientIP, int(client.Port()), serverIP, int(server.Port()))
	target := h.Path
	if target == "" {
		target = h.Authority // CONNECT
	}
	t.proto = h.Proto
	t.tx.ProcessURI(target, h.Method, h.Proto)
	hasHost := false
	for _, f := range h.Headers {
		hasHost = hasHost || f.Name == "host"
	}
	if h.Authority != "" && !hasHost {
		t.tx.AddRequestHeader("host", h.Authority)
	}
	for _, f := range h.Headers {
		t.tx.AddRequestHeader(f.Name, f.Value)
	}
	t.tx.SetServerName(hostOnly(h.Authority))
	t.tx.ProcessRequestHeaders()
	t.after(1)
	return t.cut()
}

func hostOnly(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}

// RequestBody runs phase 2 on the body, which is copied. cut says that the body
// goes on beyond what is shown: then it cannot be judged malformed.
func (t *Transaction) RequestBody(body []byte, cut bool) error {
	endAllow(t.tx, 2)
	if t.stopped() {
		return nil
	}
	if len(body) > 0 && !(t.engine.reads && t.readBody(string(body))) {
		if _, _, err := t.tx.WriteRequestBody(body); err != nil {
			return fmt.Errorf("show request body: %w", err)
		}
	}
	if cut {
		t.forgiveCut()
	}
	if _, err := t.tx.ProcessRequestBody(); err != nil {
		return fmt.Errorf("inspect request body: %w", err)
	}
	t.after(2)
	return t.cut()
}

// forgiveCut tells the parsers that the end is missing because of us.
func (t *Transaction) forgiveCut() {
	if r, ok := t.tx.(ruleRemover); ok {
		for _, id := range wafrules.ParseErrorRules() {
			r.RemoveRuleByID(id)
		}
	}
	if v := t.variables(); v != nil {
		if s, ok := v.InboundDataError().(interface{ Set(string) }); ok {
			s.Set("1")
		}
	}
}

// ResponseHeaders runs phase 3. While that would change nothing it is put off until
// something follows for which it counts. h must stay as it is.
func (t *Transaction) ResponseHeaders(h *filters.ResponseHead) {
	endAllow(t.tx, 3)
	if t.stopped() {
		return
	}
	t.response = h
	if p := t.engine.third; p == nil || !p.rests(t.tx) {
		t.respond()
	}
	t.after(3)
}

// respond shows the engine the response that was put off, if any.
func (t *Transaction) respond() {
	h := t.response
	if t.response = nil; h == nil {
		return
	}
	for _, f := range h.Headers {
		t.tx.AddResponseHeader(f.Name, f.Value)
	}
	t.tx.ProcessResponseHeaders(h.Status, t.proto)
}

// DecodedResponse says that ResponseBody will be given what was inside a
// compressed body: the rule set leaves bodies alone whose head calls them so.
func (t *Transaction) DecodedResponse() {
	t.respond()
	if v := t.variables(); v != nil {
		if h, ok := v.ResponseHeaders().(interface{ Remove(string) }); ok {
			h.Remove("content-encoding")
		}
	}
}

// ResponseBody runs phase 4 on the body, which is copied. Without a body it is
// left out unless something could come of it: the rules that score there all
// look at the body, and the one that denies looks at the score.
func (t *Transaction) ResponseBody(body []byte) error {
	endAllow(t.tx, 4)
	if t.stopped() || len(body) == 0 && !t.engine.closing && t.OutScore() == 0 {
		return nil
	}
	t.respond()
	if len(body) > 0 {
		if _, _, err := t.tx.WriteResponseBody(body); err != nil {
			return fmt.Errorf("show response body: %w", err)
		}
	}
	if _, err := t.tx.ProcessResponseBody(); err != nil {
		return fmt.Errorf("inspect response body: %w", err)
	}
	t.after(4)
	return t.cut()
}

// Logging runs phase 5, if anything in it could matter.
func (t *Transaction) Logging() {
	if t.matched || t.engine.logging {
		t.respond()
		endAllow(t.tx, 5)
		t.tx.ProcessLogging()
		t.after(5)
	}
}

// Close frees the transaction.
func (t *Transaction) Close() { _ = t.tx.Close() }

// Denial is the first denial so far, nil when there is none. It is the same in
// detect and in block mode.
func (t *Transaction) Denial() *Denial { return t.denial }

// Matched says whether anything worth an event was found so far.
func (t *Transaction) Matched() bool { return t.matched }

// Changed says whether something was found since the last call.
func (t *Transaction) Changed() bool {
	c := t.changed
	t.changed = false
	return c
}

func (t *Transaction) stopped() bool { return t.tx.IsInterrupted() }

// after looks at what a phase found and decides. A hit of a base rule counts
// when the whole request has been inspected, anything else at once.
func (t *Transaction) after(phase int) {
	rules := t.tx.MatchedRules()
	for _, m := range rules[t.seen:] {
		id := m.Rule().ID()
		if wafrules.BaseDenies(id) && t.base == 0 {
			t.base = id
		}
		if t.evidence(m) {
			t.matched, t.changed = true, true
		}
	}
	t.seen = len(rules)
	if t.denial != nil || phase > 4 {
		return
	}
	stop := t.interruption()
	switch {
	case t.base != 0 && (stop != nil || phase >= 2):
		t.denial = &Denial{Status: wafrules.BaseStatus, Rule: t.base,
			Reason: fmt.Sprintf("rule %d: %s", t.base, t.facts(t.base).message)}
	case stop != nil:
		t.denial = t.explain(stop)
	default:
		return
	}
	t.matched, t.changed = true, true
}

// interruption is the stop of either mode.
func (t *Transaction) interruption() *types.Interruption {
	if i := t.tx.Interruption(); i != nil {
		return i
	}
	if d, ok := t.tx.(interface{ DetectionOnlyInterruption() *types.Interruption }); ok {
		return d.DetectionOnlyInterruption()
	}
	return nil
}

func (t *Transaction) explain(i *types.Interruption) *Denial {
	d := &Denial{Rule: i.RuleID}
	s := t.engine.config.Settings
	switch {
	case i.RuleID == 949110 || i.RuleID == 949111:
		d.Reason = fmt.Sprintf("inbound score %d reached %d", t.Score(), s.Inbound)
	case i.RuleID == 959100 || i.RuleID == 959101:
		d.Reason = fmt.Sprintf("outbound score %d reached %d", t.OutScore(), s.Outbound)
	case i.Action == "redirect":
		d.Status, d.Location, d.Reason = i.Status, i.Data, fmt.Sprintf("rule %d redirects", i.RuleID)
	default:
		d.Reason = fmt.Sprintf("rule %d denies", i.RuleID)
		if t.facts(i.RuleID).status {
			d.Status = i.Status
		}
	}
	return d
}

// Score is the inbound anomaly score.
func (t *Transaction) Score() int {
	return max(t.number("blocking_inbound_anomaly_score"), t.sum(&inboundLevels))
}

// OutScore is the outbound anomaly score.
func (t *Transaction) OutScore() int {
	return max(t.number("blocking_outbound_anomaly_score"), t.sum(&outboundLevels))
}

// sum adds the levels up: CRS totals them only in the phases that decide.
func (t *Transaction) sum(levels *[4]string) int {
	n := 0
	for _, name := range levels {
		n += t.number(name)
	}
	return n
}

// The scores by paranoia level.
var (
	inboundLevels  = [4]string{"inbound_anomaly_score_pl1", "inbound_anomaly_score_pl2", "inbound_anomaly_score_pl3", "inbound_anomaly_score_pl4"}
	outboundLevels = [4]string{"outbound_anomaly_score_pl1", "outbound_anomaly_score_pl2", "outbound_anomaly_score_pl3", "outbound_anomaly_score_pl4"}
)

func (t *Transaction) number(name string) int {
	v := t.variables()
	if v == nil {
		return 0
	}
	var text string
	if m := t.engine.opener.open(v.TX()); m != nil {
		if list := m.data[name]; len(list) > 0 {
			text = list[0].value
		}
	} else if values := v.TX().Get(name); len(values) > 0 {
		text = values[0]
	}
	n, _ := strconv.Atoi(text)
	return n
}

func (t *Transaction) variables() plugintypes.TransactionVariables {
	if s, ok := t.tx.(interface {
		Variables() plugintypes.TransactionVariables
	}); ok {
		return s.Variables()
	}
	return nil
}
