// Package export holds that policies written for other systems, and read again,
// never allow more than they did, and the same where no condition says otherwise.
// It is no product code.
package export

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/foreign"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// back reads what was written.
func back(t *testing.T, kind foreign.Kind, docs []foreign.Document) (policies []segmentation.Policy, text string, lost int) {
	t.Helper()
	var all strings.Builder
	for _, d := range docs {
		for _, c := range d.Conditions {
			fmt.Fprintf(&all, "# %s\n", c)
			lost++
		}
		if d.Resource == nil {
			continue
		}
		out, err := yaml.Marshal(d.Resource)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "---\n%s", out)
		if kind == foreign.Kubernetes {
			objects, problems := v1alpha1.Decode("export.yaml", out)
			if len(problems) > 0 {
				t.Fatalf("%v\n%s", problems, out)
			}
			r := segment.Compile(objects, segment.Options{NoWorkloads: true})
			if len(r.Conditions) > 0 {
				t.Fatalf("%+v\n%s", r.Conditions, out)
			}
			policies = append(policies, r.Policies...)
			continue
		}
		p, conditions, err := foreign.Read(out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		lost += len(conditions)
		for _, c := range conditions {
			fmt.Fprintf(&all, "# back: %s\n", c)
		}
		policies = append(policies, p...)
	}
	return segmentation.Enforced(policies), all.String(), lost
}

func TestRoundTripsAllowNoMore(t *testing.T) {
	worlds := uint64(500)
	if os.Getenv("GABION_FULL") != "" {
		worlds = 30_000
	}
	for _, kind := range []foreign.Kind{foreign.Kubernetes, foreign.Cilium, foreign.Istio} {
		t.Run(string(kind), func(t *testing.T) {
			exact, flows, allowed, kept := 0, 0, 0, 0
			for seed := range worlds {
				d := verdicttest.NewDice(seed)
				workloads := d.Workloads()
				ends := verdicttest.Ends(workloads)
				policies := segmentation.Enforced(d.Policies())
				again, text, lost := back(t, kind, foreign.Export(kind, policies, workloads))
				if lost == 0 {
					exact++
				}
				for range 60 {
					f := d.Flow(ends)
					if f.Protocol.HasPorts() {
						f.Port = max(f.Port, 1) // nobody listens on port 0, and not every format can say it
					}
					want, got := verdicts(kind, policies, again, f)
					flows++
					if want == segmentation.Allowed {
						allowed++
						if got == segmentation.Allowed {
							kept++
						}
					}
					if want == segmentation.Denied && got == segmentation.Allowed || lost == 0 && want != got {
						t.Fatalf("seed %d: %s to %s on %s %d is %s, and %s after %d conditions\n%s", seed, at(f.Src), at(f.Dst), f.Protocol, f.Port, want, got, lost, text)
					}
				}
			}
			t.Logf("%d worlds, %d of them without a condition; %d flows, %d allowed, %d of these by what was written too", worlds, exact, flows, allowed, kept)
			// Istio always leaves something unjudged, and says so.
			if exact == 0 && kind != foreign.Istio || kept == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

// A cluster refuses a file in which one label is none: such labels are not written,
// what they select is closed, and no deny that they stand in gets lost.
func TestWhatIsNoLabelIsNotWritten(t *testing.T) {
	worlds := 0
	for seed := range uint64(300) {
		d := verdicttest.NewDice(seed)
		workloads, policies := d.Workloads(), segmentation.Enforced(d.Policies())
		tag := func(v string) string { return strings.ReplaceAll(v, "b", "B & Co") }
		for _, w := range workloads {
			for name, v := range w.Labels {
				w.Labels[name] = tag(v)
			}
		}
		retag := func(s *segmentation.Selection) {
			for _, r := range s.Labels.Requirements {
				for i := range r.Values {
					r.Values[i] = tag(r.Values[i])
				}
			}
		}
		for i := range policies {
			retag(&policies[i].Subject)
			for _, way := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
				for _, r := range policies[i].In(way).List {
					for k := range r.Peers {
						if w := r.Peers[k].Workloads; w != nil {
							retag(w)
						}
					}
				}
			}
		}
		for _, kind := range []foreign.Kind{foreign.Kubernetes, foreign.Cilium, foreign.Istio} {
			again, text, _ := back(t, kind, foreign.Export(kind, policies, workloads))
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "#") && strings.Contains(line, "& Co") {
					t.Fatalf("seed %d, %s: %s", seed, kind, text)
				}
			}
			if strings.Contains(text, "no label") {
				worlds++
			}
			ends := verdicttest.Ends(workloads)
			for range 60 {
				f := d.Flow(ends)
				if want, got := verdicts(kind, policies, again, f); want == segmentation.Denied && got == segmentation.Allowed {
					t.Fatalf("seed %d, %s: %s to %s on %s %d is allowed\n%s", seed, kind, at(f.Src), at(f.Dst), f.Protocol, f.Port, text)
				}
			}
		}
	}
	if worlds < 100 {
		t.Errorf("only %d worlds had such a label", worlds)
	}
}

// verdicts of what a kind speaks about: Istio judges who comes in.
func verdicts(kind foreign.Kind, before, after []segmentation.Policy, f segmentation.Flow) (segmentation.Verdict, segmentation.Verdict) {
	if kind == foreign.Istio {
		want, _ := segmentation.Judge(before, f, segmentation.Ingress)
		got, _ := segmentation.Judge(after, f, segmentation.Ingress)
		return want, got
	}
	want, _ := segmentation.Evaluate(before, f)
	got, _ := segmentation.Evaluate(after, f)
	return want, got
}

func at(e segmentation.Endpoint) string {
	w := &workload.Workload{}
	if e.Workload != nil {
		w = e.Workload
	}
	return fmt.Sprintf("%s %v %s %v", w.ID, w.Labels, e.Addr, e.Names)
}
