// Command capture measures what seeing HTTP costs: nanoseconds a packet above an
// empty program, on packets that the kernel feeds the programs (BPF_PROG_TEST_RUN).
// It prints one JSON object a line; `make bench-capture` runs it, as root. What is
// compared runs interleaved. Exchanges a second of one core are a benchmark of
// api-discovery/capture/stream.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/gabion-io/gabion/api-discovery/capture/bpf"
)

func main() {
	rounds := flag.Int("rounds", 9, "how often each thing is measured")
	repeat := flag.Int("repeat", 200000, "packets of one measurement")
	flag.Parse()
	if err := measure(*rounds, *repeat); err != nil {
		fmt.Fprintln(os.Stderr, "bench-capture:", err)
		os.Exit(1)
	}
}

// result is one line.
type result struct {
	What  string  `json:"what"`
	P10   float64 `json:"p10"`
	P50   float64 `json:"p50"`
	Above float64 `json:"above"` // ns above the empty program, p10
	Unit  string  `json:"unit"`
}

// thing is one program on one packet.
type thing struct {
	what    string
	program string
	packet  []byte
	took    []time.Duration
}

func measure(rounds, repeat int) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := bpf.LoadHTTP()
	if err != nil {
		return err
	}
	all, err := ebpf.NewCollection(spec)
	if err != nil {
		return fmt.Errorf("load programs: %w", err)
	}
	defer all.Close()
	things := []*thing{
		{what: "an empty program", program: "nothing", packet: packet("10.0.0.1", "10.0.0.2", 443, tls)},
		{what: "TLS, 1,400 bytes, IPv4", program: "from_workload", packet: packet("10.0.0.1", "10.0.0.2", 443, tls)},
		{what: "TLS, 1,400 bytes, IPv6", program: "from_workload", packet: packet("fd00::1", "fd00::2", 443, tls)},
		{what: "text that is no HTTP, IPv4", program: "from_workload", packet: packet("10.0.0.1", "10.0.0.2", 6379, []byte("PING something else\r\n"))},
		{what: "an acknowledgement, IPv4", program: "from_workload", packet: packet("10.0.0.1", "10.0.0.2", 443, nil)},
		{what: "of a long body, beyond its budget", program: "from_workload", packet: packet("10.0.0.1", "10.0.0.2", 80, append([]byte("GET / HTTP/1.1\r\n"), tls...))},
	}
	for range rounds {
		for _, t := range things {
			_, took, err := all.Programs[t.program].Benchmark(t.packet, repeat, nil)
			if err != nil {
				return fmt.Errorf("run %s: %w", t.program, err)
			}
			t.took = append(t.took, took)
		}
	}
	for _, t := range things {
		p10 := quantile(t.took, 0.1)
		json.NewEncoder(os.Stdout).Encode(result{t.what, p10, quantile(t.took, 0.5), p10 - quantile(things[0].took, 0.1), "ns/packet"})
	}
	return nil
}

func quantile(list []time.Duration, q float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return float64(s[min(len(s)-1, int(q*float64(len(s))))].Nanoseconds())
}

// tls is a record that says nothing.
var tls = append([]byte{0x17, 3, 3, 5, 0x73}, make([]byte, 1395)...)

// packet is a frame with a TCP segment.
func packet(from, to string, port uint16, payload []byte) []byte {
	a, b := netip.MustParseAddr(from), netip.MustParseAddr(to)
	n := 20 + len(payload)
	f := make([]byte, 12)
	if a.Is4() {
		f = append(f, 8, 0, 0x45, 0, byte((n+20)>>8), byte(n+20), 0, 1, 0, 0, 64, 6, 0, 0)
	} else {
		f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, byte(n>>8), byte(n), 6, 64)
	}
	f = append(append(f, a.AsSlice()...), b.AsSlice()...)
	f = append(f, 0x9c, 0x40, byte(port>>8), byte(port), 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0)
	return append(f, payload...)
}
