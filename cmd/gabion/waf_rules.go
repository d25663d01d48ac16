package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func newRules(a *app) *cobra.Command {
	var tag, search, profile string
	var paranoia int
	c := &cobra.Command{
		Use:   "rules [ID]",
		Short: "List the WAF's rules, or explain one",
		Long:  "List the rules of a profile, or explain one. It needs no control plane.",
		Example: `  gabion waf rules
  gabion waf rules 942100
  gabion waf rules --search "sql injection" --paranoia 1`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			all, err := wafrules.Catalogue(profile)
			if err != nil {
				return err
			}
			if len(given) == 1 {
				return a.showRule(c, profile, all, given[0])
			}
			return a.listRules(server.SelectRules(all, tag, paranoia, search))
		},
	}
	c.Flags().StringVar(&profile, "profile", wafrules.ProfileBalanced, "the rules as this profile has them: balanced, strict or crs")
	c.Flags().StringVar(&tag, "tag", "", "only rules with this tag: attack-sqli")
	c.Flags().StringVar(&search, "search", "", "only rules with this text in message, file or id")
	c.Flags().IntVar(&paranoia, "paranoia", 0, "only rules active at this paranoia level, 1 to 4 (default all)")
	return a.outputs(c, "table", "json")
}

func (a *app) listRules(rules []wafrules.Rule) error {
	if a.output == "json" {
		return writeJSON(a.out, server.RuleList{Items: rules})
	}
	t := newTable(a.out, "RULE", "PARANOIA", "PHASE", "SEVERITY", "SCORE", "MESSAGE")
	for _, r := range rules {
		t.row(strconv.Itoa(r.ID), number(r.Paranoia), strconv.Itoa(r.Phase), r.Severity, number(r.Score), cut(r.Message, 80))
	}
	return t.flush()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (a *app) showRule(c *cobra.Command, profile string, all []wafrules.Rule, word string) error {
	id, err := strconv.Atoi(word)
	if err != nil {
		return usageOf(c, fmt.Errorf("%q is not the id of a rule", word))
	}
	i := slices.IndexFunc(all, func(r wafrules.Rule) bool { return r.ID == id })
	if why := wafrules.LeftOut(profile, id); i < 0 && why != "" {
		return withHint(fmt.Errorf("rule %d is not in the profile %s: %s", id, profile, why), "'gabion waf rules %d --profile crs' explains it", id)
	}
	if i < 0 {
		return withHint(fmt.Errorf("rule %d is not in the catalogue", id), "'gabion waf rules --search TEXT' finds rules; a rule of your own is in the policy's spec.rules")
	}
	r := all[i]
	if a.output == "json" {
		return writeJSON(a.out, r)
	}
	fmt.Fprintf(a.out, "%s  %s\n", a.paint(bold, fmt.Sprintf("Rule %d", r.ID)), r.Message)
	fmt.Fprintf(a.out, "  written in     %s:%d\n", r.File, r.Line)
	if r.Paranoia > 0 {
		fmt.Fprintf(a.out, "  active         from paranoia level %d, in phase %d (%s)\n", r.Paranoia, r.Phase, phaseText(r.Phase))
	} else {
		fmt.Fprintf(a.out, "  active         always, in phase %d (%s)\n", r.Phase, phaseText(r.Phase))
	}
	if r.Severity != "" {
		each := "a match adds"
		if r.Once {
			each = "all its matches together add"
		}
		fmt.Fprintf(a.out, "  severity       %s, %s %d to the score\n", r.Severity, each, r.Score)
	}
	if why := wafrules.Edited(profile, r.ID); why != "" {
		fmt.Fprintf(a.out, "  changed by     profile %s: %s\n", profile, strings.TrimSpace(why))
	}
	a.showCondition(r, "looks at")
	for _, link := range r.Chain {
		a.showCondition(link, "and at")
	}
	if len(r.Tags) > 0 {
		fmt.Fprintf(a.out, "  tags           %s\n", strings.Join(r.Tags, ", "))
	}
	fmt.Fprintf(a.out, "\nExclude it from one parameter, in a WAFPolicy:\n  exclusions:\n  - rule: %d\n    target: ARGS:name\n    path: /where/it/misfires\n    reason: why\n", r.ID)
	return nil
}

func (a *app) showCondition(r wafrules.Rule, label string) {
	fmt.Fprintf(a.out, "  %-14s %s\n", label, strings.Join(r.Variables, ", "))
	if len(r.Transformations) > 0 {
		fmt.Fprintf(a.out, "  %-14s %s\n", "after", strings.Join(r.Transformations, ", "))
	}
	if r.Operator != "" {
		fmt.Fprintf(a.out, "  %-14s %s\n", "for", printable(cut(r.Operator, 400)))
	}
}

func phaseText(phase int) string {
	names := []string{"", "request headers", "request body", "response headers", "response body", "logging"}
	if phase < 1 || phase >= len(names) {
		return "unknown"
	}
	return names[phase]
}
