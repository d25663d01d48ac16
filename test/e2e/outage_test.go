package e2e

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
)

// While the control plane is dead Envoy serves on, with its last configuration;
// when it is back, the events of the meantime arrive.
func TestControlPlaneDies(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			u := startUp(t, "--transport", transport)
			u.apply(blockEverywhere)
			u.eventually("blocking", func() error { return u.wantStatus(sqli, 403) })

			load := startLoad(u, "/search?q=tea", 200)
			pids := u.children(" serve ")
			if len(pids) != 1 {
				t.Fatalf("control plane processes: %v", pids)
			}
			if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			const attacks = 20
			for i := range attacks {
				if a := u.get(fmt.Sprintf("%soutage%d", sqli, i), "Host", "outage.example.com"); a.status != 403 {
					t.Errorf("attack %d during the outage got %d", i, a.status)
				}
			}
			u.eventually("the control plane is back", func() error {
				if now := u.children(" serve "); len(now) != 1 || now[0] == pids[0] {
					return fmt.Errorf("processes %v", now)
				}
				_, _, err := u.try("", "status")
				return err
			})
			u.eventually("every event of the outage", func() error {
				n := 0
				for _, e := range u.events("--limit", "1000") {
					if e.Host == "outage.example.com" && e.Decision == filters.Denied {
						n++
					}
				}
				if n != attacks {
					return fmt.Errorf("%d of %d", n, attacks)
				}
				return nil
			})
			if failed, total := load.stop(); failed > 0 || total == 0 {
				t.Errorf("%d of %d requests failed during the outage: %v", failed, total, load.first())
			}
		})
	}
}

// An acknowledged write is there after kill -9 of the control plane.
func TestAcknowledgedWriteSurvives(t *testing.T) {
	u := startUp(t)
	for i := range 3 {
		name := fmt.Sprintf("kept-%d", i)
		u.apply(fmt.Sprintf("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: %s, namespace: shop}\nspec: {mode: detect}\n", name))
		pids := u.children(" serve ")
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		u.eventually("the write after the restart", func() error {
			_, errOut, err := u.try("", "get", "WAFPolicy", name, "-n", "shop")
			if err != nil {
				return errors.New(errOut)
			}
			return nil
		})
	}
	if out := u.run("audit", "verify"); out == "" {
		t.Error("audit verify says nothing")
	}
}

// Envoy is restarted when it dies, the filter judges again, and what happened is an
// event; while one follows too.
func TestEnvoyDies(t *testing.T) {
	_, port, _ := net.SplitHostPort(freePort(t))
	u := startUp(t, "--admin", "127.0.0.2:"+port)                      // the machine has more addresses than one
	followed := u.follow("waf", "events", "--follow", "--since", "1h") // from what is stored on: nothing falls between
	for n := 1; n <= 2; n++ {
		u.kill("envoy.json")
		u.awaitEnd("envoy", n)
		u.eventually("Envoy serves again", func() error { return u.wantStatus("/search?q=tea", 200) })
	}
	u.get(sqli)
	u.awaitEvent("an event after the restart", func(e filters.Event) bool { return e.Decision == filters.Detect })
	u.eventually("both ends, followed", func() error {
		if out := followed.String(); strings.Count(out, "(envoy ended: signal: killed, ") != 2 || strings.Count(out, " ended ") != 2 {
			return fmt.Errorf("followed:\n%s", out)
		}
		return nil
	})
	if _, errOut, err := u.try("", "waf", "exclude", u.awaitEnd("envoy", 1).ID); err == nil || !strings.Contains(errOut, "tells that a process ended") {
		t.Errorf("excluding the end of a process: %v, %s", err, errOut)
	}
}

// The process beside Envoy is restarted when it dies, and that is an event as well.
func TestFilterDies(t *testing.T) {
	u := startUp(t, "--transport", "extproc")
	u.kill(" filter ")
	u.awaitEnd("filter", 1)
	u.get(sqli)
	u.awaitEvent("an event after the restart", func(e filters.Event) bool { return e.Decision == filters.Detect })
}

// The end of Envoy is an event also when the control plane was away, and its own end
// is none.
func TestEnvoyDiesWithTheControlPlane(t *testing.T) {
	u := startUp(t)
	u.kill(" serve ")
	u.kill("envoy.json")
	u.eventually("the control plane is back", func() error { _, _, err := u.try("", "status"); return err })
	u.awaitEnd("envoy", 1)
	if all := u.events("--decision", "ended"); len(all) != 1 {
		t.Errorf("ended: %+v", all)
	}
}

// kill ends the one child whose command line holds word as nothing can prevent.
func (u *up) kill(word string) {
	u.t.Helper()
	pids := u.children(word)
	if len(pids) != 1 {
		u.t.Fatalf("processes of %q: %v", word, pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		u.t.Fatal(err)
	}
}

// awaitEnd waits for the event of a killed process that is back after n restarts.
func (u *up) awaitEnd(process string, n int) filters.Event {
	u.t.Helper()
	e := u.awaitEvent(fmt.Sprintf("end %d of %s", n, process), func(e filters.Event) bool {
		return e.Process != nil && e.Process.Name == process && e.Process.Restarts == n && !e.Process.Back.IsZero()
	})
	p := e.Process
	if p.Exit != "signal: killed" || p.Fatal != "" || !p.Ready.Before(e.Time) || p.Away(e.Time) <= 0 {
		u.t.Errorf("the event tells %+v, ended at %s", p, e.Time)
	}
	if e.Decision != filters.Ended || e.Engine != filters.ProcessEngine || e.Proxy == "" || e.Route+e.Policy+e.Method+e.Path+e.Client != "" {
		u.t.Errorf("the event is %+v", e)
	}
	card := u.run("waf", "event", e.ID)
	for _, want := range []string{"process   " + process, "ended: signal: killed, after it had served for ", fmt.Sprintf("started again %d time", n)} {
		if !strings.Contains(card, want) {
			u.t.Errorf("its card lacks %q:\n%s", want, card)
		}
	}
	return e
}

// follow runs a gabion command that goes on until the test ends, and gives what it
// prints.
func (u *up) follow(args ...string) *lockedbuffer.Buffer {
	u.t.Helper()
	out := &lockedbuffer.Buffer{}
	c := exec.Command(gabion(u.t), args...)
	c.Env = append(cleanEnv(), "GABION_STATE="+u.state)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	u.eventually("it follows", func() error {
		if !strings.Contains(out.String(), "waiting for ") {
			return errors.New(out.String())
		}
		return nil
	})
	return out
}

// Nothing that `gabion up` started survives it: not an interrupt, not kill -9.
func TestNoProcessIsLeft(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			u := startUp(t, "--transport", "extproc")
			pids := append(append(u.children("envoy.json"), u.children(" serve ")...), u.children(" filter ")...)
			if len(pids) != 3 {
				t.Fatalf("children: %v", pids)
			}
			u.cmd.Process.Signal(signal)
			select {
			case <-u.exited:
			case <-time.After(patience):
				t.Fatal("gabion up did not end")
			}
			deadline := time.Now().Add(patience)
			for _, pid := range pids {
				for syscall.Kill(pid, 0) == nil && !zombie(pid) {
					if time.Now().After(deadline) {
						t.Fatalf("process %d is left", pid)
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
}

// A hundred policy changes under load fail no request and close no connection.
func TestPolicyChangesUnderLoad(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			u := startUp(t, "--transport", transport)
			load := startLoad(u, "/search?q=tea", 200)
			for i := range 100 {
				u.apply(fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: default}
spec:
  mode: block
  rules: ['SecRule ARGS:probe "@streq change%d" "id:1000,phase:1,deny,status:403"']
`, i))
			}
			u.eventually("the last change is in force", func() error { return u.wantStatus("/search?probe=change99", 403) })
			if failed, total := load.stop(); failed > 0 || total == 0 {
				t.Errorf("%d of %d requests failed: %v", failed, total, load.first())
			}
			if n := load.connections.Load(); n != loadWorkers {
				t.Errorf("%d connections were opened by %d clients: some were drained:\n%s", n, loadWorkers, u.envoyStats(`downstream_cx|^listener_manager|^overload`))
			}
		})
	}
}

func (u *up) wantStatus(path string, status int) error {
	a, err := u.request("GET", path, "")
	if err != nil {
		return err
	}
	if a.status != status {
		return fmt.Errorf("status %d", a.status)
	}
	return nil
}

const loadWorkers = 4

// load is a steady trickle of requests on kept-alive connections; every answer
// but the wanted status is a failure.
type load struct {
	done        chan struct{}
	wg          sync.WaitGroup
	failed, all atomic.Int64
	connections atomic.Int64
	err         atomic.Value
}

func startLoad(u *up, path string, status int) *load {
	l := &load{done: make(chan struct{})}
	for range loadWorkers {
		client := countingClient(&l.connections)
		l.wg.Go(func() {
			for {
				select {
				case <-l.done:
					return
				case <-time.After(10 * time.Millisecond):
				}
				l.all.Add(1)
				if err := getOnce(client, "http://"+u.listen+path, status); err != nil {
					l.failed.Add(1)
					l.err.CompareAndSwap(nil, err.Error())
				}
			}
		})
	}
	return l
}

// stop ends the load and gives the failures and all requests.
func (l *load) stop() (failed, total int64) {
	close(l.done)
	l.wg.Wait()
	return l.failed.Load(), l.all.Load()
}

// first is the first failure.
func (l *load) first() any { return l.err.Load() }
