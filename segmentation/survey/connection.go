package survey

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// Connection is one that a namespace's sockets have: of TCP, or of a datagram socket
// that was given a peer.
type Connection struct {
	Protocol      uint8
	Local, Remote netip.AddrPort
	// In says that the remote opened it. Sure says that somebody waits for others at
	// the local end; else it is a guess.
	In, Sure bool
	Cookie   uint64
	Cgroup   uint64 // its number in the v2 hierarchy; 0: not known
	UID      uint32
	inode    uint32
}

// Connections lists the connections of a namespace. What stays on the machine's
// loopback is left out.
func (n *Namespace) Connections() ([]Connection, error) {
	var c *netlink.Conn
	ports := defaultPorts
	err := n.Do(func() (err error) {
		if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
			ports = portRange(string(b))
		}
		c, err = netlink.Dial(unix.NETLINK_INET_DIAG)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	defer c.Close()
	all, err := sockets(c)
	if err != nil {
		return nil, err
	}
	return directed(all, ports), nil
}

// ports are those that the kernel gives to who opens a connection.
type portSpan struct{ low, high uint16 }

func (p portSpan) has(port uint16) bool { return p.low <= port && port <= p.high }

// defaultPorts is what the kernel has unless told otherwise.
var defaultPorts = portSpan{32768, 60999}

func portRange(text string) portSpan {
	f := strings.Fields(text)
	if len(f) != 2 {
		return defaultPorts
	}
	low, err1 := strconv.ParseUint(f[0], 10, 16)
	high, err2 := strconv.ParseUint(f[1], 10, 16)
	if err1 != nil || err2 != nil {
		return defaultPorts
	}
	return portSpan{uint16(low), uint16(high)}
}

// waiting is where sockets wait for others.
type waiting map[waitKey]bool

type waitKey struct {
	protocol uint8
	at       netip.AddrPort
}

// at says whether anybody waits at an address; a socket of IPv6 that waits at all
// addresses takes those of IPv4 too.
func (w waiting) at(protocol uint8, at netip.AddrPort) bool {
	any4 := at.Addr().Is4() && w[waitKey{protocol, netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())}]
	return any4 || w[waitKey{protocol, at}] || w[waitKey{protocol, netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())}]
}

// directed says who opened each connection. Where somebody waits at its local end, it
// came in. Else we opened it; but a connection from a port that the kernel gives to
// none who opens one, to a port that it does give, is of a server that waits no more.
func directed(all []socket, ports portSpan) (out []Connection) {
	there := waiting{}
	for _, s := range all {
		if s.state == stateListen || s.protocol == unix.IPPROTO_UDP && s.state == stateClose {
			there[waitKey{s.protocol, s.local}] = true
		}
	}
	for _, s := range all {
		if s.state == stateListen || s.state == stateClose || s.remote.Port() == 0 || s.local.Addr().IsLoopback() || s.remote.Addr().IsLoopback() {
			continue
		}
		c := Connection{
			Protocol: s.protocol, Local: s.local, Remote: s.remote,
			Cookie: s.cookie, Cgroup: s.cgroup, UID: s.uid, inode: s.inode,
		}
		c.Sure = there.at(s.protocol, s.local)
		c.In = c.Sure || !ports.has(s.local.Port()) && ports.has(s.remote.Port())
		out = append(out, c)
	}
	return out
}
