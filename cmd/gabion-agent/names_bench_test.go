package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
)

// BenchmarkAnswers is how long a workload waits for an answer of a name service: one
// whose answers are held until the tables know them, one whose answers are only
// copied, and one without programs on its interface, turn by turn.
func BenchmarkAnswers(b *testing.B) {
	for _, kind := range []string{"known", "new"} {
		b.Run(kind, func(b *testing.B) { benchmarkAnswers(b, kind == "new") })
	}
}

func benchmarkAnswers(b *testing.B, fresh bool) {
	n := newNames(b)
	plain := n.net.Workload("plain")
	to := n.resolver.Interfaces[0].V4
	for i := range 256 {
		n.server.set(fmt.Sprintf("n%d.wild.example.com", i), 600, at(i))
	}
	n.run()
	who := []struct {
		name  string
		from  *netnstest.Workload
		conn  net.Conn
		times []time.Duration
	}{{name: "held", from: n.web}, {name: "copied", from: n.cart}, {name: "bare", from: plain}}
	for i := range who {
		c, err := who[i].from.Dial("udp", netip.Addr{}, netip.AddrPortFrom(to, 53), netnstest.Patience)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		who[i].conn = c
	}
	buffer := make([]byte, 4096)
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("n%d.wild.example.com", i%256)
		if fresh { // an address that the name never had
			n.server.set(name, 600, netip.AddrFrom4([4]byte{198, 18 + byte(i>>16&1), byte(i >> 8), byte(i)}))
		}
		q := question(uint16(i), name, typeA)
		for k := range who {
			w := &who[(i+k)%len(who)]
			w.conn.SetDeadline(time.Now().Add(netnstest.Patience))
			began := time.Now()
			if _, err := w.conn.Write(q); err != nil {
				b.Fatal(err)
			}
			if _, err := w.conn.Read(buffer); err != nil {
				b.Fatal(err)
			}
			w.times = append(w.times, time.Since(began))
		}
		time.Sleep(2 * time.Millisecond) // no more than a workload may ask
	}
	for i := range who {
		slices.Sort(who[i].times)
		for _, p := range []int{10, 50, 99} {
			at := who[i].times[(len(who[i].times)-1)*p/100]
			b.ReportMetric(float64(at)/1e3, fmt.Sprintf("µs-%s-p%d", who[i].name, p))
		}
	}
}
