package v1alpha1

import (
	"encoding/json"
	"testing"
)

func TestSize(t *testing.T) {
	for in, want := range map[string]string{
		`0`: `0`, `1000`: `1000`, `1024`: `"1Ki"`, `"128Ki"`: `"128Ki"`, `"1M"`: `1000000`, `"2Gi"`: `"2Gi"`, `"1536Ki"`: `"1536Ki"`,
		`"-1"`: "", `"1.5"`: "", `"x"`: "", `true`: "", `"99999999999Ti"`: "", `1e3`: `1000`, `"0.5Ki"`: "",
	} {
		var s Size
		err := json.Unmarshal([]byte(in), &s)
		if (err != nil) != (want == "") {
			t.Errorf("%s: got %v", in, err)
			continue
		}
		if got, _ := json.Marshal(s); err == nil && string(got) != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]string{
		`"10s"`: `"10s"`, `"1h30m"`: `"1h30m"`, `"1h0m0s"`: `"1h"`, `"90s"`: `"1m30s"`, `"0s"`: `"0s"`, `"60m"`: `"1h"`, `"250ms"`: `"250ms"`, `"10m0s"`: `"10m"`,
		`"-1s"`: "", `10`: "", `"10"`: "", `"soon"`: "",
	} {
		var d Duration
		err := json.Unmarshal([]byte(in), &d)
		if (err != nil) != (want == "") {
			t.Errorf("%s: got %v", in, err)
			continue
		}
		if got, _ := json.Marshal(d); err == nil && string(got) != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// TestEveryDefaultIsSet: what no policy sets must come from somewhere.
func TestEveryDefaultIsSet(t *testing.T) {
	open := map[string]bool{"failureMode": true, "block.html": true, "block.json": true, "exclusions": true, "rules": true, "tls.clientCA": true, "diagnosis.without": true}
	for _, spec := range []any{WAFPolicyDefaults(), ListenerPolicyDefaults(), RecordingDefaults()} {
		for _, f := range SpecFields(spec) {
			if _, ok := f.Get(spec); ok == open[f.Path] {
				t.Errorf("%T: %s: default set: %v", spec, f.Path, ok)
			}
		}
	}
}
