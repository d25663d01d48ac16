// Command quality judges the WAF's profiles by what they find and by what they
// stop in vain: requests of a corpus kept beside the repository, attack payloads
// put into every place of a request, and harmless traffic of the kinds that
// rule sets are known to mistake.
//
// It is no test: its figures are read by people. Nobody imports it.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	profile := flag.String("profile", "balanced", "the profile to judge, beside crs")
	only := flag.String("only", "", "one part: corpus, cross, benign, positives, cost")
	explain := flag.String("explain", "", "say which rules match in this raw request, with raw values")
	list := flag.String("list", "", "name the corpus requests of folders 00-1f judged wrongly (misses, alarms), or harmless ones that scored (near)")
	lists := flag.String("lists", "", "judge the lines of the files in this folder, in every place of a request, and nothing else")
	show := flag.String("show", "", "with -lists: print the lines that passed, or those stopped")
	flag.Parse()
	if *lists != "" {
		exit(listsPart(*profile, *lists, *show))
		return
	}
	exit(run(*profile, *only, *explain, *list))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "waf-quality:", err)
		os.Exit(1)
	}
}

func run(profile, only, explain, list string) error {
	if explain != "" {
		return explainFile(profile, explain)
	}
	if list != "" {
		return listWrong(profile, list)
	}
	parts := []struct {
		name string
		run  func(profile string) error
	}{
		{"corpus", corpusPart},
		{"cross", crossPart},
		{"benign", benignPart},
		{"positives", positivesPart},
		{"cost", costPart},
	}
	for _, p := range parts {
		if only != "" && only != p.name {
			continue
		}
		if err := p.run(profile); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
