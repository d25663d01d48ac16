package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// Two control planes share one PostgreSQL, each with an Envoy: what is done at one
// is in force at both.
func TestReplicasShareADatabase(t *testing.T) {
	t.Setenv("GABION_DATABASE", postgres.Database(t))
	// Both at once: the schema is made by whichever comes first.
	both := []*up{launch(t), launch(t)}
	for _, u := range both {
		u.eventually("gabion up says it is up", func() error {
			if !strings.Contains(u.log.String(), "gabion is up") {
				return errors.New("not yet")
			}
			return nil
		})
	}
	a, b := both[0], both[1]
	for _, u := range both { // neither locked the other out
		u.run("status")
	}

	began := time.Now()
	a.apply(blockEverywhere)
	b.eventually("the other's Envoy blocks", func() error { return b.wantStatus(sqli, 403) })
	t.Logf("in force at the other replica's Envoy after %s", time.Since(began).Round(time.Millisecond))
	a.eventually("its own Envoy blocks", func() error { return a.wantStatus(sqli, 403) })

	// An event of one is an event of the other; what both accept is written once.
	b.get(sqli, "Host", "event.example.com")
	e := a.awaitEvent("the other's event", func(e filters.Event) bool { return e.Host == "event.example.com" && e.Decision == filters.Denied })
	var made struct{ ID string }
	a.runJSON(&made, "waf", "exclude", e.ID)
	var accepting sync.WaitGroup
	var written atomic.Int64
	for n := range 8 {
		accepting.Go(func() {
			out, errOut, err := both[n%2].try("", "proposal", "accept", made.ID, "-o", "json")
			var got struct{ Written bool }
			if err != nil || json.Unmarshal([]byte(out), &got) != nil {
				t.Errorf("accept: %v %s%s", err, out, errOut)
			}
			if got.Written {
				written.Add(1)
			}
		})
	}
	accepting.Wait()
	if n := written.Load(); n != 1 {
		t.Errorf("eight acceptances of one proposal wrote %d times", n)
	}
	for _, u := range both {
		u.eventually("what was excluded passes", func() error {
			if got := u.get(sqli, "Host", "event.example.com").status; got != 200 {
				return fmt.Errorf("status %d", got)
			}
			return nil
		})
	}

	// A token that is revoked at one is refused by the other at once.
	var created struct{ ID, Secret string }
	a.runJSON(&created, "token", "create", "ci", "--role", "editor")
	file := filepath.Join(t.TempDir(), "ci.token")
	if err := os.WriteFile(file, []byte(created.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run("get", "waf", "--token-file", file)
	a.run("token", "revoke", "ci")
	if _, errOut, err := b.try("", "get", "waf", "--token-file", file); err == nil || !strings.Contains(errOut, "revoked") {
		t.Errorf("what the other revoked: %v %s", err, errOut)
	}

	b.run("rollback", "WAFPolicy", "default")
	a.run("delete", "WAFPolicy", "default")
	for _, u := range both {
		u.eventually("nothing is blocked", func() error { return u.wantStatus(sqli, 200) })
		if out := u.run("audit", "verify"); !strings.HasPrefix(out, "intact") {
			t.Errorf("audit verify: %s", out)
		}
		var log struct {
			Items []struct{ Action, Resource string }
		}
		u.runJSON(&log, "audit", "list", "--limit", "1000")
		seen := map[string]int{}
		for _, e := range log.Items {
			seen[e.Action]++
		}
		if seen["apply"] != 1 || seen["proposal accept"] != 1 || seen["rollback"] != 1 || seen["delete"] != 1 || seen["file"] != 0 {
			t.Errorf("the audit log has %v", seen)
		}
	}
}
