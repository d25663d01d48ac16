package hubble

import (
	"context"
	"time"

	"github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabion-io/gabion/controlplane/store"
)

// page is how many flows are read at once. Nothing else is held of an answer,
// however long it is: what a slow reader has not taken is not read yet.
const page = 500

// query is what a caller asks for.
type query struct {
	passes       test
	since, until time.Time // inclusive; of a flow's last packet, which is the time shown
	number       uint64    // 0: all
	first        bool      // number counts from the oldest
	follow       bool
	mask         *mask // nil: all fields
}

// reader answers one query.
type reader struct {
	*Server
	query
	stream grpc.ServerStreamingServer[observer.GetFlowsResponse]
}

// GetFlows lists flows, the oldest first, and goes on with those that come.
func (s *Server) GetFlows(in *observer.GetFlowsRequest, stream grpc.ServerStreamingServer[observer.GetFlowsResponse]) error {
	q, err := parse(in)
	if err != nil {
		return err
	}
	select {
	case s.readers <- struct{}{}:
		defer func() { <-s.readers }()
	default:
		return status.Errorf(codes.ResourceExhausted, "%d readers of flows are served already; try again when one has ended", maxReaders)
	}
	err = reader{s, q, stream}.run(stream.Context())
	if _, told := status.FromError(err); told {
		return err
	}
	return internal(stream.Context(), err)
}

// parse refuses what would not be honoured.
func parse(in *observer.GetFlowsRequest) (q query, err error) {
	q = query{number: in.GetNumber(), first: in.GetFirst(), follow: in.GetFollow()}
	switch {
	case len(in.ProtoReflect().GetUnknown()) > 0, in.GetExtensions() != nil, len(in.GetExperimental().ProtoReflect().GetUnknown()) > 0:
		return q, invalid("the request has fields that gabion does not know")
	case q.first && q.follow:
		return q, invalid("first and follow do not go together")
	case q.follow && in.GetUntil() != nil:
		return q, invalid("until and follow do not go together")
	}
	for _, t := range []*timestamppb.Timestamp{in.GetSince(), in.GetUntil()} {
		if err := t.CheckValid(); t != nil && err != nil {
			return q, invalid("since, until: %v", err)
		}
	}
	if t := in.GetSince(); t != nil {
		q.since = t.AsTime()
	}
	if t := in.GetUntil(); t != nil {
		q.until = t.AsTime()
	}
	fields := in.GetFieldMask()
	//lint:ignore SA1019 where `hubble` puts it
	if old := in.GetExperimental().GetFieldMask(); fields == nil {
		fields = old
	}
	if q.mask, err = newMask(fields); err != nil {
		return q, err
	}
	q.passes, err = passing(in.GetWhitelist(), in.GetBlacklist())
	return q, err
}

// narrowed lets the store leave out what surely does not match.
func (q *query) narrowed() store.FlowQuery {
	n := store.FlowQuery{Since: q.since, Limit: page}
	if !q.until.IsZero() {
		n.Until = q.until.Add(1)
	}
	return n
}

func (r reader) wants(v *seen) bool {
	return (r.since.IsZero() || !v.Last.Before(r.since)) && (r.until.IsZero() || !v.Last.After(r.until)) && r.passes(v)
}

func (r reader) run(ctx context.Context) error {
	_, now, err := r.o.Store.FlowsSince(ctx, -1, 0)
	if err != nil {
		return err
	}
	from, err := r.start(ctx, now)
	if err != nil {
		return err
	}
	if err := r.list(ctx, from, now); err != nil || !r.follow {
		return err
	}
	return r.wait(ctx, now)
}

// start finds after which flow to begin. The newest are counted backwards before
// they are sent forwards, so that none of them is held.
func (r reader) start(ctx context.Context, now int64) (int64, error) {
	switch {
	case r.number == 0 && r.follow && r.since.IsZero():
		return now, nil
	case r.number == 0 || r.first:
		return 0, nil
	}
	n := r.narrowed()
	n.Before = now + 1
	for found := uint64(0); ; {
		list, err := r.o.Store.Flows(ctx, n)
		if err != nil {
			return 0, err
		}
		for i := range list {
			if r.wants(r.look(&list[i])) {
				if found++; found == r.number {
					return list[i].Cursor - 1, nil
				}
			}
		}
		if len(list) < page {
			return 0, nil
		}
		n.Before = list[len(list)-1].Cursor
	}
}

// list sends what arrived after one flow and up to another.
func (r reader) list(ctx context.Context, from, to int64) error {
	for sent := uint64(0); from < to; {
		list, err := r.o.Store.FlowsFrom(ctx, from, r.narrowed())
		if err != nil {
			return err
		}
		for i := range list {
			v := r.look(&list[i])
			switch {
			case v.Cursor > to:
				return nil
			case !r.wants(v):
				continue
			}
			if err := r.send(v); err != nil {
				return err
			}
			if sent++; r.first && sent == r.number {
				return nil
			}
		}
		if len(list) < page {
			return nil
		}
		from = list[len(list)-1].Cursor
	}
	return nil
}

// wait sends what comes until the caller goes away or its token is revoked.
func (r reader) wait(ctx context.Context, cursor int64) error {
	again := time.NewTicker(r.o.Again)
	defer again.Stop()
	for {
		changed := r.o.Store.FlowsChanged() // before reading, or an arrival in between is missed
		list, next, err := r.o.Store.FlowsSince(ctx, cursor, page)
		if err != nil {
			return err
		}
		for i := range list {
			if v := r.look(&list[i]); r.wants(v) {
				if err := r.send(v); err != nil {
					return err
				}
			}
		}
		if cursor = next; len(list) == page {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-again.C:
			if err := r.admit(ctx); status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.PermissionDenied {
				return err
			}
		}
	}
}

func (r reader) send(v *seen) error {
	m := v.message()
	out := &observer.GetFlowsResponse{NodeName: m.NodeName, Time: m.Time, ResponseTypes: &observer.GetFlowsResponse_Flow{Flow: m}}
	r.mask.apply(m)
	return r.stream.Send(out)
}
