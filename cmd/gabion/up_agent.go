package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/identity/enrol"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/internal/supervise"
)

// upAgent is the agent of `gabion up`: it runs when it may, enforces on the
// interfaces that Workload resources name, and leaves nothing in the kernel when
// everything ends.
type upAgent struct {
	path    string // of the program; empty: it does not run
	server  string // unix:PATH
	host    string
	pins    string
	missing string // why it does not run, if somebody might expect it to
}

// findAgent says whether the agent may run here. Without root nobody expects it.
func (o upOptions) findAgent(ctx context.Context, l layout) *upAgent {
	host := strings.ToLower(hostname())
	none := func(why string) *upAgent { return &upAgent{host: host, missing: why} }
	if !o.agent || os.Geteuid() != 0 {
		return none("")
	}
	path, err := findAgentProgram()
	if err != nil {
		return none(err.Error())
	}
	if err := identity.CheckHost(host); err != nil {
		return none(err.Error())
	}
	probe, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(probe, path, "probe").CombinedOutput(); err != nil {
		return none(strings.TrimPrefix(strings.TrimSpace(string(out)), "gabion-agent: "))
	}
	// Pins of its own: two of these on one machine do not take each other over.
	sum := sha256.Sum256([]byte(l.dir))
	return &upAgent{path: path, server: "unix:" + l.agentSocket(), host: host, pins: "gabion-" + hex.EncodeToString(sum[:6])}
}

// findAgentProgram finds gabion-agent: beside the executable, else by the PATH.
func findAgentProgram() (string, error) {
	if exe, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(exe), "gabion-agent")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("gabion-agent")
	if err != nil {
		return "", errors.New("gabion-agent is not beside gabion, nor found by the PATH")
	}
	return path, nil
}

// start joins the agent to the control plane, which runs, and runs it.
func (u *upAgent) start(ctx context.Context, a *app, g *supervise.Group, o upOptions, l layout, level slog.Level) error {
	env := []string{"GABION_LOG=" + level.String()}
	holder, err := enrol.Open(enrol.Options{File: filepath.Join(l.agentState(), "identity.pem"), Host: u.host})
	if err != nil {
		return err
	}
	if holder.Joined() != nil { // never, or away for longer than a certificate lives
		here := *a
		here.server, here.state, here.tokenFile = "http://"+reachable(o.admin), l.dir, l.adminToken()
		cl, err := here.dial()
		if err != nil {
			return err
		}
		var t server.NewJoinToken
		body := server.JoinRequest{Host: u.host, TTLSeconds: 300}
		if err := cl.call(ctx, request{method: http.MethodPost, path: "/api/v1/join-tokens", body: body}, &t); err != nil {
			return fmt.Errorf("make the agent's join token: %w", err)
		}
		env = append(env, "GABION_JOIN="+t.Token)
	}
	return g.Start(ctx, supervise.Spec{
		Name: "agent", Command: u.path, Env: env,
		Args: []string{"--server", u.server, "--host", u.host, "--state", l.agentState(), "--pins", u.pins},
	})
}

// detach takes everything out of the kernel.
func (u *upAgent) detach(log *slog.Logger) {
	if u.path == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, u.path, "detach", "--pins", u.pins).CombinedOutput(); err != nil {
		log.Error("the agent's programs are still in the kernel; 'gabion agent detach' removes them", "error", err, "output", string(out))
	}
}

// line is the agent's in the banner; empty where nobody expects one.
func (u *upAgent) line() string {
	switch {
	case u.missing != "":
		return "  agent    not running: " + u.missing + "\n"
	case u.path == "":
		return ""
	}
	return "  agent    enforces on the interfaces that Workload resources name, host " + u.host + "\n"
}
