package xds

import (
	"fmt"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// headerMutation sets, adds and removes headers. Values are literal: Envoy would
// expand %…% in them, so the sign is doubled.
func headerMutation(in ir.HeaderMutation) ([]*core.HeaderValueOption, []string, string) {
	var add []*core.HeaderValueOption
	for _, h := range in.Set {
		add = append(add, headerOption(h, core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, h := range in.Add {
		add = append(add, headerOption(h, core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	for _, o := range add {
		if problem := unusableHeader(o.GetHeader().GetKey(), o.GetHeader().GetValue()); problem != "" {
			return nil, nil, problem
		}
	}
	for _, name := range in.Remove {
		if problem := unusableHeader(name, ""); problem != "" {
			return nil, nil, problem
		}
	}
	return add, in.Remove, ""
}

func headerOption(h ir.Header, action core.HeaderValueOption_HeaderAppendAction) *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header:         &core.HeaderValue{Key: h.Name, Value: strings.ReplaceAll(h.Value, "%", "%%")},
		AppendAction:   action,
		KeepEmptyValue: true,
	}
}

func unusableHeader(name, value string) string {
	switch {
	case !isToken(name):
		return fmt.Sprintf("%q is not a header name", name)
	case strings.EqualFold(name, "host"):
		return "the host is changed by a URL rewrite, not by a header"
	case !sayable(value):
		return fmt.Sprintf("the value of %q holds a line break, a zero byte or broken UTF-8", name)
	}
	return ""
}

// isToken checks RFC 9110 §5.6.2, which pseudo-headers (":path") are not.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
