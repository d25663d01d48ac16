package survey

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// listeners are the interfaces on which somebody listens to IP packets through a
// packet socket, as tcpdump does; 0 stands for all (packet(7)).
func listeners() (map[int]bool, error) {
	f, err := os.Open("/proc/self/net/packet")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without packet sockets
	}
	if err != nil {
		return nil, fmt.Errorf("list packet sockets: %w", err)
	}
	defer f.Close()
	return parseListeners(f)
}

// parseListeners reads /proc/net/packet. What asks for a protocol other than IP sees
// nothing of what we hand over.
func parseListeners(r io.Reader) (map[int]bool, error) {
	out := map[int]bool{}
	lines := bufio.NewScanner(r)
	lines.Scan() // the head: sk RefCnt Type Proto Iface R Rmem User Inode
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 5 {
			continue
		}
		protocol, err := strconv.ParseUint(f[3], 16, 16)
		if err != nil {
			return nil, fmt.Errorf("list packet sockets: %q is no protocol", f[3])
		}
		index, err := strconv.Atoi(f[4])
		if err != nil {
			return nil, fmt.Errorf("list packet sockets: %q is no interface", f[4])
		}
		const all, ipv4, ipv6 = 0x0003, 0x0800, 0x86dd
		if protocol == all || protocol == ipv4 || protocol == ipv6 {
			out[index] = true
		}
	}
	return out, lines.Err()
}
