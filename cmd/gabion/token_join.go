package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
)

func newTokenJoin(a *app) *cobra.Command {
	var host string
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "join",
		Short: "Make a token by which one host's agent joins, once",
		Long: `Make a token by which the agent of one host gets its certificate. It is good
once, for that host, for a while. It also holds the fingerprint of the control
plane's certificate authority: the agent sends nothing to anybody else.`,
		Example: `  gabion token join --host node-1
  gabion token join --host node-1 --ttl 10m -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if host == "" {
				return usageOf(c, fmt.Errorf("--host: name the host that is to join"))
			}
			if ttl < time.Second || ttl > store.MaxJoinTTL {
				return usageOf(c, fmt.Errorf("--ttl %s: it is between 1s and %s", ttl, store.MaxJoinTTL))
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var t server.NewJoinToken
			body := server.JoinRequest{Host: host, TTLSeconds: int64(ttl / time.Second)}
			if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/join-tokens", body: body}, &t); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, t)
			}
			fmt.Fprintln(a.out, t.Token)
			fmt.Fprintf(a.err, "good once, for host %s, until %s; it is not shown again\nOn %s, as root, with the address for agents of 'gabion serve':\n"+
				"  GABION_JOIN=TOKEN gabion-agent --server ADDRESS:PORT --host %s --state /var/lib/gabion-agent\n",
				t.Host, t.Expires.Local().Format(time.DateTime), t.Host, t.Host)
			return nil
		},
	}
	c.Flags().StringVar(&host, "host", "", "name of the host, as workloads have it in spec.node")
	c.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token waits for its host")
	return a.outputs(a.remote(c), "text", "json")
}
