package verdicttest

import (
	"testing"
)

const script = `
workload a/b has app=b at 10.0.0.1
policy a/p enforces for app=b
  ingress from 10.0.0.0/8 except 10.1.0.0/16 on TCP 80-81, UDP dns
a/b to 192.0.2.1 on TCP 80 is allowed by no policy
`

func TestParseTellsWhatIsWrong(t *testing.T) {
	for _, bad := range []string{
		"workload b", "workload a/b at 10.0.0", "workload a/b has app", "workload a/b with http", "name x", "policy p", "policy a/p loves for app=b",
		"ingress from anybody", "a/b to a/c on TCP 1 is allowed", "workload a/b\na/b to a/b on TCP 1 is fine", "workload a/b\na/b is allowed", "nonsense",
		"policy a/p is gone", "policy a/p enforces for app=b\n egress from anybody", "policy a/p enforces for app=b\n egress to x=\"",
	} {
		if _, err := Parse("bad", bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	s, err := Parse("good", script)
	if err != nil || len(s.Checks) != 1 || len(s.Policies) != 1 || len(s.Policies[0][0].Ingress.List[0].Ports) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(script)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("fuzz", text)
		if err != nil {
			return
		}
		j := Reference()
		for _, c := range s.Checks {
			_ = j.Apply(s.Policies[c.Policies])
			_, _, _ = j.Evaluate(c.Flow)
		}
	})
}
