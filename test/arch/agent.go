package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// agent is the program that runs as root on every host.
const agent = "cmd/gabion-agent"

// notInAgent is what it must not link: each is a large surface, and none is needed
// to enforce a policy.
var notInAgent = []string{
	"k8s.io/client-go", "sigs.k8s.io/controller-runtime", // a Kubernetes client
	"github.com/open-policy-agent",                                                      // a rule engine
	"github.com/google/osv-scalibr",                                                     // a scanner
	"github.com/danielgtaylor/huma", "net/http/pprof", "controlplane/server", "filters", // REST, HTTP
	"controlplane/console", "controlplane/store", "C",
}

// agentLinks holds it, over everything of ours that the agent is made of.
func agentLinks(t *tree) (bad []string) {
	byDir := map[string]*pkg{}
	for _, p := range t.packages {
		byDir[p.dir] = p
	}
	seen := map[string]bool{agent: true}
	for queue := []string{agent}; len(queue) > 0; queue = queue[1:] {
		p := byDir[queue[0]]
		if p == nil {
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			for _, i := range f.imports {
				to, ours := strings.CutPrefix(i, t.module+"/")
				if slices.ContainsFunc(notInAgent, func(no string) bool { return within(to, no) }) {
					bad = append(bad, fmt.Sprintf("%s imports %s: the agent, which runs as root, links it", path.Join(p.dir, f.name), to))
				}
				if ours && !seen[to] {
					seen[to] = true
					queue = append(queue, to)
				}
			}
		}
	}
	return bad
}
