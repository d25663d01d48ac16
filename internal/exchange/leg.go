package exchange

import (
	"net/netip"
	"strconv"
)

// Leg names one request on one connection, as both a proxy that is an end of the
// connection and a host that sees it pass can say: by the request's id and by the
// addresses of both ends. Who does not know all of them cannot guess it, and under
// the key it tells nobody any. 0 is none: something is not known.
func (k Key) Leg(requestID string, client, server netip.AddrPort) uint64 {
	if requestID == "" || !client.IsValid() || !server.IsValid() {
		return 0
	}
	b := make([]byte, 0, 160)
	b = append(b, "leg\x00"...)
	b = endpoint(b, client)
	b = endpoint(b, server)
	return k.Hash(string(append(b, requestID...)))
}

func endpoint(b []byte, a netip.AddrPort) []byte {
	b = a.Addr().Unmap().WithZone("").AppendTo(b)
	return append(strconv.AppendUint(append(b, ' '), uint64(a.Port()), 10), '\x00')
}
