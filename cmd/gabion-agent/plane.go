package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/identity/enrol"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/policysync"
)

// joinTime bounds the first contact.
const joinTime = 30 * time.Second

// identity gives this host's identity, and gets the first one by the token. Without
// a control plane there is none.
func (o *options) identity(ctx context.Context, log *slog.Logger) (*enrol.Holder, error) {
	if o.server == "" {
		return nil, nil
	}
	holder, err := enrol.Open(enrol.Options{File: filepath.Join(o.state, "identity.pem"), Host: o.host, Log: log})
	if err != nil {
		return nil, err
	}
	missing := holder.Joined()
	if o.join == "" && errors.Is(missing, enrol.ErrNotJoined) {
		return nil, missing
	}
	if o.join == "" {
		if missing != nil { // what is in force is kept in force all the same
			log.Error("this host must join again", "error", missing)
		}
		return holder, nil
	}
	token, err := identity.ParseToken(o.join)
	if err != nil {
		return nil, err
	}
	if missing == nil { // the token may well still stand in the command that starts this
		if !holder.Joins(token.Pin) {
			return nil, fmt.Errorf("this host has joined another control plane: remove %s to join the one of the token", filepath.Join(o.state, "identity.pem"))
		}
		return holder, nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	switch err := holder.Join(ctx, o.server, token); {
	case err != nil && errors.Is(missing, enrol.ErrNotJoined):
		return nil, err
	case err != nil:
		log.Error("this host could not join again; what is in force stays", "error", err)
		return holder, nil
	}
	log.Info("joined", "server", o.server, "host", o.host)
	return holder, nil
}

// followPlane enforces the last good set of the control plane, then follows it.
func followPlane(ctx context.Context, o *options, holder *enrol.Holder, w *wish, log *slog.Logger) error {
	client := policysync.New(policysync.Options{
		Host: o.host, File: filepath.Join(o.state, "policy.json"),
		Connect: func() (*grpc.ClientConn, error) {
			config, err := holder.TLS()
			if err != nil {
				return nil, err
			}
			return enrol.Dial(o.server, config, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}))
		},
		Renewed: holder.Renewed, Apply: w.apply, Confirm: o.prove, Left: datapath.Left(o.pins()), Log: log,
	})
	restored, err := client.Restore(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		log.Error("the policy of the last run is not used; the kernel keeps what it has until the control plane answers", "error", err)
	case restored:
		log.Info("the policy of the last run is in force")
	default:
		w.begin()
	}
	return client.Run(ctx)
}
