package server_test

import (
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
)

// interrupted is a reconciler during whose previews something happens.
type interrupted struct {
	server.Live
	happens *func()
}

func (i interrupted) Preview(candidate source.Set) (*reconcile.State, error) {
	if *i.happens != nil {
		(*i.happens)()
	}
	return i.Live.Preview(candidate)
}

// A rollback takes back the change that its author saw, not one that came since.
func TestRollbackDoesNotUndoWhatCameSince(t *testing.T) {
	var happens func()
	p := servertest.StartWith(t, t.TempDir(), servertest.Changes{Options: func(o *server.Options) { o.Live = interrupted{o.Live, &happens} }})
	c := caller{t, p.URL, p.Token(t, "ann", store.RoleEditor)}
	policy := func(mode string) string { return strings.Replace(servertest.Policy, "detect", mode, 1) }
	c.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+policy("detect"), nil)
	c.want(200, "POST", "/api/v1/apply", policy("block"), nil)
	happens = func() {
		happens = nil
		c.want(200, "POST", "/api/v1/apply", policy("'off'"), nil)
	}
	rollback := "/api/v1/resources/WAFPolicy/default/shop/rollback"
	if text := c.want(409, "POST", rollback, "", nil); !strings.Contains(text, "is at revision 3, not 2") {
		t.Errorf("refused with %s", text)
	}
	c.want(200, "POST", rollback, "", nil) // now it is seen
	happens = func() {
		happens = nil
		c.want(200, "POST", "/api/v1/apply", policy("detect"), nil)
	}
	c.want(200, "POST", rollback+"?revision=3", "", nil) // a named one is meant whatever came
}
