package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// Straight says what of this host could change the addresses of a packet that it
// forwards; empty: nothing does. Programs in TCX hooks are not looked at.
func Straight() (why string, err error) { return straight("/sys/module") }

// straight is told where the kernel lists its modules.
func straight(modules string) (why string, err error) {
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
	return translator(modules)
}

// translator names a module of the kernel that translates by rules of its own, which
// are none of those that straight looks at: that it is loaded has to be enough.
func translator(modules string) (why string, err error) {
	for _, name := range []string{"openvswitch", "jool", "jool_siit"} {
		switch _, err := os.Stat(filepath.Join(modules, name)); {
		case err == nil:
			return name + " may translate", nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("look for module %s: %w", name, err)
		}
	}
	return "", nil
}

// balances says whether /proc/net/ip_vs lists any service below its head of three lines.
func balances(table string) bool { return strings.Count(strings.TrimSpace(table), "\n") > 2 }
