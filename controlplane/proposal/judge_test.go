package proposal

import (
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
)

// A body that was cut is judged only if no limit of the policy reaches beyond what
// was kept of it.
func TestCutBodiesAreJudgedAsFarAsTheyAreKept(t *testing.T) {
	p := &filters.Policy{RequestBody: filters.BodyInspection{Inspect: true, Limit: 10, StructuredLimit: 20}}
	x := &recording.Exchange{RequestBody: make([]byte, 30), RequestBodyTruncated: true}
	if !complete(p, x) {
		t.Error("30 bytes are not enough for a limit of 20")
	}
	p.RequestBody.Types = []filters.BodyLimit{{ContentType: "multipart/*", Limit: 40}}
	if complete(p, x) {
		t.Error("30 bytes are enough for a limit of 40")
	}
	if x.RequestBodyTruncated = false; !complete(p, x) {
		t.Error("a whole body is not enough")
	}
}
