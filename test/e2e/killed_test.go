package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/store/storetest"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
)

// postgres is the one server all tests of this package share.
var postgres storetest.Postgres

func TestMain(m *testing.M) {
	code := m.Run()
	postgres.Stop()
	os.Exit(code)
}

// Whatever the control plane acknowledged is there after kill -9, at whichever
// moment: resources, rollbacks, accepted proposals, tokens and their end; and the
// audit log is whole.
func TestWhatIsAcknowledgedSurvivesKills(t *testing.T) {
	for _, backend := range []string{"sqlite", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			p := &plane{t: t, state: t.TempDir(), admin: freePort(t)}
			if backend == "postgres" {
				p.database = postgres.Database(t)
			}
			var w acknowledged
			for round := range 8 {
				p.start()
				w.check(p) // of the rounds before
				p.propose(round)
				stop := time.AfterFunc(time.Duration(30+67*round%400)*time.Millisecond, func() { p.cmd.Process.Kill() })
				var writers sync.WaitGroup
				for _, write := range []func(*plane, int){w.apply, w.rollback, w.accept, w.admit} {
					writers.Go(func() { write(p, round) })
				}
				writers.Wait() // they end when the control plane does
				stop.Stop()
				_ = p.cmd.Wait()
			}
			p.start()
			w.check(p)
			t.Logf("acknowledged: %d revisions and %d with rollbacks, %d proposals, %d tokens", w.applied, w.rolledBack, len(w.accepted), len(w.tokens))
			if w.applied == 0 || w.rolledBack == 0 || len(w.accepted) == 0 || len(w.tokens) == 0 {
				t.Error("something was never acknowledged")
			}
		})
	}
}

// plane is a `gabion serve` that is killed again and again.
type plane struct {
	t               *testing.T
	state, database string
	admin, token    string
	cmd             *exec.Cmd
}

func (p *plane) start() {
	p.t.Helper()
	log := &lockedbuffer.Buffer{}
	p.cmd = exec.Command(gabion(p.t), "serve", "--plain", "--admin", p.admin, "--agents", "", "--state", p.state)
	p.cmd.Env = append(cleanEnv(), "GABION_DATABASE="+p.database)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd := p.cmd
	p.t.Cleanup(func() { _ = cmd.Process.Kill() })
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if status, _ := p.ask(http.MethodGet, "/readyz", "", nil); status == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			p.t.Fatalf("gabion serve does not come up:\n%s", log)
		}
	}
	secret, err := os.ReadFile(filepath.Join(p.state, "admin.token"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.token = strings.TrimSpace(string(secret))
}

// ask sends a request and decodes the answer; status 0: there was none.
func (p *plane) ask(method, path, body string, into any) (status int, text string) {
	return p.askAs(p.token, method, path, body, into)
}

func (p *plane) askAs(token, method, path, body string, into any) (status int, text string) {
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.admin+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	if into != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(b, into); err != nil {
			return 0, err.Error()
		}
	}
	return resp.StatusCode, string(b)
}

const perRound = 40

func proposalID(round, n int) string { return fmt.Sprintf("p%d-%d", round, n) }

// propose puts proposals into the store, as if they had been learned.
func (p *plane) propose(round int) {
	p.t.Helper()
	st, err := store.Open(p.t.Context(), store.Options{Dir: filepath.Join(p.state, "db"), Postgres: p.database})
	if err != nil {
		p.t.Fatal(err)
	}
	defer st.Close()
	for n := range perRound {
		id := proposalID(round, n)
		key := store.Key{Kind: "WAFPolicy", Namespace: "kept", Name: id}
		body, err := json.Marshal(proposal.Proposal{ID: id, Kind: proposal.KindExclusion, Base: proposal.Base{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name},
			Candidate: manifestOf(id, n)})
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := st.PutProposal(context.Background(), store.Proposal{ID: id, Kind: proposal.KindExclusion, Target: key, Body: body, Author: "learned"}); err != nil {
			p.t.Fatal(err)
		}
	}
}

// manifestOf is a policy, different for each n.
func manifestOf(name string, n int) string {
	return fmt.Sprintf("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: %s, namespace: kept}\nspec: {mode: detect, maxArguments: %d}\n", name, 1000+n)
}

// acknowledged is what the control plane said it did. Each field has one writer.
type acknowledged struct {
	applied, rolledBack int64 // revisions
	tried               int
	accepted            []string
	tokens              []token
}

type token struct {
	ID, Secret string
	revoked    bool
}

type written struct{ Items []struct{ Revision int64 } }

const resourcePath = "/api/v1/resources/WAFPolicy/kept/"

func (w *acknowledged) apply(p *plane, _ int) {
	for {
		w.tried++
		var out written
		status, text := p.ask(http.MethodPost, "/api/v1/apply", manifestOf("applied", w.tried), &out)
		if !answered(p, status, text) {
			return
		}
		w.applied = out.Items[0].Revision
	}
}

func (w *acknowledged) rollback(p *plane, _ int) {
	if w.rolledBack == 0 {
		for n := range 2 {
			status, text := p.ask(http.MethodPost, "/api/v1/apply", manifestOf("rolled", n), nil)
			if !answered(p, status, text) {
				return
			}
		}
	}
	for {
		var out written
		status, text := p.ask(http.MethodPost, resourcePath+"rolled/rollback", "", &out)
		if !answered(p, status, text) {
			return
		}
		w.rolledBack = out.Items[0].Revision
	}
}

func (w *acknowledged) accept(p *plane, round int) {
	for n := range perRound {
		status, text := p.ask(http.MethodPost, "/api/v1/proposals/"+proposalID(round, n)+"/accept", "", nil)
		if !answered(p, status, text) {
			return
		}
		w.accepted = append(w.accepted, proposalID(round, n))
	}
}

// admit makes tokens and revokes every other one.
func (w *acknowledged) admit(p *plane, round int) {
	for n := 0; ; n++ {
		var made token
		status, text := p.ask(http.MethodPost, "/api/v1/tokens", fmt.Sprintf(`{"name":"t%d-%d","role":"viewer"}`, round, n), &made)
		if !answered(p, status, text) {
			return
		}
		if made.revoked = n%2 == 1; made.revoked {
			status, text = p.ask(http.MethodDelete, "/api/v1/tokens/"+made.ID, "", nil)
			if !answered(p, status, text) {
				return // it may be revoked or not: nobody was told
			}
		}
		w.tokens = append(w.tokens, made)
	}
}

// answered is whether there was an answer; one that is no success fails the test.
func answered(p *plane, status int, text string) bool {
	if status == 0 {
		return false
	}
	if status >= 300 {
		p.t.Errorf("answered %d: %s", status, text)
		return false
	}
	return true
}

// check asks for all of it.
func (w *acknowledged) check(p *plane) {
	p.t.Helper()
	for name, least := range map[string]*int64{"applied": &w.applied, "rolled": &w.rolledBack} {
		if *least == 0 {
			continue
		}
		var r struct{ Revision int64 }
		// What was under way may have been done, too.
		if status, text := p.ask(http.MethodGet, resourcePath+name, "", &r); status != 200 || r.Revision < *least || r.Revision > *least+1 {
			p.t.Errorf("%s: revision %d was acknowledged, found %d (%d %s)", name, *least, r.Revision, status, text)
		}
		*least = r.Revision
	}
	for _, id := range w.accepted {
		var got struct{ State string }
		if status, text := p.ask(http.MethodGet, "/api/v1/proposals/"+id, "", &got); status != 200 || got.State != "accepted" {
			p.t.Errorf("proposal %s was accepted, and is %d %s", id, status, text)
		}
		if status, text := p.ask(http.MethodGet, resourcePath+id, "", nil); status != 200 {
			p.t.Errorf("proposal %s was accepted, its resource is %d %s", id, status, text)
		}
	}
	var list struct {
		Items []struct {
			ID      string
			Revoked time.Time
		}
	}
	p.ask(http.MethodGet, "/api/v1/tokens", "", &list)
	found := map[string]bool{}
	for _, t := range list.Items {
		found[t.ID] = t.Revoked.IsZero()
	}
	for _, t := range w.tokens {
		good, known := found[t.ID]
		if !known || good == t.revoked {
			p.t.Errorf("a token that was acknowledged: known %t, good %t, revoked %t", known, good, t.revoked)
		}
		if t.revoked {
			continue
		}
		if status, text := p.askAs(t.Secret, http.MethodGet, "/api/v1/whoami", "", nil); status != 200 {
			p.t.Errorf("a good token is answered %d: %s", status, text)
		}
	}
	var verdict struct {
		Entries, Broken int64
		Reason          string
	}
	if status, text := p.ask(http.MethodGet, "/api/v1/audit/verify", "", &verdict); status != 200 || verdict.Broken != 0 {
		p.t.Errorf("audit: %d %s", status, text)
	}
}
