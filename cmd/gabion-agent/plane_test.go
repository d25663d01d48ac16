package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/hosts"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/source/file"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/policysync"
)

const patience = time.Minute

// plane is what an agent talks to, over real TLS, with certificates of seconds.
type plane struct {
	*testing.T
	authority *identity.Authority
	store     *store.Store
	hosts     *hosts.Server
	addr      string
	log       *lockedbuffer.Buffer
}

func newPlane(t *testing.T, lifetime time.Duration) *plane {
	t.Helper()
	p := &plane{T: t, log: &lockedbuffer.Buffer{}}
	log := slog.New(slog.NewTextHandler(p.log, nil))
	var err error
	if p.authority, err = identity.Open(identity.Options{Dir: t.TempDir(), Lifetime: lifetime}); err != nil {
		t.Fatal(err)
	}
	if p.store, err = store.Open(t.Context(), store.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	p.hosts = hosts.New(hosts.Options{Identify: p.authority.HostOf, Log: log})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(p.authority.ServerTLS())))
	p.hosts.Register(g)
	(&identity.Enrolment{Authority: p.authority, Tokens: p.store, Log: log}).Register(g)
	go g.Serve(ln)
	t.Cleanup(func() { g.Stop(); p.store.Close() })
	return p
}

func (p *plane) token(host string) string {
	p.Helper()
	secret, _, err := p.store.CreateJoinToken(p.Context(), store.JoinSpec{Host: host, TTL: time.Hour, Author: "test"})
	if err != nil {
		p.Fatal(err)
	}
	return identity.Token{Secret: secret, Pin: p.authority.Pin()}.String()
}

// publish serves a policy that says one port.
func (p *plane) publish(port int) {
	p.Helper()
	objects, problems := v1alpha1.Decode("test", fmt.Appendf(nil, `apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart, labels: {app: cart}}
spec: {node: node-1, addresses: [10.0.0.1], interface: w1}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart}
spec: {mode: enforce, selector: {matchLabels: {app: cart}}, ingress: [{ports: [{port: %d}]}]}
`, port))
	if len(problems) > 0 {
		p.Fatal(problems)
	}
	p.hosts.Publish(objects, segment.Compile(objects, segment.Options{}))
}

// kernel takes what is wanted in the place of the real one.
type kernel struct {
	*testing.T
	wish *wish
}

// takes waits for what is wanted and answers it.
func (k *kernel) takes(answer error) agent.Desired {
	k.Helper()
	select {
	case d := <-k.wish.desired:
		d.Applied(answer)
		return d
	case <-time.After(patience):
		k.Fatal("nothing is wanted")
		return agent.Desired{}
	}
}

func (k *kernel) takesPort(port uint16) {
	k.Helper()
	d := k.takes(nil)
	if len(d.Policies) != 1 || d.Policies[0].Ingress.List[0].Ports[0].From != port || len(d.Interfaces) != 1 || d.Interfaces[0].Name != "w1" {
		k.Errorf("wanted is %+v", d)
	}
}

// follows runs the parts of an agent that talk to the control plane.
func follows(t *testing.T, o *options, files ...string) *kernel {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	holder, err := o.identity(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	source, err := file.Open(ctx, log, files...)
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{t, newWish(source, o.host, o.server, log)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return holder.Keep(ctx, o.server) })
	g.Go(func() error { return followPlane(ctx, o, holder, k.wish, log) })
	g.Go(func() error { return k.wish.followFiles(ctx, len(files) > 0) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		source.Close()
	})
	return k
}

func (p *plane) until(what string, true func() bool) {
	p.Helper()
	for end := time.Now().Add(patience); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fatalf("waited in vain until %s; the control plane said:\n%s", what, p.log)
		}
	}
}

// Certificates come and go; the host is connected all the while, and hears of
// changes after its first certificate has ended.
func TestRotatesWithoutLosingTheStream(t *testing.T) {
	p := newPlane(t, 3*time.Second)
	p.publish(1)
	o := &options{server: p.addr, host: "node-1", state: t.TempDir(), join: p.token("node-1")}
	k := follows(t, o)
	k.takesPort(1)
	p.until("it is told so", func() bool { return len(p.hosts.Status()) == 1 && p.hosts.Status()[0].Acked != "" })
	first := p.hosts.Status()[0].Certificate
	p.until("two more certificates were made", func() bool { return p.hosts.Status()[0].Certificate.Sub(first) > 3*time.Second })
	if said := p.log.String(); strings.Contains(said, "disconnected") {
		t.Errorf("the host was gone for a while:\n%s", said)
	}
	p.publish(2)
	k.takesPort(2)
}

// The kernel's no is a condition on the policy, and the set before is the one that
// is kept.
func TestKernelRefuses(t *testing.T) {
	p := newPlane(t, 0)
	p.publish(1)
	o := &options{server: p.addr, host: "node-1", state: t.TempDir(), join: p.token("node-1")}
	k := follows(t, o)
	k.takesPort(1)
	p.publish(2)
	k.takes(errors.New("the kernel has no room"))
	p.until("it is a condition", func() bool {
		for _, c := range p.hosts.Conditions() {
			if c.Reason == "Rejected" && c.Key().String() == "SegmentationPolicy default/cart" && strings.Contains(c.Message, "no room") {
				return true
			}
		}
		return false
	})
	text, err := os.ReadFile(filepath.Join(o.state, "policy.json"))
	if err != nil || !strings.Contains(string(text), "port: 1") || strings.Contains(string(text), "port: 2") {
		t.Errorf("kept is %s, %v", text, err)
	}
	p.publish(3)
	k.takesPort(3)
}

// A restart needs no token, and a token that still stands in the command is no
// harm; files alone do not take away what the control plane wanted.
func TestRestart(t *testing.T) {
	p := newPlane(t, 0)
	p.publish(1)
	dir := t.TempDir()
	o := &options{server: p.addr, host: "node-1", state: dir, join: p.token("node-1")}
	t.Run("first", func(t *testing.T) {
		follows(t, o).takesPort(1)
		p.until("it is kept", func() bool { _, err := os.Stat(filepath.Join(dir, "policy.json")); return err == nil })
	})
	extra := filepath.Join(t.TempDir(), "extra.yaml")
	if err := os.WriteFile(extra, []byte("apiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: local}\nspec: {addresses: [10.0.0.9], interface: w9}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := &options{server: "127.0.0.1:1", host: "node-1", state: dir, join: o.join}
	k := follows(t, gone, extra)
	for range 2 { // what was kept, and when it is known the file again: both have both
		if d := k.takes(nil); len(d.Interfaces) != 2 || len(d.Policies) != 1 {
			t.Errorf("wanted is %+v", d)
		}
	}
	if _, err := (&options{server: p.addr, host: "node-2", state: dir}).identity(t.Context(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("another host takes the identity")
	}
	if _, err := (&options{server: p.addr, host: "node-1", state: t.TempDir()}).identity(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "token join") {
		t.Errorf("without a token: %v", err)
	}
	other := newPlane(t, 0)
	if _, err := (&options{server: other.addr, host: "node-1", state: dir, join: other.token("node-1")}).identity(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another control plane") {
		t.Errorf("with the token of another control plane: %v", err)
	}
}

// What a control plane sends is read as strictly as files are, and is not believed
// about other hosts.
func TestReadsStrictly(t *testing.T) {
	w := newWish(nil, "node-1", "", slog.New(slog.DiscardHandler))
	for name, text := range map[string]string{
		"Workload/default/cart":  "apiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: cart}\nspec: {node: node-2, interface: w1}\n",
		"Workload/default/a":     "apiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: b}\nspec: {}\n",
		"Workload/default/typo":  "apiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: typo}\nspec: {adresses: []}\n",
		"Workload/default/two":   "apiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: two}\nspec: {}\n---\napiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: three}\nspec: {}\n",
		"Workload/default/empty": "",
	} {
		if _, err := w.read(resources(name, text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("Workload/default/a", "apiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec: {node: node-1, interface: w1}\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		w := newWish(nil, "node-1", "", slog.New(slog.DiscardHandler))
		objects, err := w.read(resources(name, text))
		if err != nil {
			return
		}
		if len(objects) != 1 {
			t.Fatalf("one resource is read as %d", len(objects))
		}
		want(objects)
	})
}

func resources(name, text string) []policysync.Resource {
	return []policysync.Resource{{Name: name, Version: "1", Manifest: text}}
}
