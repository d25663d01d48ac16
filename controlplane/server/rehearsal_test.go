package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
)

// slowDesk rehearses as the test says; everything else is the real desk's.
type slowDesk struct {
	server.Proposals
	rehearse func(context.Context, proposal.Progress) (proposal.Rehearsal, error)
}

func (d slowDesk) RehearseCandidate(ctx context.Context, _ []byte, o proposal.RehearseOptions) (proposal.Rehearsal, error) {
	return d.rehearse(ctx, o.Progress)
}

func startSlow(t *testing.T, rehearse func(context.Context, proposal.Progress) (proposal.Rehearsal, error)) caller {
	t.Helper()
	dir := t.TempDir()
	p := servertest.StartWith(t, dir, servertest.Changes{
		Options: func(o *server.Options) { o.Proposals = slowDesk{o.Proposals, rehearse} },
	})
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return caller{t, p.URL, strings.TrimSpace(string(token))}
}

// follow reads a rehearsal's stream to its end and returns what it said.
func (c caller) follow(path string) (said []server.Rehearsing) {
	c.t.Helper()
	for lines := c.open(c.t.Context(), path); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var v server.Rehearsing
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				c.t.Fatal(err)
			}
			said = append(said, v)
		}
	}
	return said
}

func TestRehearsalReportsProgressAndOutcome(t *testing.T) {
	next := make(chan struct{})
	c := startSlow(t, func(_ context.Context, p proposal.Progress) (proposal.Rehearsal, error) {
		p(5, 10)
		<-next
		p(10, 10)
		return proposal.Rehearsal{Judged: 10, NewlyBlocked: 1}, nil
	})
	var job server.Rehearsing
	c.want(202, "POST", "/api/v1/rehearsals", servertest.Policy, &job)
	if job.State != server.JobRunning || job.ID == "" || job.Author != "admin" {
		t.Errorf("started: %+v", job)
	}
	time.AfterFunc(200*time.Millisecond, func() { close(next) })
	said := c.follow("/api/v1/rehearsals/" + job.ID + "/stream")
	last := said[len(said)-1]
	if len(said) < 2 || last.State != server.JobDone || last.Result == nil || last.Result.NewlyBlocked != 1 || last.Done != 10 {
		t.Errorf("said: %+v", said)
	}
	c.want(200, "GET", "/api/v1/rehearsals/"+job.ID, "", &job)
	if job.State != server.JobDone {
		t.Errorf("afterwards: %+v", job)
	}
	c.want(404, "GET", "/api/v1/rehearsals/none", "", nil)
	c.want(422, "POST", "/api/v1/rehearsals", servertest.Shop, nil)
}

func TestRehearsalsAreBoundedAndStop(t *testing.T) {
	c := startSlow(t, func(ctx context.Context, _ proposal.Progress) (proposal.Rehearsal, error) {
		<-ctx.Done()
		return proposal.Rehearsal{}, ctx.Err()
	})
	var first, second server.Rehearsing
	c.want(202, "POST", "/api/v1/rehearsals", servertest.Policy, &first)
	c.want(202, "POST", "/api/v1/rehearsals", servertest.Policy, &second)
	c.want(429, "POST", "/api/v1/rehearsals", servertest.Policy, nil)
	c.want(204, "DELETE", "/api/v1/rehearsals/"+first.ID, "", nil)
	said := c.follow("/api/v1/rehearsals/" + first.ID + "/stream")
	if last := said[len(said)-1]; last.State != server.JobCanceled {
		t.Errorf("stopped: %+v", last)
	}
	c.want(202, "POST", "/api/v1/rehearsals", servertest.Policy, nil)
}

func TestRehearsalThatFails(t *testing.T) {
	for name, rehearse := range map[string]func(context.Context, proposal.Progress) (proposal.Rehearsal, error){
		"error": func(context.Context, proposal.Progress) (proposal.Rehearsal, error) {
			return proposal.Rehearsal{}, errors.New("the recordings cannot be opened")
		},
		"panic": func(context.Context, proposal.Progress) (proposal.Rehearsal, error) { panic("the recordings") },
	} {
		c := startSlow(t, rehearse)
		var job server.Rehearsing
		c.want(202, "POST", "/api/v1/rehearsals", servertest.Policy, &job)
		said := c.follow("/api/v1/rehearsals/" + job.ID + "/stream")
		last := said[len(said)-1]
		if last.State != server.JobFailed || !strings.Contains(last.Error, "the recordings") {
			t.Errorf("%s: %+v", name, last)
		}
		if strings.Contains(last.Error, "goroutine") {
			t.Errorf("%s: the answer holds a stack: %s", name, last.Error)
		}
	}
}
