package lookup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// Where a host says whom it asks itself: resolv.conf(5), and what systemd-resolved
// asks where the former names only its stub on loopback, which no workload reaches.
var resolvConf = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// HostResolvers are the resolvers that the host itself asks; those on loopback are
// left out. There may be none.
func HostResolvers() ([]netip.Addr, error) {
	for _, file := range resolvConf {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find the host's resolvers: %w", err)
		}
		if list := parseResolvers(text); len(list) > 0 {
			return list, nil
		}
	}
	return nil, nil
}

func parseResolvers(text []byte) (out []netip.Addr) {
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil && !a.IsLoopback() {
			out = append(out, a.WithZone("").Unmap())
		}
	}
	return out
}
