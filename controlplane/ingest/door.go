package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

	"github.com/gabion-io/gabion/internal/exchange"
)

// door turns what proxies say into what is kept. Everything it returns is safe
// to store: this is the one place to review for that.
type door struct {
	key        []byte // of the client hash
	now        func() time.Time
	operations exchange.Door // what an exchange tells of operations
}

// entryReport says what else there is to know of an entry.
type entryReport struct {
	final    bool // the stream has ended; otherwise it reports on its way
	badEvent bool // it carried an event nobody could read
}

// entry is one access log entry. An exchange has the same ID in each of its
// reports, and when a proxy sends a report twice.
func (d door) entry(proxy, listener string, e *data.HTTPAccessLogEntry) (item, entryReport) {
	common, request, response := e.GetCommonProperties(), e.GetRequest(), e.GetResponse()
	client := address(common.GetDownstreamRemoteAddress())
	target := request.GetPath()
	if o := request.GetOriginalPath(); o != "" { // what the client asked for, before a rewrite
		target = o
	}
	route, rule := routeNames(common.GetRouteName())
	x := exchange.Exchange{
		ID:        exchangeID(proxy, listener, e),
		Time:      d.at(common.GetStartTime().AsTime()),
		Proxy:     proxy,
		Listener:  listener,
		Route:     route,
		RouteRule: rule,
		Cluster:   bounded(common.GetUpstreamCluster(), 256),
		Client:    d.clientHash(client),
		Method:    method(request.GetRequestMethod()),
		Host:      exchange.MaskHost(request.GetAuthority()),
		Path:      exchange.MaskPath(target),
		Params:    exchange.ParamNames(target),
		Proto:     proto(e.GetProtocolVersion()),
		Status:    int(response.GetResponseCode().GetValue()),
		BytesIn:   int64(request.GetRequestHeadersBytes() + request.GetRequestBodyBytes()),
		BytesOut:  int64(response.GetResponseHeadersBytes() + response.GetResponseBodyBytes()),
		Duration:  duration(common),
		Flags:     flags(common.GetResponseFlags()),
		Failure:   bounded(common.GetUpstreamTransportFailureReason(), 512),
	}
	it, report := item{exchange: x}, entryReport{final: final(common)}
	event, err := d.metadataEvent(common.GetMetadata())
	report.badEvent = err != nil
	if event = joined(event, accessEvent(e, &x)); event != nil {
		event.Proxy = proxy
		d.complete(event, &it.exchange, client)
		it.exchange.Event = event.ID
		it.event = event
	}
	return it, report
}

// final says whether a stream's last report this is. Envoys that do not say have
// one report a stream.
func final(c *data.AccessLogCommon) bool {
	switch c.GetAccessLogType() {
	case data.AccessLogType_DownstreamStart, data.AccessLogType_DownstreamPeriodic,
		data.AccessLogType_DownstreamTunnelSuccessfullyEstablished, data.AccessLogType_UpstreamPoolReady,
		data.AccessLogType_UpstreamPeriodic:
		return false
	case data.AccessLogType_NotSet:
		//lint:ignore SA1019 all that an Envoy says that does not give the type
		return !c.GetIntermediateLogEntry()
	}
	return true
}

// exchangeID tells streams apart by what no two share: the proxy, the client's
// address and port, the moment to the nanosecond, and the stream's id. That id
// alone would not do: a client may choose it.
func exchangeID(proxy, listener string, e *data.HTTPAccessLogEntry) string {
	c := e.GetCommonProperties()
	h := sha256.New()
	remote := c.GetDownstreamDirectRemoteAddress()
	if remote == nil {
		remote = c.GetDownstreamRemoteAddress()
	}
	for _, s := range []string{proxy, listener, c.GetStreamId(), e.GetRequest().GetRequestId(),
		fmt.Sprint(c.GetStartTime().GetSeconds(), c.GetStartTime().GetNanos()),
		fmt.Sprint(remote.GetSocketAddress().GetAddress(), remote.GetSocketAddress().GetPortValue(), remote.GetPipe().GetPath())} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// at keeps a time unless it cannot be: missing, or far from now.
func (d door) at(t time.Time) time.Time {
	now := d.now().UTC()
	if t.Before(now.Add(-30*24*time.Hour)) || t.After(now.Add(time.Hour)) {
		return now
	}
	return t.UTC()
}

// clientHash is HMAC-SHA-256 of the address under this installation's key, 64
// bits of it: equal clients are equal, and nobody without the key can try out
// addresses.
func (d door) clientHash(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	m := hmac.New(sha256.New, d.key)
	m.Write([]byte("client\x00" + a.String()))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// clientNet is the address without its host part: /24, or /48 of IPv6.
func clientNet(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

func address(a *core.Address) netip.Addr {
	parsed, err := netip.ParseAddr(a.GetSocketAddress().GetAddress())
	if err != nil {
		return netip.Addr{}
	}
	return parsed.Unmap().WithZone("")
}

// parseClient reads an address with or without port.
func parseClient(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// routeNames takes "default/shop/0/1" apart: route "default/shop", rule "0".
func routeNames(name string) (route, rule string) {
	parts := strings.Split(bounded(name, 256), "/")
	if len(parts) < 2 {
		return parts[0], ""
	}
	if len(parts) > 2 {
		rule = parts[2]
	}
	return parts[0] + "/" + parts[1], rule
}

func method(m core.RequestMethod) string {
	if m == core.RequestMethod_METHOD_UNSPECIFIED {
		return "OTHER" // an unregistered method is text of the client's choosing
	}
	return m.String()
}

func proto(v data.HTTPAccessLogEntry_HTTPVersion) string {
	switch v {
	case data.HTTPAccessLogEntry_HTTP10:
		return "HTTP/1.0"
	case data.HTTPAccessLogEntry_HTTP11:
		return "HTTP/1.1"
	case data.HTTPAccessLogEntry_HTTP2:
		return "HTTP/2"
	case data.HTTPAccessLogEntry_HTTP3:
		return "HTTP/3"
	}
	return ""
}

func duration(c *data.AccessLogCommon) time.Duration {
	if d := c.GetDuration(); d != nil {
		return d.AsDuration()
	}
	return c.GetTimeToLastDownstreamTxByte().AsDuration()
}

// flags gives Envoy's short names of what went wrong, comma separated.
func flags(f *data.ResponseFlags) string {
	if f == nil {
		return ""
	}
	var out []string
	for _, x := range []struct {
		set  bool
		name string
	}{
		{f.GetFailedLocalHealthcheck(), "LH"}, {f.GetNoHealthyUpstream(), "UH"}, {f.GetUpstreamRequestTimeout(), "UT"},
		{f.GetLocalReset(), "LR"}, {f.GetUpstreamRemoteReset(), "UR"}, {f.GetUpstreamConnectionFailure(), "UF"},
		{f.GetUpstreamConnectionTermination(), "UC"}, {f.GetUpstreamOverflow(), "UO"}, {f.GetNoRouteFound(), "NR"},
		{f.GetDelayInjected(), "DI"}, {f.GetFaultInjected(), "FI"}, {f.GetRateLimited(), "RL"},
		{f.GetUnauthorizedDetails() != nil, "UAEX"}, {f.GetRateLimitServiceError(), "RLSE"},
		{f.GetDownstreamConnectionTermination(), "DC"}, {f.GetUpstreamRetryLimitExceeded(), "URX"},
		{f.GetStreamIdleTimeout(), "SI"}, {f.GetInvalidEnvoyRequestHeaders(), "IH"}, {f.GetDownstreamProtocolError(), "DPE"},
		{f.GetUpstreamMaxStreamDurationReached(), "UMSDR"}, {f.GetResponseFromCacheFilter(), "RFCF"},
		{f.GetNoFilterConfigFound(), "NFCF"}, {f.GetDurationTimeout(), "DT"}, {f.GetUpstreamProtocolError(), "UPE"},
		{f.GetNoClusterFound(), "NC"}, {f.GetOverloadManager(), "OM"}, {f.GetDnsResolutionFailure(), "DF"},
		{f.GetDownstreamRemoteReset(), "DR"},
	} {
		if x.set {
			out = append(out, x.name)
		}
	}
	return strings.Join(out, ",")
}

// bounded cuts s to n bytes of UTF-8.
func bounded(s string, n int) string {
	if len(s) > n {
		s = s[:n]
		for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
