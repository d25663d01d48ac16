package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// listsPart puts every line of the files in a folder into every place of a
// request and says what share is stopped, by place and by file: of attacks that
// somebody else has collected, or of harmless texts. show is "passed" or
// "stopped" for the lines themselves, as the query has them.
func listsPart(profile, folder, show string) error {
	lines, err := readLists(folder)
	if err != nil {
		return err
	}
	all := placed(lines)
	verdicts, err := judgeTrials(all, []string{profile})
	if err != nil {
		return err
	}
	printTrials(all, []string{profile}, verdicts, []group{
		{"lists, by place", func(t trial) (string, bool) { return t.place, true }},
		{"lists, in the query, by file", func(t trial) (string, bool) { return t.family, t.place == "query" }},
		{"lists, by file", func(t trial) (string, bool) { return t.family, true }},
	})
	for i, t := range all {
		passes := outcomeOf(verdicts[0][i]) == passed
		if t.place == "query" && (show == "passed" && passes || show == "stopped" && !passes) {
			fmt.Printf("%s %v %s\n", t.family, verdicts[0][i].Rules, t.text[:min(len(t.text), 300)])
		}
	}
	return nil
}

func readLists(folder string) (out []payload, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read payloads: %w", err)
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if line = strings.TrimRight(line, "\r"); line != "" {
				out = append(out, payload{filepath.Base(f), line})
			}
		}
	}
	return out, nil
}
