package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// startNginx runs Debian's nginx with libmodsecurity on the same rule set. Its
// parser (3.0.9) wants a blank line after every directive.
func startNginx(ctx context.Context, upstream string) (contender, error) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return contender{}, errors.New("nginx is not installed: run `scripts/setup bench`")
	}
	dir, err := os.MkdirTemp("", "gabion-bench-")
	if err != nil {
		return contender{}, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // its workers are another user
		return contender{}, err
	}
	if err := writeModSecurity(ctx, dir); err != nil {
		return contender{}, err
	}
	port, err := freePort()
	if err != nil {
		return contender{}, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := strings.NewReplacer("DIR", dir, "PORT", port, "UPSTREAM", strings.TrimPrefix(upstream, "http://")).Replace(nginxConf)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return contender{}, err
	}
	cmd := exec.Command(nginx, "-c", conf, "-p", dir)
	return spawn("nginx + libmodsecurity", "http://127.0.0.1:"+port, dir, cmd, descendants)
}

const nginxConf = `
load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;
worker_processes 2;
daemon off;
pid DIR/pid;
error_log DIR/error.log crit;
events {}
http {
  access_log off;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  upstream up { server UPSTREAM; keepalive 16; }
  server {
    listen 127.0.0.1:PORT;
    modsecurity on;
    modsecurity_rules_file DIR/main.conf;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; }
  }
}
`

// modSecurityBase is the same base configuration the filter uses, in
// libmodsecurity's words.
const modSecurityBase = `SecRuleEngine On

SecRequestBodyAccess On

SecResponseBodyAccess Off

SecRequestBodyLimit 1048576

SecRequestBodyNoFilesLimit 1048576

SecAuditEngine Off

SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"

SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,status:400,msg:'Failed to parse request body.'"

`

// writeModSecurity writes main.conf: the base, then the rule set's own setup
// and rules from the module the filter is built with.
func writeModSecurity(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/corazawaf/coraza-coreruleset/v4").Output()
	if err != nil {
		return fmt.Errorf("find the rule set: %w", err)
	}
	rules := filepath.Join(strings.TrimSpace(string(out)), "rules")
	setup, err := os.ReadFile(filepath.Join(rules, "@crs-setup.conf.example"))
	if err != nil {
		return err
	}
	main := modSecurityBase + spaced(string(setup))
	crs := filepath.Join(rules, "@owasp_crs")
	entries, err := os.ReadDir(crs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(crs, e.Name()))
		if err != nil {
			return err
		}
		to := filepath.Join(dir, e.Name())
		text := string(b)
		if strings.HasSuffix(e.Name(), ".conf") {
			text = spaced(text)
			main += "Include " + to + "\n\n"
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "main.conf"), []byte(main), 0o644)
}

// spaced puts a blank line after every directive, those of several lines
// included.
func spaced(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(line)
		body := strings.TrimSpace(line)
		if body != "" && !strings.HasPrefix(body, "#") && !strings.HasSuffix(body, `\`) {
			b.WriteString("\n")
		}
	}
	return b.String()
}
