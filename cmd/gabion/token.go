package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
)

func newToken(a *app) *cobra.Command {
	return group("token", "Make, list and revoke access tokens",
		`A token has a name, which the audit log shows, and a role: a viewer reads, an
editor also changes resources and decides proposals, an admin also handles tokens.
A join token is another thing: a host's agent shows it once, to get a certificate.`,
		newTokenCreate(a), newTokenList(a), newTokenRevoke(a), newTokenJoin(a))
}

func newTokenCreate(a *app) *cobra.Command {
	var role, file string
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token; its secret is shown once",
		Example: `  gabion token create ci --role editor --out ci.token
  gabion get all --token-file ci.token`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if !slices.Contains([]string{"viewer", "editor", "admin"}, role) {
				return usageOf(c, fmt.Errorf("--role %q: it is one of viewer, editor, admin", role))
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var out *os.File
			if file != "" { // before the token exists, so that none is lost
				if out, err = os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
					return fmt.Errorf("write the token: %w", err)
				}
				defer out.Close()
			}
			var t server.NewToken
			body := server.TokenRequest{Name: given[0], Role: store.Role(role)}
			if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/tokens", body: body}, &t); err != nil {
				if out != nil {
					_ = os.Remove(file)
				}
				return err
			}
			return a.showNewToken(t, out)
		},
	}
	c.Flags().StringVar(&role, "role", "viewer", "viewer, editor or admin")
	c.Flags().StringVar(&file, "out", "", "write the secret into this new file, readable by you only")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"viewer", "editor", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	return a.outputs(a.remote(c), "text", "json")
}

func (a *app) showNewToken(t server.NewToken, out *os.File) error {
	if out != nil {
		if _, err := fmt.Fprintln(out, t.Secret); err != nil {
			return fmt.Errorf("write the token: %w", err)
		}
		t.Secret = ""
	}
	switch {
	case a.output == "json":
		return writeJSON(a.out, t)
	case out != nil:
		fmt.Fprintf(a.out, "token %s (%s) written to %s\n", t.Name, t.Role, out.Name())
	default:
		fmt.Fprintln(a.out, t.Secret)
		fmt.Fprintf(a.err, "this is token %s (%s); it is not shown again\n", t.Name, t.Role)
	}
	return nil
}

func newTokenList(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List tokens, revoked ones too",
		Example: "  gabion token list",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var list server.TokenList
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/tokens"}, &list); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, list)
			}
			t := newTable(a.out, "NAME", "ROLE", "ID", "CREATED", "LAST USED", "REVOKED")
			for _, k := range list.Items {
				t.row(k.Name, string(k.Role), k.ID, ago(a.now(), k.Created), ago(a.now(), k.LastUsed), ago(a.now(), k.Revoked))
			}
			return t.flush()
		},
	}
	return a.outputs(a.remote(c), "table", "json")
}

func newTokenRevoke(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "revoke NAME|ID",
		Short:   "Revoke a token at once",
		Example: "  gabion token revoke ci",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			if err := cl.call(c.Context(), request{method: http.MethodDelete, path: "/api/v1/tokens/" + url.PathEscape(given[0])}, nil); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, map[string]string{"revoked": given[0]})
			}
			fmt.Fprintf(a.out, "token %s revoked\n", given[0])
			return nil
		},
	}
	return a.outputs(a.remote(c), "text", "json")
}
