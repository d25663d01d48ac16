package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/controlplane/store"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// RuleList is a part of the rule catalogue, by id.
type RuleList struct {
	Items []wafrules.Rule `json:"items"`
}

func (a *api) ruleOperations() {
	route(a, operation{id: "list-rules", method: http.MethodGet, path: "/rules", tag: "rules", role: store.RoleViewer,
		summary: "List the rules of the catalogue"}, a.listRules)
	route(a, operation{id: "get-rule", method: http.MethodGet, path: "/rules/{id}", tag: "rules", role: store.RoleViewer,
		summary: "Explain one rule"}, a.getRule)
}

type rulesInput struct {
	Tag      string `query:"tag" maxLength:"128"`
	Paranoia int    `query:"paranoia" minimum:"0" maximum:"4" doc:"rules active at this level; 0: all"`
	Search   string `query:"q" maxLength:"256" doc:"text in the message or id"`
}

func (a *api) listRules(_ context.Context, in *rulesInput) (*bodyOf[RuleList], error) {
	all, err := wafrules.Catalogue(wafrules.ProfileBalanced)
	if err != nil {
		return nil, err
	}
	return &bodyOf[RuleList]{RuleList{orEmpty(SelectRules(all, in.Tag, in.Paranoia, in.Search))}}, nil
}

// SelectRules narrows the catalogue; zero values select all.
func SelectRules(all []wafrules.Rule, tag string, paranoia int, search string) (some []wafrules.Rule) {
	search = strings.ToLower(search)
	for _, r := range all {
		text := strings.ToLower(fmt.Sprintf("%d %s %s", r.ID, r.Message, r.File))
		if (tag == "" || slices.Contains(r.Tags, tag)) &&
			(paranoia == 0 || r.Paranoia <= paranoia) &&
			(search == "" || strings.Contains(text, search)) {
			some = append(some, r)
		}
	}
	return some
}

type ruleInput struct {
	ID int `path:"id" minimum:"1"`
}

func (a *api) getRule(_ context.Context, in *ruleInput) (*bodyOf[wafrules.Rule], error) {
	all, err := wafrules.Catalogue(wafrules.ProfileBalanced)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(r wafrules.Rule) bool { return r.ID == in.ID })
	if i < 0 {
		return nil, fmt.Errorf("rule %d is not in the catalogue: %w", in.ID, ErrNotFound)
	}
	return &bodyOf[wafrules.Rule]{all[i]}, nil
}
