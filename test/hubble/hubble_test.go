package hubble

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
)

const resources = `---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {node: node-1, addresses: [10.9.1.2], interface: w1}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {node: node-1, addresses: [10.9.2.2], interface: w2}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart, namespace: shop}
spec:
  mode: enforce
  selector: {matchLabels: {app: cart}}
  ingress: [{from: [{selector: {matchLabels: {app: web}}}], ports: [{protocol: TCP, port: 80}]}]
`

// hubble is the command, with what it needs to ask.
type hubble struct {
	*world
	server []string
}

func (h hubble) command(args ...string) *exec.Cmd {
	h.Helper()
	return h.as("hubble", h.host, append(args, h.server...)...)
}

// observe is the flows that it lists.
func (h hubble) observe(args ...string) []*observer.GetFlowsResponse {
	h.Helper()
	return h.read(h.run(h.command(append([]string{"observe", "-o", "jsonpb"}, args...)...), ""))
}

func (h hubble) read(text string) (out []*observer.GetFlowsResponse) {
	h.Helper()
	for line := range strings.Lines(text) {
		m := &observer.GetFlowsResponse{}
		if err := protojson.Unmarshal([]byte(line), m); err != nil {
			h.Fatalf("%v: %s", err, line)
		}
		out = append(out, m)
	}
	return out
}

// traffic makes flows until those that pass and those that do not are both listed.
func (h hubble) traffic() {
	h.Helper()
	h.start(h.as("listen", h.cart, "10.9.2.2:80", "10.9.2.2:81"), "listening")
	h.until("flows to both ports", func() error {
		err := h.as("dial", h.web, "10.9.2.2:80").Run()
		if h.as("dial", h.web, "10.9.2.2:81").Run() == nil {
			return errors.New("port 81 is open")
		}
		if n := len(h.observe("--verdict", "DROPPED", "--to-pod", "shop/cart")); err != nil || n == 0 {
			return fmt.Errorf("port 80: %v, %d flows were dropped", err, n)
		}
		if len(h.observe("--verdict", "FORWARDED", "--to-port", "80")) == 0 {
			return errors.New("no flow was forwarded")
		}
		return nil
	})
}

// What a real agent saw is listed by the real command, over TLS, by a token.
func TestHubbleListsFlows(t *testing.T) {
	w := newWorld(t)
	pins := t.TempDir()
	w.sh("mount", "-t", "bpf", "bpf", pins)
	t.Cleanup(func() { w.sh("umount", "-l", pins) })
	w.start(w.gabion("gabion", "serve", "--hubble", "127.0.0.1:4245"), "Ctrl-C stops it")
	token := strings.TrimSpace(w.run(w.gabion("gabion", "token", "join", "--host", "node-1"), ""))
	w.run(w.gabion("gabion", "apply", "-f", "-"), resources)
	t.Cleanup(func() { w.run(w.gabion("gabion-agent", "detach", "--bpffs", pins), "") })
	agent := w.gabion("gabion-agent", "--server", "127.0.0.1:9443", "--host", "node-1", "--state", t.TempDir(), "--bpffs", pins, "--window", "1s")
	agent.Env = append(agent.Env, "GABION_JOIN="+token)
	w.start(agent, "enforcing;")

	admin, err := os.ReadFile(filepath.Join(w.state, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	tls := []string{"--server", "tls://127.0.0.1:4245", "--tls-ca-cert-files", filepath.Join(w.state, "keys", "ca.pem"), "--basic-auth-username", "gabion"}
	h := hubble{w, append(tls, "--basic-auth-password", strings.TrimSpace(string(admin)))}
	h.traffic()
	h.flows()
	h.lists()
	h.refusals()

	stranger := hubble{w, append(tls, "--basic-auth-password", "gabion_guessed")}
	if out, err := stranger.command("observe").CombinedOutput(); err == nil || !strings.Contains(string(out), "unknown or revoked") {
		t.Errorf("with another token: %v: %s", err, out)
	}
}

// flows holds what is told of a flow, and that filters pick.
func (h hubble) flows() {
	h.Helper()
	dropped := h.observe("--verdict", "DROPPED", "--from-label", "app=web", "--to-ip", "10.9.2.0/24", "--protocol", "tcp", "--last", "1")
	if len(dropped) != 1 {
		h.Fatalf("%d dropped flows", len(dropped))
	}
	f := dropped[0].GetFlow()
	got := fmt.Sprint(dropped[0].GetNodeName(), " ", f.GetSource().GetNamespace(), "/", f.GetSource().GetPodName(), " ", f.GetSource().GetLabels(), " ", f.GetIP().GetSource(), " > ",
		f.GetDestination().GetPodName(), " ", f.GetIP().GetDestination(), ":", f.GetL4().GetTCP().GetDestinationPort(), " ", f.GetVerdict(), " ", f.GetDropReasonDesc(), " ",
		f.GetTrafficDirection(), " ", f.GetIngressDeniedBy()[0].GetName())
	if want := "node-1 shop/web [app=web] 10.9.1.2 > cart 10.9.2.2:81 DROPPED POLICY_DENIED INGRESS cart"; got != want {
		h.Errorf("the dropped flow is %s, want %s", got, want)
	}
	for _, args := range [][]string{
		{"--from-pod", "shop/cart"}, {"--namespace", "other"}, {"--to-port", "82"}, {"--protocol", "udp"}, {"--ip", "192.0.2.1"},
		{"--until", "1h"}, {"--not", "--namespace", "shop"}, {"--label", "app=db"}, {"--node-name", "node-2"}, {"-6"},
	} {
		if got := h.observe(args...); len(got) != 0 {
			h.Errorf("%v lists %v", args, got)
		}
	}
	for _, args := range [][]string{
		{"--port", "81"}, {"--namespace", "shop"}, {"--since", "1h"}, {"--first", "1"}, {"--pod", "shop/we"}, {"--type", "policy-verdict"}, {"--traffic-direction", "ingress"},
	} {
		if len(h.observe(args...)) == 0 {
			h.Errorf("%v lists nothing", args)
		}
	}
	if out := h.run(h.command("observe", "--print-policy-names", "--verdict", "DROPPED", "--last", "1"), ""); !strings.Contains(out, "shop/web") ||
		!strings.Contains(out, "shop/cart:81") || !strings.Contains(out, "policy-verdict:none INGRESS DENIED BY cart (SegmentationPolicy)") {
		h.Errorf("for a person: %s", out)
	}
	follow := h.command("observe", "-o", "jsonpb", "--follow", "--to-port", "80")
	h.start(follow, "") // it says nothing before a flow comes
	said := follow.Stdout.(*lines)
	h.until("a flow is followed", func() error {
		if err := h.as("dial", h.web, "10.9.2.2:80").Run(); err != nil {
			return err
		}
		if !strings.Contains(said.String(), `"destination_port":80`) {
			return errors.New("nothing yet")
		}
		return nil
	})
}

// lists holds what it says of the hosts and of the whole.
func (h hubble) lists() {
	h.Helper()
	if out := h.run(h.command("status"), ""); !strings.Contains(out, "Ok") || !strings.Contains(out, "Connected Nodes: 1/1") {
		h.Errorf("status: %s", out)
	}
	if out := h.run(h.command("list", "nodes", "-o", "wide"), ""); !strings.Contains(out, "node-1") || !strings.Contains(out, "Connected") || !strings.Contains(out, "Enabled") {
		h.Errorf("nodes: %s", out)
	}
	if out := h.run(h.command("list", "namespaces"), ""); !strings.Contains(out, "shop") {
		h.Errorf("namespaces: %s", out)
	}
}

// refusals holds that what gabion does not know is an error.
func (h hubble) refusals() {
	h.Helper()
	for flag, want := range map[string]string{
		"--http-method=GET": "hold no messages", "--from-fqdn=*.example.com": "kept by address", "--from-port=80": "--to-port", "--type=drop": "policy-verdict",
		"--to-service=shop/cart": "service", "--identity=world": "--label", "--verdict=TRACED": "no verdict of gabion's",
	} {
		if out, err := h.command("observe", flag).CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			h.Errorf("%s: %v: %s", flag, err, out)
		}
	}
	if out, err := h.command("observe", "agent-events").CombinedOutput(); err == nil || !strings.Contains(string(out), "Unimplemented") {
		h.Errorf("agent events: %v: %s", err, out)
	}
}
