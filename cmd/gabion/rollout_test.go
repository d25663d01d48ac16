package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
)

// oneProposal is a desk with one proposal, which writes what it stands for.
type oneProposal struct{ server.Proposals }

func (oneProposal) List(context.Context, proposal.State) ([]proposal.Proposal, error) {
	return []proposal.Proposal{{ID: "01M8CXJPRFE2BFX30A172H86WA", State: proposal.Proposed, Title: "exclude",
		Base: proposal.Base{Kind: "WAFPolicy", Namespace: "default", Name: "shop"}}}, nil
}

func (d oneProposal) Accept(ctx context.Context, _, _ string) (proposal.Acceptance, error) {
	all, err := d.List(ctx, "")
	all[0].State = proposal.Accepted
	return proposal.Acceptance{Proposal: all[0], Written: true, Revision: 2}, err
}

// fleet is one proxy, as far as it has come.
type fleet struct{ ads.TypeStatus }

func (fleet) Nacks() []ads.Nack { return nil }
func (f fleet) Status() []ads.ProxyStatus {
	return []ads.ProxyStatus{{Connected: true, Types: []ads.TypeStatus{f.TypeStatus}}}
}

// Who accepts is told what the proxies made of it.
func TestAcceptSaysWhatProxiesAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		proxy       ads.TypeStatus
		code        int
		says, hides string
	}{
		"accepted": {ads.TypeStatus{Want: "2", Acked: "2"}, exitOK, "is at revision 2 and in force", "refused"},
		"refused":  {ads.TypeStatus{Want: "2", Acked: "1", Nacked: "2"}, exitError, "1 of 1 proxies refused it", "in force"},
	} {
		for _, output := range []string{"table", "json"} {
			state := t.TempDir()
			servertest.StartWith(t, state, servertest.Changes{Options: func(o *server.Options) {
				o.Proposals, o.Proxies = oneProposal{}, fleet{c.proxy}
			}})
			var out bytes.Buffer
			args := []string{"proposal", "accept", "01M8", "--state", state, "-o", output}
			if code := execute(t.Context(), args, strings.NewReader(""), &out, &out); code != c.code {
				t.Errorf("%s as %s: exit code %d: %s", name, output, code, &out)
			}
			said := out.String()
			if output == "json" {
				if !strings.Contains(said, `"rollout"`) {
					t.Errorf("%s: no rollout in %s", name, said)
				}
			} else if !strings.Contains(said, c.says) || strings.Contains(said, c.hides) {
				t.Errorf("%s: %s", name, said)
			}
		}
	}
}

// unserved is a reconciler whose rounds fail.
type unserved struct{ server.Live }

func (u unserved) Settle(context.Context) (*reconcile.State, error) {
	return u.State(), errors.New("no round succeeds")
}

// A change that is stored and not served is no success.
func TestChangeThatIsNotServed(t *testing.T) {
	state := t.TempDir()
	p := servertest.StartWith(t, state, servertest.Changes{Options: func(o *server.Options) { o.Live = unserved{o.Live} }})
	var out bytes.Buffer
	code := execute(t.Context(), []string{"apply", "-f", "-", "--state", state}, strings.NewReader(servertest.Shop), &out, &out)
	if code != exitError || !strings.Contains(out.String(), "stored, but the control plane does not serve it") {
		t.Errorf("exit code %d: %s", code, &out)
	}
	if rs, err := p.Store.Resources(t.Context(), "Gateway"); err != nil || len(rs) != 1 {
		t.Errorf("stored: %v %v", rs, err)
	}
}
