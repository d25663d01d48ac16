package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/waf-rules/regression"
	"github.com/gabion-io/gabion/workload"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gabion": func() {
			os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestScripts runs the command line as people do. Each script has a control
// plane of its own; manifests below owned/ in the script are files it watches.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("one command after the other: the planes they talk to meet the race detector in their own packages")
	}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: startPlane,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"event":    addEvent,
			"flow":     addFlow,
			"traffic":  addTraffic,
			"proposal": setProposal,
		},
		RequireExplicitExec: true,
	})
}

// TestOfflineScripts runs the commands that need no control plane.
func TestOfflineScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("a process each, in which nothing meets: the race detector only makes them long")
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/offline", RequireExplicitExec: true})
}

type (
	planeKey     struct{}
	inventoryKey struct{}
)

func startPlane(env *testscript.Env) error {
	if bin := os.Getenv("GABION_BIN"); testing.Short() && bin != "" {
		// The race run wants the control plane, which is in this process; a client
		// built for it takes ten times as long to start, and does nothing at once.
		env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
	}
	state := filepath.Join(env.WorkDir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	var owned []string
	if dir := filepath.Join(env.WorkDir, "owned"); exists(dir) {
		owned = append(owned, dir)
	}
	var known *inventory.Inventory
	p := servertest.StartWith(scriptTB{env}, state, servertest.Changes{
		Check: chain.Check,
		Options: func(o *server.Options) {
			var err error
			if known, err = inventory.Open(context.Background(), inventory.Options{Store: o.Store, Learning: operationLearning{}, Documents: documents{}}); err != nil {
				env.T().Fatal(err)
			}
			o.Inventory = known
			w := &world{loop: o.Live.(*reconcile.Loop), store: o.Store}
			o.Proposals = proposal.NewDesk(proposal.Options{Store: o.Store, World: w, Engine: judgesOf(chain.NewJudging(chain.Options{})), Attacks: regression.Attacks, Network: &network{loop: w.loop, store: o.Store}})
		},
		Observe: func(st *store.Store, log *slog.Logger) func(context.Context, *reconcile.State) {
			return (&fileRevisions{store: st, path: filepath.Join(state, "files.json"), log: log}).observe
		},
	}, owned...)
	env.Values[planeKey{}], env.Values[inventoryKey{}] = p, known
	env.Vars = append(env.Vars, "GABION_STATE="+state, "URL="+p.URL)
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// scriptTB gives a script's environment the face servertest wants.
type scriptTB struct{ env *testscript.Env }

func (scriptTB) Helper()                    {}
func (s scriptTB) Fatal(args ...any)        { s.env.T().Fatal(args...) }
func (s scriptTB) Cleanup(f func())         { s.env.Defer(f) }
func (s scriptTB) Context() context.Context { return context.Background() }

// addEvent is the script command `event NAME DECISION`: it stores an event and
// sets $NAME to its id.
func addEvent(ts *testscript.TestScript, neg bool, words []string) {
	if neg || len(words) != 2 {
		ts.Fatalf("usage: event NAME DECISION")
	}
	e := filters.Event{
		ID: ulid.Make().String(), Time: time.Now(), Route: "default/shop", RouteRule: "0", Listener: "default/web/http", Key: "default/shop/0", Mode: filters.ModeDetect,
		Decision: filters.Decision(words[1]), Engine: "waf", Reason: "inbound score 5 reached 5", Score: 5, WouldBe: 403,
		Method: "GET", Host: "shop.example.com", Path: "/search", Policy: "WAFPolicy default/shop",
		Matches: []filters.Match{{Rule: 942100, Message: "SQL Injection Attack Detected via libinjection", Score: 5, Variable: "ARGS:q", Value: "1' or \x1b[31m…", Phase: 2}},
	}
	switch e.Decision {
	case filters.Denied:
		e.Status = 403
	case filters.Ended:
		e = filters.Event{ID: e.ID, Time: e.Time, Proxy: "up-here", Decision: e.Decision, Engine: filters.ProcessEngine, Process: &filters.ProcessEnd{
			Name: envoyProcess, Exit: "exit status 2", Fatal: "fatal error: concurrent map \x1b[31mwrites", Ready: e.Time.Add(-5 * time.Minute), Restarts: 3}}
		if words[0] == "BACK" {
			e.Process.Back = e.Time.Add(412 * time.Millisecond)
		}
	}
	plane := ts.Value(planeKey{}).(*servertest.Plane)
	if _, err := plane.Store.AddEvents(context.Background(), []filters.Event{e}); err != nil {
		ts.Fatalf("store the event: %v", err)
	}
	ts.Setenv(words[0], e.ID)
}

// addFlow is the script command `flow FROM TO PORT VERDICT`: it stores a flow as if
// the agent of node-1 had reported it.
func addFlow(ts *testscript.TestScript, neg bool, words []string) {
	if neg || len(words) != 4 {
		ts.Fatalf("usage: flow FROM TO PORT VERDICT")
	}
	port, err := strconv.ParseUint(words[2], 10, 16)
	ts.Check(err)
	verdict, err := segmentation.ParseVerdict(words[3])
	ts.Check(err)
	f := store.Flow{
		Src: flowEnd(words[0]), Dst: flowEnd(words[1]), Protocol: segmentation.TCP, Port: uint16(port), Verdict: verdict,
		Flows: 1, Answered: 1, Packets: 9, Bytes: 1000, First: time.Now().Add(-time.Second), Last: time.Now(),
	}
	if verdict != segmentation.Allowed {
		f.Rule = "SegmentationPolicy shop/cart default deny (ingress)"
	}
	if verdict == segmentation.Denied {
		f.Answered, f.Reason, f.PID, f.Process = 0, "denied", 4711, "/usr/bin/curl"
	}
	plane := ts.Value(planeKey{}).(*servertest.Plane)
	_, err = plane.Store.AddFlows(context.Background(), store.FlowReport{Host: "node-1", Queue: ulid.Make().String(), Seq: 1, Flows: []store.Flow{f}})
	ts.Check(err)
	ts.Check(plane.Store.AddCoverage(context.Background(), []store.CoverageDelta{{Source: ingest.FlowSource("node-1"), Received: 1, Writer: "q", WriterLost: 3}}))
}

// setProposal is the script command `proposal NAME NAMESPACE/NAME`: it sets $NAME to
// the id of the open proposal of that policy.
func setProposal(ts *testscript.TestScript, neg bool, words []string) {
	if neg || len(words) != 2 {
		ts.Fatalf("usage: proposal NAME NAMESPACE/NAME")
	}
	plane := ts.Value(planeKey{}).(*servertest.Plane)
	all, err := plane.Store.Proposals(context.Background(), store.ProposalOpen)
	ts.Check(err)
	for _, p := range all {
		if p.Target.Namespace+"/"+p.Target.Name == words[1] {
			ts.Setenv(words[0], p.ID)
			return
		}
	}
	ts.Fatalf("there is no proposal of %s", words[1])
}

func flowEnd(name string) store.FlowEnd {
	id, err := workload.ParseID(name)
	if err != nil {
		if dns, address, named := strings.Cut(name, "="); named {
			return store.FlowEnd{Address: address, DNSName: dns}
		}
		return store.FlowEnd{Address: name}
	}
	app, _, _ := strings.Cut(id.Name, "-")
	return store.FlowEnd{Workload: name, Labels: workload.Labels{"app": app}}
}

// addTraffic is the script command `traffic SERVICE FILE`: it tells the inventory
// of exchanges as if proxies had logged them.
func addTraffic(ts *testscript.TestScript, neg bool, words []string) {
	if neg || len(words) != 2 {
		ts.Fatalf("usage: traffic SERVICE FILE")
	}
	known := ts.Value(inventoryKey{}).(*inventory.Inventory)
	a := &app{err: io.Discard, now: time.Now, env: func(string) string { return "" }}
	read := newIntake(context.Background(), a, &exchange.Door{Service: words[0]}, known)
	if err := read.close(a.readTraffic(learning{exchanges: []string{ts.MkAbs(words[1])}}, read.offer)); err != nil {
		ts.Fatalf("read traffic: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	t.Setenv("GABION_STATE", t.TempDir())
	for line, want := range map[string]int{
		"":                             exitOK,
		"version":                      exitOK,
		"help":                         exitOK,
		"waf":                          exitOK,
		"status":                       exitError,
		"aply":                         exitUsage,
		"waf evnts":                    exitUsage,
		"get":                          exitUsage,
		"get nonsense":                 exitUsage,
		"apply":                        exitUsage,
		"apply --nonsense":             exitUsage,
		"status -o xml":                exitUsage,
		"waf events --since yesterday": exitUsage,
		"rollback waf shop first":      exitUsage,
		"token create ci --role root":  exitUsage,
	} {
		var out, errOut bytes.Buffer
		got := execute(t.Context(), strings.Fields(line), strings.NewReader(""), &out, &errOut)
		if got != want {
			t.Errorf("gabion %s: exit code %d, want %d\n%s%s", line, got, want, &out, &errOut)
		}
		if want != exitOK && (errOut.Len() == 0 || out.Len() > 0) {
			t.Errorf("gabion %s: an error belongs on standard error: %q, %q", line, &out, &errOut)
		}
	}
}

func TestEveryCommandShowsHow(t *testing.T) {
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, env: func(string) string { return "" }, now: time.Now}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Hidden || c.Name() == "help" {
			return
		}
		if c.Short == "" || (c.Example == "" && !c.HasSubCommands()) {
			t.Errorf("%s: no summary or no example", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the summary ends with a full stop", c.CommandPath())
		}
	}
	walk(newRoot(a))
}

func TestDistanceFindsKinds(t *testing.T) {
	for word, want := range map[string]string{"wafpolcy": "WAFPolicy", "gatway": "Gateway", "servce": "Service", "zzzzzz": ""} {
		if got := nearestKind(word); got != want {
			t.Errorf("nearest to %q: %q, want %q", word, got, want)
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90s": now.Add(-90 * time.Second), "1h": now.Add(-time.Hour), "7d": now.Add(-7 * 24 * time.Hour),
		"2026-01-30T00:00:00Z": time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := moment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "99999999d", "1"} {
		if got, err := moment(text, now); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestPrintableDisarmsTerminals(t *testing.T) {
	if got := printable("a\x1b[2Jb\u202ec\u009bd\tü"); strings.ContainsAny(got, "\x1b\u202e\u009b\t") || !strings.Contains(got, "ü") {
		t.Errorf("printable: %q", got)
	}
}

func TestExitReportsOnce(t *testing.T) {
	var errOut bytes.Buffer
	a := &app{err: &errOut}
	if code := a.exit(withHint(errors.New("it broke"), "mend it")); code != exitError || errOut.String() != "gabion: it broke\n  mend it\n" {
		t.Errorf("exit: %d %q", code, &errOut)
	}
}
