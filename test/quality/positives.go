package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// lostTable says which positive tests of the rule set at paranoia level 1 a
// profile may let pass, and why: by rule ("942290"), or by test ("942290-3").
//
//go:embed lost.txt
var lostTable string

// lostReasons reads the table.
func lostReasons() (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.SplitSeq(lostTable, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		ids, reason, ok := strings.Cut(line, ": ")
		if !ok || reason == "" {
			return nil, fmt.Errorf("lost.txt: %q has no reason", line)
		}
		for id := range strings.FieldsSeq(ids) {
			out[id] = reason
		}
	}
	return out, nil
}

// lost gives the tests that the core rule set denies and the profile lets pass,
// and how many were compared.
func lost(profile string) (ids []string, of int, err error) {
	cases, err := regression.Load()
	if err != nil {
		return nil, 0, err
	}
	rules, err := wafrules.Catalogue(wafrules.ProfileCRS)
	if err != nil {
		return nil, 0, err
	}
	level := map[int]int{}
	for _, r := range rules {
		level[r.ID] = r.Paranoia
	}
	var names []string
	var raws [][]byte
	for i := range cases {
		c := &cases[i]
		if !c.Attack() || level[c.Rule] != 1 {
			continue
		}
		for _, s := range c.Stages {
			names = append(names, c.ID)
			raws = append(raws, s.Request.Bytes())
		}
	}
	var stopped [2][]bool
	for k, p := range []string{wafrules.ProfileCRS, profile} {
		j, err := newJudge(p)
		if err != nil {
			return nil, 0, err
		}
		for _, v := range judgeAll(j, raws) {
			stopped[k] = append(stopped[k], outcomeOf(v) != passed)
		}
		j.Close()
	}
	for i, name := range names {
		if !stopped[0][i] {
			continue
		}
		of++
		if !stopped[1][i] && !slices.Contains(ids, name) {
			ids = append(ids, name)
		}
	}
	return ids, of, nil
}

func positivesPart(profile string) error {
	ids, of, err := lost(profile)
	if err != nil {
		return err
	}
	reasons, err := lostReasons()
	if err != nil {
		return err
	}
	byRule := map[int]int{}
	var unexplained []string
	for _, id := range ids {
		rule, _, _ := strings.Cut(id, "-")
		n, _ := strconv.Atoi(rule)
		byRule[n]++
		if reasons[id] == "" && reasons[rule] == "" {
			unexplained = append(unexplained, id)
		}
	}
	fmt.Printf("positive tests of paranoia level 1: %d of %d that crs denies pass with %s; by rule: %s\n", len(ids), of, profile, top(byRule, 100))
	fmt.Printf("without a reason in lost.txt: %v\n\n", unexplained)
	return nil
}
