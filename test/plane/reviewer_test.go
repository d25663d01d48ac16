package plane

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/internal/netnstest"
)

// shop is a bed with four workloads: two of the web ask the cart, which asks the
// database.
type shop struct {
	*flowBed
	second, db *netnstest.Workload
	cartAt     netip.AddrPort
	dbAt       netip.AddrPort
}

func newShop(t *testing.T) *shop {
	s := &shop{flowBed: &flowBed{bed: newBed(t)}}
	s.second, s.db = s.net.Workload("web1"), s.net.Workload("db")
	s.cartAt = netip.AddrPortFrom(s.cart.Interfaces[0].V4, 8080)
	s.dbAt = netip.AddrPortFrom(s.db.Interfaces[0].V4, 5432)
	s.cart.ServeTCP(s.cartAt)
	s.db.ServeTCP(s.dbAt)
	return s
}

// inventory is the shop as resources.
func (s *shop) inventory() (out string) {
	for _, w := range []struct {
		name, app string
		in        *netnstest.Workload
	}{{"web-0", "web", s.web}, {"web-1", "web", s.second}, {"cart-0", "cart", s.cart}, {"db-0", "db", s.db}} {
		i := w.in.Interfaces[0]
		out += fmt.Sprintf(`---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: %s, namespace: shop, labels: {app: %s}}
spec: {node: node-1, addresses: ["%s", "%s"], interface: %s}
`, w.name, w.app, i.V4, i.V6, i.HostName)
	}
	return out
}

// business is one round of what the shop is for.
func (s *shop) business() error {
	return errors.Join(
		s.web.Try("tcp", netip.Addr{}, s.cartAt, netnstest.Patience),
		s.second.Try("tcp", netip.Addr{}, s.cartAt, netnstest.Patience),
		s.cart.Try("tcp", netip.Addr{}, s.dbAt, netnstest.Patience),
	)
}

// attack is the second of the web asking the database, which it has no business with.
func (s *shop) attack() error {
	return s.second.Try("tcp", netip.Addr{}, s.dbAt, netnstest.Patience/20)
}

// shown waits until the attack shows as a flow of the verdict, with us as its process.
func (s *shop) shown(verdict string) {
	s.Helper()
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	s.until("the attack shows as "+verdict, func() error {
		var list server.FlowList
		if err := json.Unmarshal([]byte(s.run("", "seg", "flows", "--verdict", verdict, "--from", "shop/web-1", "-o", "json")), &list); err != nil {
			return err
		}
		for _, f := range list.Items {
			if f.Dst.Workload == "shop/db-0" && f.Port == 5432 && f.PID == uint32(os.Getpid()) && f.Process == self {
				return nil
			}
		}
		return fmt.Errorf("%d flows, none of them", len(list.Items))
	})
}

// The whole story of the security reviewer: from four workloads and no policy to
// policies for all of them, each learned from traffic, reviewed, watched in audit and
// enforced. What the shop is for goes on; an attack from one of its workloads is told
// with its process in audit, dropped when enforced, also while no agent runs, and
// rolling back is one command.
func TestReviewer(t *testing.T) {
	s := newShop(t)
	s.serve()
	token := strings.TrimSpace(s.run("", "token", "join", "--host", "node-1", "--ttl", "10m"))
	s.run(s.inventory(), "apply", "-f", "-")
	agent := s.agentOf("GABION_JOIN=" + token)
	s.until("the agent has its workloads", func() error {
		if out := s.status(); !strings.Contains(out, " ACK") {
			return errors.New(out)
		}
		return nil
	})

	for range 20 {
		if err := s.business(); err != nil {
			t.Fatal(err)
		}
	}
	var made server.PolicyProposals
	s.until("there is a policy for each", func() error {
		if err := json.Unmarshal([]byte(s.run("", "seg", "propose", "-o", "json")), &made); err != nil {
			return err
		}
		if made.Looked.Edges != 3 || len(made.Items) != 3 {
			return fmt.Errorf("%d proposals from %d edges: %+v\n%s", len(made.Items), made.Looked.Edges, made.Looked, s.run("", "seg", "edges", "-o", "json"))
		}
		return nil
	})
	for _, p := range made.Items {
		if out := s.run("", "seg", "review", p.ID); !strings.Contains(out, "newly denied   0") {
			t.Errorf("it would break something:\n%s", out)
		}
		s.run("", "proposal", "accept", p.ID)
	}
	for _, name := range []string{"web", "cart", "db"} {
		s.run("", "seg", "mode", "shop/"+name, "audit")
	}
	s.until("an attack in audit passes, and shows", func() error { return s.attack() })
	s.shown("audited")

	if _, errs, err := s.attempt("", "seg", "mode", "shop/db", "enforce"); err == nil || !strings.Contains(errs, "there are objections") {
		t.Errorf("enforcing what would have denied something needs no word: %v, %s", err, errs)
	}
	for _, name := range []string{"web", "cart", "db"} {
		s.run("", "seg", "mode", "shop/"+name, "enforce", "--force")
	}
	s.enforced("enforced")
	s.shown("denied")

	s.kill(agent)
	s.enforced("the agent is killed")
	s.agentOf()
	s.enforced("the agent is back")

	for _, name := range []string{"web", "db"} {
		s.run("", "rollback", "SegmentationPolicy", name, "-n", "shop")
	}
	s.until("rolled back to audit, the attack passes", s.attack)
	if err := s.business(); err != nil {
		t.Error(err)
	}
}

// enforced waits until the attack fails, and holds that it does so while the shop works.
func (s *shop) enforced(when string) {
	s.Helper()
	s.until(when+": the attack is dropped", func() error {
		if s.attack() == nil {
			return errors.New("it came through")
		}
		return nil
	})
	for range 3 {
		if err := s.business(); err != nil {
			s.Errorf("%s: the shop does not work: %v", when, err)
		}
		if s.attack() == nil {
			s.Errorf("%s: an attack came through", when)
		}
	}
}
