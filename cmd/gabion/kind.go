package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/internal/spelling"
)

// resolveKind accepts a kind in any case, its plural and its short forms.
func resolveKind(word string) (v1alpha1.KindInfo, error) {
	for _, k := range v1alpha1.Kinds() {
		if slices.ContainsFunc(kindWords(k), func(w string) bool { return strings.EqualFold(w, word) }) {
			return k, nil
		}
	}
	err := usageError{fmt.Errorf("there is no kind %q", word)}
	if near := nearestKind(word); near != "" {
		return v1alpha1.KindInfo{}, withHint(err, "did you mean %s?", near)
	}
	return v1alpha1.KindInfo{}, withHint(err, "the kinds are %s", strings.Join(kindNames(), ", "))
}

func kindWords(k v1alpha1.KindInfo) []string {
	return append([]string{k.Kind, k.Plural}, k.Short...)
}

func kindNames() (names []string) {
	for _, k := range v1alpha1.Kinds() {
		names = append(names, k.Kind)
	}
	return names
}

// nearestKind is the kind whose spelling is nearest, if any is near.
func nearestKind(word string) (near string) {
	word = strings.ToLower(word)
	best := max(2, len(word)/3) + 1
	for _, k := range v1alpha1.Kinds() {
		for _, w := range kindWords(k) {
			if d := spelling.Distance(word, strings.ToLower(w)); d < best && len(w) > 2 {
				best, near = d, k.Kind
			}
		}
	}
	return near
}

// named is a resource named on the command line.
type named struct {
	info      v1alpha1.KindInfo
	namespace string
	name      string
}

// key is the path of the resource in the API.
func (n named) path(more ...string) string {
	ns := n.namespace
	if n.info.Cluster {
		ns = "-"
	}
	parts := append([]string{"/api/v1/resources", n.info.Kind, ns, url.PathEscape(n.name)}, more...)
	return strings.Join(parts, "/")
}

// resolveName reads KIND NAME, where NAME may carry its namespace.
func resolveName(kind, name, namespace string) (named, error) {
	info, err := resolveKind(kind)
	if err != nil {
		return named{}, err
	}
	if ns, rest, ok := strings.Cut(name, "/"); ok {
		namespace, name = ns, rest
	}
	if name == "" || strings.Contains(name, "/") {
		return named{}, usageError{fmt.Errorf("%q is not the name of a resource", name)}
	}
	return named{info, namespace, name}, nil
}

// namespaced adds -n.
func namespaced(c *cobra.Command, into *string) *cobra.Command {
	c.Flags().StringVarP(into, "namespace", "n", v1alpha1.DefaultNamespace, "namespace of the resource")
	return c
}

// completeKinds offers kinds for the first argument.
func completeKinds(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return kindNames(), cobra.ShellCompDirectiveNoFileComp
}
