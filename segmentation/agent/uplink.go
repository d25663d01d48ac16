package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// CheckInterface refuses what is no workload's: loopback, and interfaces by which
// the host itself reaches the world. A program there would judge the host's own
// packets as a workload's, and drop them.
func CheckInterface(name string) error {
	if name == "lo" {
		return errors.New("interface lo is the host's own: a Workload names the host's end of its link")
	}
	for file, parse := range map[string]func(io.Reader) ([]string, error){
		"/proc/self/net/route": defaultRoutes4, "/proc/self/net/ipv6_route": defaultRoutes6,
	} {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		ways, err := parse(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("list routes from %s: %w", file, err)
		}
		for _, way := range ways {
			if way == name {
				return fmt.Errorf("interface %s is the host's own way out (it has the default route): a Workload names the host's end of its link", name)
			}
		}
	}
	return nil
}

// defaultRoutes4 lists the interfaces of default routes in /proc/net/route.
func defaultRoutes4(r io.Reader) (out []string, err error) {
	lines := bufio.NewScanner(r)
	lines.Scan() // the head
	for lines.Scan() {
		// Iface Destination Gateway Flags RefCnt Use Metric Mask …
		if f := strings.Fields(lines.Text()); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			out = append(out, f[0])
		}
	}
	return out, lines.Err()
}

// defaultRoutes6 lists those in /proc/net/ipv6_route. The kernel has one of its own
// on loopback, for what has no route.
func defaultRoutes6(r io.Reader) (out []string, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		// destination, its length, source, its length, gateway, …, interface
		f := strings.Fields(lines.Text())
		if len(f) > 9 && f[0] == strings.Repeat("0", 32) && f[1] == "00" && f[len(f)-1] != "lo" {
			out = append(out, f[len(f)-1])
		}
	}
	return out, lines.Err()
}
