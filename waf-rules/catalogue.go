package wafrules

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Catalogue lists the rules of a profile and the engine's base rules, by id, each
// with the points it adds there. The rules' own slices are shared: not to be
// changed.
func Catalogue(profile string) ([]Rule, error) {
	p, err := LoadProfile(profile)
	if err != nil {
		return nil, err
	}
	rules, err := p.catalogue()
	return slices.Clone(rules), err
}

func readCatalogue(files fs.FS) ([]Rule, error) {
	names, err := ruleFiles(files)
	if err != nil {
		return nil, err
	}
	out := rulesOf("base", baseDirectives)
	for _, name := range names {
		if !strings.HasSuffix(name, ".conf") {
			continue
		}
		text, err := fs.ReadFile(files, path.Join(crsDir, name))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, rulesOf(name, string(text))...)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

// rulesOf reads the rules of one file; chained rules hang below their first.
func rulesOf(file, text string) []Rule {
	directives, _ := parseSecLang(text)
	var out []Rule
	chained := false
	for _, d := range directives {
		if d.name != "secrule" && d.name != "secaction" {
			continue
		}
		parsed, err := d.rule()
		if err != nil {
			continue
		}
		r := describe(file, d, parsed)
		_, more := parsed.get("chain")
		if chained {
			last := &out[len(out)-1]
			last.Chain = append(last.Chain, r)
			last.Score = max(last.Score, r.Score)
			last.Outbound = last.Outbound || r.Outbound
			last.Once = last.Once || r.Once
		} else {
			out = append(out, r)
		}
		chained = more
	}
	return out
}

func describe(file string, d directive, parsed secRule) Rule {
	r := Rule{File: file, Line: d.line, Phase: 2, Operator: parsed.operator}
	if d.name == "secrule" && !strings.HasPrefix(strings.TrimPrefix(r.Operator, "!"), "@") {
		r.Operator = "@rx " + r.Operator
	}
	for _, t := range parseTargets(parsed.variables, 0) {
		r.Variables = append(r.Variables, t.String())
	}
	for _, a := range parsed.actions {
		switch a.key {
		case "id":
			r.ID, _ = strconv.Atoi(a.value)
		case "phase":
			r.Phase = phaseNumber(a.value)
		case "status":
			r.Status, _ = strconv.Atoi(a.value)
		case "severity":
			r.Severity = severityName(a.value)
		case "msg":
			r.Message = a.value
		case "tag":
			r.Tags = append(r.Tags, a.value)
			if level, ok := strings.CutPrefix(a.value, "paranoia-level/"); ok {
				r.Paranoia, _ = strconv.Atoi(level)
			}
		case "t":
			if !strings.EqualFold(a.value, "none") {
				r.Transformations = append(r.Transformations, a.value)
			}
		case "setvar":
			if points, outbound := scorePoints(a.value); points > 0 {
				r.Score, r.Outbound = points, outbound
			}
			if points, ok := oncePoints(a.value); ok {
				r.Score, r.Once = points, true
			}
		}
	}
	return r
}

// scorePoints reads what a setvar adds to an anomaly score: CRS writes
// tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}, custom rules may
// write the number.
func scorePoints(setvar string) (points int, outbound bool) {
	name, value, ok := strings.Cut(setvar, "=+")
	name = strings.ToLower(name)
	outbound = strings.HasPrefix(name, "tx.outbound_anomaly_score_pl")
	if !ok || !outbound && !strings.HasPrefix(name, "tx.inbound_anomaly_score_pl") {
		return 0, false
	}
	switch strings.ToLower(value) {
	case "%{tx.critical_anomaly_score}":
		return 5, outbound
	case "%{tx.error_anomaly_score}":
		return 4, outbound
	case "%{tx.warning_anomaly_score}":
		return 3, outbound
	case "%{tx.notice_anomaly_score}":
		return 2, outbound
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, outbound
	}
	return n, outbound
}

// oncePoints reads what a rule that a profile reweights is worth.
func oncePoints(setvar string) (points int, ok bool) {
	name, value, _ := strings.Cut(setvar, "=")
	if !strings.HasPrefix(name, "tx.once_") {
		return 0, false
	}
	n, err := strconv.Atoi(value)
	return n, err == nil
}

func phaseNumber(s string) int {
	switch strings.ToLower(s) {
	case "request":
		return 2
	case "response":
		return 4
	case "logging":
		return 5
	}
	n, _ := strconv.Atoi(s)
	return n
}

func severityName(s string) string {
	names := []string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < len(names) {
		return names[n]
	}
	return strings.ToLower(s)
}

// RuleText reads the rules of a text as the catalogue shows them: for custom
// rules, whose ids are 1–99,999.
func RuleText(file, text string) []Rule { return rulesOf(file, text) }
