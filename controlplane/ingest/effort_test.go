package ingest

import (
	"fmt"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/gabion-io/gabion/filters"
)

// TestEfforts: the last word of each proxy is kept, nonsense is not, and proxies
// that name themselves anew are bounded.
func TestEfforts(t *testing.T) {
	s := &efforts{last: map[string]Effort{}}
	say := func(proxy, text string) {
		s.add(proxy, &core.Metadata{FilterMetadata: map[string]*structpb.Struct{filters.MetadataNamespace: {
			Fields: map[string]*structpb.Value{filters.EffortKey: structpb.NewStringValue(text)}}}}, time.Unix(1, 0))
	}
	say("a", `{"instance":"01A","values":5,"known":2}`)
	say("a", `{"instance":"01A","values":9,"known":4}`)
	say("a", `{"instance":"<b>","values":10}`)
	say("a", `{"instance":"01A","values":-1}`)
	say("a", `nonsense`)
	s.add("b", nil, time.Unix(1, 0))
	got := (&Ingest{efforts: s}).Efforts()
	if len(got) != 1 || got[0].Proxy != "a" || got[0].Values != 9 || got[0].Known != 4 {
		t.Errorf("got %+v", got)
	}
	for i := range 2 * maxSources {
		say(fmt.Sprint(i), `{"instance":"01A"}`)
	}
	if n := len(s.last); n != maxSources {
		t.Errorf("%d proxies", n)
	}
}
