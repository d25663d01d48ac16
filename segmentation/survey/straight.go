package survey

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// Straight says what of this host could change the addresses of a packet that it
// forwards; empty: nothing does. Programs in TCX hooks are not looked at.
func Straight() (why string, err error) {
	why, err = netfilter()
	if why != "" || err != nil {
		return why, err
	}
	// Without kube-proxy's iptables there still may be services of its own.
	if b, err := os.ReadFile("/proc/self/net/ip_vs"); err == nil && balances(string(b)) {
		return "IPVS has services", nil
	}
	c, err := netlink.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		return "", err
	}
	defer c.Close()
	classified, err := classifiers(c)
	if err != nil {
		return "", err
	}
	if len(classified) > 0 {
		return "an interface has classifiers", nil
	}
	return "", nil
}

// balances says whether /proc/net/ip_vs lists any service below its head of three lines.
func balances(table string) bool { return strings.Count(strings.TrimSpace(table), "\n") > 2 }
