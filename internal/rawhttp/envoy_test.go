package rawhttp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
)

// echoConfig is gabion's listener as far as parsing is concerned, answering
// with what a filter is shown.
const echoConfig = `
admin: {address: {pipe: {path: %s}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %s}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: echo
          codec_type: HTTP1
          use_remote_address: true
          normalize_path: true
          merge_slashes: true
          generate_request_id: false
          http_protocol_options: {accept_http_10: true}
          upgrade_configs: [{upgrade_type: websocket}]
          http_filters:
          - name: lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  function envoy_on_request(handle)
                    local h = handle:headers()
                    local list = ""
                    for k, v in pairs(h) do
                      if k:sub(1, 1) ~= ":" and k:sub(1, 11) ~= "x-forwarded" and k:sub(1, 7) ~= "x-envoy" then
                        if list ~= "" then list = list .. "|" end
                        list = list .. k .. ": " .. v
                      end
                    end
                    local out = h:get(":method") .. " " .. (h:get(":authority") or "") .. " " .. h:get(":path")
                    local body = handle:body(true)
                    local text = ""
                    if body ~= nil and body:length() > 0 then text = body:getBytes(0, body:length()) end
                    out = out .. " [" .. text .. "]"
                    if list ~= "" then out = out .. " " .. list end
                    handle:respond({[":status"] = "299"}, out)
                  end
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: "/"}, direct_response: {status: 200}}]}]
`

// TestLikeEnvoy sends every case to the real Envoy and compares what its
// filters are shown.
func TestLikeEnvoy(t *testing.T) {
	envoy := envoybintest.Need(t)
	dir, err := os.MkdirTemp("", "rawhttp")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	config := fmt.Sprintf(echoConfig, filepath.Join(dir, "admin"), port)
	cmd := exec.Command(envoy, "--config-yaml", config, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		if time.Since(start) > 30*time.Second {
			t.Fatalf("Envoy does not listen: %s", log.String())
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, c := range cases() {
		if strings.HasPrefix(c.want, "CONNECT") {
			continue // the echo would wait for the end of the tunnel
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			if got := ask(address, c.raw); got != c.want {
				t.Errorf("%s: Envoy shows %.300q, want %.300q", c.name, got, c.want)
			}
		}()
	}
	wg.Wait()
}

func ask(address, raw string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(conn, raw) // Envoy may have answered and closed already
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	if res.StatusCode != 299 {
		return strconv.Itoa(res.StatusCode)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return strings.TrimRight(string(body), "\n")
}

// freeAddress asks the kernel for a port nobody uses.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
