// Command uplink measures what reporting flows costs an agent: CPU and memory of a
// process that reads so many edges a second out of the kernel's tables, names them,
// queues them on disk and sends them. Another process puts the rows into the tables,
// as the datapath's programs would, and answers. It prints one JSON object;
// `make bench-uplink` runs it, as root.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/uplink"
	"github.com/gabion-io/gabion/workload"
)

// The world: local workloads, each of which talks to its share of peers.
const (
	local = 100
	peers = 10000
)

func main() {
	rate := flag.Int("edges", 10000, "different edges a second")
	seconds := flag.Int("seconds", 30, "for how long")
	role := flag.String("role", "", "internal")
	dir := flag.String("dir", "", "internal")
	flag.Parse()
	run := func() error { return measure(*rate, *seconds) }
	if *role == "agent" {
		run = func() error { return beAgent(*dir) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-uplink:", err)
		os.Exit(1)
	}
}

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// world is what the agent is told: its own workloads are the first.
func world() (d agent.Desired) {
	for i := range peers {
		id := workload.ID{Namespace: "bench", Name: fmt.Sprintf("w-%d", i)}
		d.World.Workloads = append(d.World.Workloads, &workload.Workload{
			ID: id, Addresses: []netip.Addr{address(i)}, Labels: workload.Labels{"app": fmt.Sprintf("app-%d", i/10), "tier": "bench"},
		})
		if i < local {
			d.Interfaces = append(d.Interfaces, agent.Interface{Name: fmt.Sprintf("bench%d", i), Workload: id}) // there is none: nothing is attached
		}
	}
	return d
}

// beAgent is the process that is measured.
func beAgent(dir string) error {
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, "s"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	up, err := uplink.Open(uplink.Options{Dir: filepath.Join(dir, "queue"), Conn: conn, Log: log})
	if err != nil {
		return err
	}
	a, err := agent.Open(agent.Options{Pins: filepath.Join(dir, "bpf", "gabion"), State: dir, Window: 5 * time.Second, Report: up.Add, Log: log})
	if err != nil {
		return err
	}
	desired := make(chan agent.Desired, 1)
	desired <- world()
	go up.Run(context.Background())
	return a.Run(context.Background(), desired)
}

// sink counts rows, and what was lost.
type sink struct{ rows, lost atomic.Int64 }

func (s *sink) Report(_ context.Context, m flowreport.Message) (flowreport.Receipt, error) {
	if m.Batch != nil {
		s.rows.Add(int64(len(m.Batch.Rows)))
	}
	if m.Lost != nil {
		s.lost.Store(int64(m.Lost.Total))
	}
	return flowreport.Receipt{}, nil
}

func measure(rate, seconds int) error {
	dir, err := os.MkdirTemp("", "bench-uplink")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	mount := filepath.Join(dir, "bpf")
	if err := errors.Join(os.Mkdir(mount, 0o700), unix.Mount("bpf", mount, "bpf", 0, "mode=0700")); err != nil {
		return fmt.Errorf("mount a BPF file system: %w", err)
	}
	defer unix.Unmount(mount, unix.MNT_DETACH)
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	s := &sink{}
	g := grpc.NewServer()
	flowreport.Register(g, s)
	go g.Serve(ln)
	defer g.Stop()

	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command(self, "-role", "agent", "-dir", dir)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	defer func() { c.Process.Kill(); c.Wait() }()
	time.Sleep(3 * time.Second) // it loads the programs and compiles the world
	dp, err := datapath.Open(filepath.Join(mount, "gabion"), datapath.Limits{})
	if err != nil {
		return err
	}
	defer dp.Close()

	before, idle, err := usage(c.Process.Pid)
	if err != nil {
		return err
	}
	began := time.Now()
	put, err := feed(dp, rate, seconds)
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, _, err := usage(c.Process.Pid)
	if err != nil {
		return err
	}
	for end := time.Now().Add(20 * time.Second); s.rows.Load()+s.lost.Load() < int64(put) && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	_, most, err := usage(c.Process.Pid)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"edgesPerSecond": float64(put) / took.Seconds(), "put": put, "reported": s.rows.Load(), "lost": s.lost.Load(),
		"cpuPercentOfOneCore": 100 * (after - before).Seconds() / took.Seconds(), "mostMiB": most >> 20, "beforeMiB": idle >> 20,
	})
}

// feed puts rows into the table that programs count into, each second other edges
// than the second before, and says how many.
func feed(dp *datapath.Datapath, rate, seconds int) (put int, err error) {
	logs := dp.Logs()
	for second := range seconds {
		next := time.Now().Add(time.Second)
		keys, values := make([]bpf.TallyKey, rate), make([]bpf.Tally, rate)
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return put, err
		}
		for i := range keys {
			keys[i] = bpf.TallyKey{
				Peer: bpf.AddressOf(address((i*7 + second*13) % peers)), Workload: uint32(1 + i%local), Port: uint16(1000 + i/local + second%64*200), Protocol: 6,
				Way: uint8(segmentation.Egress) | uint8(segmentation.Allowed)<<1,
			}
			values[i] = bpf.Tally{Flows: 1, Answered: 1, Packets: 12, Bytes: 4000, First: uint64(now.Nano()), Last: uint64(now.Nano())}
		}
		n, err := batch(logs.Control, logs.Flows, keys, values)
		put += n
		if err != nil {
			return put, err
		}
		time.Sleep(time.Until(next))
	}
	return put, nil
}

func batch(control, outer *ebpf.Map, keys []bpf.TallyKey, values []bpf.Tally) (int, error) {
	var word bpf.Control
	if err := control.Lookup(uint32(0), &word); err != nil {
		return 0, err
	}
	var inner *ebpf.Map
	if err := outer.Lookup(word.Flows&1, &inner); err != nil {
		return 0, err
	}
	defer inner.Close()
	return inner.BatchUpdate(keys, values, nil)
}

// usage is a process's CPU time and the memory it has.
func usage(pid int) (cpu time.Duration, rss int64, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, 0, err
	}
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue // it has ended
		}
		n, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		cpu += time.Duration(n)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return cpu, kb << 10, err
		}
	}
	return cpu, 0, errors.New("there is no VmHWM")
}
