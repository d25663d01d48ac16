package tcx

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/internal/netnstest"
)

// What a kernel lacks is said, with the one that has it; what it may not be asked, and
// what it answers otherwise, is no lack.
func TestProbe(t *testing.T) {
	netnstest.Need(t)
	answers := func(name, since string, err error) Feature {
		return Feature{name, since, func() error { return err }}
	}
	there := answers("loops", "5.3", nil)
	odd := errors.New("odd")
	for _, c := range []struct {
		list []Feature
		want string
		is   error
	}{
		{[]Feature{there}, "", nil},
		{[]Feature{answers("links", "6.6", ebpf.ErrNotSupported), there, answers("rings", "5.8", fmt.Errorf("map: %w", ebpf.ErrNotSupported))},
			"this kernel lacks: links, in Linux since 6.6; rings, in Linux since 5.8", nil},
		{[]Feature{answers("links", "6.6", ebpf.ErrNotSupported), answers("rings", "5.8", os.ErrPermission)}, ErrPrivilege.Error(), ErrPrivilege},
		{[]Feature{answers("links", "6.6", odd)}, "probe links: odd", odd},
	} {
		err := Probe(c.list)
		if said := fmt.Sprint(err); (err == nil) != (c.want == "") || err != nil && said != c.want {
			t.Errorf("it says %v, want %q", err, c.want)
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%v is not %v", err, c.is)
		}
	}
	version := regexp.MustCompile(`^[0-9]+\.[0-9]+$`)
	for _, list := range [][]Feature{Features(), CgroupFeatures()} {
		if err := Probe(list); err != nil {
			t.Errorf("the kernel of these tests: %v", err)
		}
		for _, f := range list {
			if f.Name == "" || !version.MatchString(f.Since) {
				t.Errorf("%q is there since %q", f.Name, f.Since)
			}
		}
	}
}
