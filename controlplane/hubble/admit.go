package hubble

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/gabion-io/gabion/controlplane/access"
)

// Admit lets a caller in by the secret of a token, or says why not with one of the
// errors of controlplane/access.
type Admit func(ctx context.Context, address, secret string) error

func (s *Server) admit(ctx context.Context) error {
	if s.o.Admit == nil {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	secret, ok := secretOf(md.Get("authorization"))
	if !ok {
		return status.Error(codes.Unauthenticated, "a token is needed: --basic-auth-username gabion --basic-auth-password TOKEN, over TLS")
	}
	address := ""
	if p, ok := peer.FromContext(ctx); ok {
		address = p.Addr.String()
	}
	err := s.o.Admit(ctx, address, secret)
	switch {
	case errors.Is(err, access.ErrThrottled):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, access.ErrToken):
		return status.Error(codes.Unauthenticated, err.Error())
	case errors.Is(err, access.ErrRole):
		return status.Error(codes.PermissionDenied, err.Error())
	case err != nil:
		return status.Error(codes.Internal, "the token could not be checked; the server's log has the details")
	}
	return nil
}

// secretOf takes a token out of the authorization metadata: as a bearer token, or,
// as `hubble` sends it, as the password of basic authentication (RFC 7617), whoever
// the user is.
func secretOf(values []string) (string, bool) {
	if len(values) != 1 || len(values[0]) > 2048 {
		return "", false
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	secret = strings.TrimSpace(secret)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
	case strings.EqualFold(scheme, "Basic"):
		raw, err := base64.StdEncoding.DecodeString(secret)
		if err != nil {
			return "", false
		}
		_, secret, _ = strings.Cut(string(raw), ":")
	default:
		return "", false
	}
	return secret, secret != ""
}
