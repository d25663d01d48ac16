package waf

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// formReader reads posted forms in place of the engine's own reader. That one sets
// ARGS_POST name by name in the order of a map, and there names that differ in
// case are one: of "q=ATTACK&Q=x" only one value was inspected, by chance. Here
// every value is added, in the order in which they were sent.
type formReader struct{}

// registerForm works on every engine of the process: they look for a reader when
// a body comes.
var registerForm = sync.OnceFunc(func() {
	plugins.RegisterBodyProcessor("urlencoded", func() plugintypes.BodyProcessor { return formReader{} })
})

func (formReader) ProcessRequest(body io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read form: %w", err)
	}
	text := string(b)
	args, n := v.ArgsPost(), 0
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		if o.ArgumentLimit > 0 && n >= o.ArgumentLimit {
			set(v.ArgumentsLimitReached(), "1")
			break
		}
		name, value, _ := strings.Cut(pair, "=")
		args.Add(formDecode(name), formDecode(value))
		n++
	}
	set(v.RequestBody(), text)
	set(v.RequestBodyLength(), strconv.Itoa(len(text)))
	return nil
}

func (formReader) ProcessResponse(io.Reader, plugintypes.TransactionVariables, plugintypes.BodyProcessorOptions) error {
	return nil
}

// formDecode undoes the encoding of a form, and lets stand what is none: the
// backend may be as lenient.
func formDecode(s string) string {
	if !strings.ContainsAny(s, "+%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s):
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c = byte(n)
				i += 2
			}
		}
		out = append(out, c)
	}
	return string(out)
}
