package ingest

import (
	"net/http"
	"strings"

	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// What Envoy's RBAC leaves in an entry (its docs: the HTTP filter's dynamic
// metadata, and response code details).
const (
	rbacNamespace = "envoy.filters.http.rbac"
	rbacAudited   = "shadow_engine_result"
	rbacDenied    = "rbac_access_denied"
)

// segmentationEngine is the engine of events that segmentation policies cause.
const segmentationEngine = "segmentation"

// accessEvent is what segmentation policies said against a request; nil when
// nothing. Its id is the exchange's: there is no filter that would have given one.
func accessEvent(e *data.HTTPAccessLogEntry, x *exchange.Exchange) *filters.Event {
	out := &filters.Event{ID: x.ID, Engine: segmentationEngine, WouldBe: http.StatusForbidden}
	audited := e.GetCommonProperties().GetMetadata().GetFilterMetadata()[rbacNamespace].GetFields()[rbacAudited].GetStringValue()
	switch {
	case strings.HasPrefix(e.GetResponse().GetResponseCodeDetails(), rbacDenied):
		out.Mode, out.Decision, out.Reason = filters.ModeBlock, filters.Denied, "no segmentation policy allows the request"
	case audited == "denied":
		out.Mode, out.Decision, out.Reason = filters.ModeDetect, filters.Detect, "enforced, the audited segmentation policies would not allow the request"
	default:
		return nil
	}
	return out
}

// joined is one event of what both the filter and the policies found.
func joined(filter, access *filters.Event) *filters.Event {
	switch {
	case filter == nil:
		return access
	case access == nil:
		return filter
	case filter.Reason == "":
		filter.Reason = access.Reason
	default:
		filter.Reason += "; " + access.Reason
	}
	if filter.Decision == filters.Allow {
		filter.Decision, filter.WouldBe = access.Decision, access.WouldBe
	}
	return filter
}
