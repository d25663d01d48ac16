package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation/jsonl"
	"github.com/gabion-io/gabion/workload"
)

// dump writes what `gabion seg learn` reads: workloads.yaml and edges.jsonl.
func dump(dir string, workloads []*workload.Workload, records []record) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := dumpWorkloads(filepath.Join(dir, "workloads.yaml"), workloads); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "edges.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	enc := json.NewEncoder(out)
	for i := range records {
		e := &records[i].Edge
		l := jsonl.Line{Protocol: e.Protocol, Port: e.Port, Flows: e.Flows, Answered: e.Answered, Bytes: e.Bytes, First: e.First, Last: e.Last}
		l.Src, l.Dst = endText(e.Src), endText(e.Dst)
		if len(e.Dst.Names) > 0 {
			l.Dst, l.DstName = e.Dst.Addr.String(), e.Dst.Names[0]
		}
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return out.Flush()
}

func dumpWorkloads(file string, workloads []*workload.Workload) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	for _, w := range workloads {
		o := &v1alpha1.Workload{}
		o.APIVersion, o.Kind = v1alpha1.APIVersion, v1alpha1.KindWorkload
		o.Namespace, o.Name, o.Labels = w.ID.Namespace, w.ID.Name, w.Labels
		for _, a := range w.Addresses {
			o.Spec.Addresses = append(o.Spec.Addresses, a.String())
		}
		text, err := v1alpha1.Encode(o)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "---\n%s", text); err != nil {
			return err
		}
	}
	return out.Flush()
}

// large is a world of so many workloads and, roughly, edges: few roles with many
// replicas each, which talk pair by pair.
func large(seed uint64, workloads, edges int) (*topology, []record) {
	const replicas = 20
	t := newTopology(seed, 1, 3)
	t.roles, t.intents = nil, nil
	for n := range workloads / replicas {
		r := &role{id: n, space: fmt.Sprint("space-", n/25), name: fmt.Sprintf("%s%d", words[n%len(words)], n%25), ports: []uint16{uint16(8000 + n%7)}}
		hash := t.suffix(9)
		for i := range replicas {
			r.replicas = append(r.replicas, &workload.Workload{ID: workload.ID{Namespace: r.space, Name: t.nameOf(r, i, false, hash)}, Labels: t.labelsOf(r, i, n%25, hash), Addresses: nil})
			r.replicas[i].Addresses = append(r.replicas[i].Addresses, t.nextAddress())
		}
		t.roles = append(t.roles, r)
	}
	for range edges / (replicas * replicas) {
		a, b := t.roles[t.IntN(len(t.roles))], t.roles[t.IntN(len(t.roles))]
		if a != b {
			t.intents = append(t.intents, intent{src: a, dst: b, protocol: 6, port: b.ports[0], flows: 40 * replicas * replicas})
		}
	}
	return t, append(append(t.traffic(), t.attacks()...), t.noise()...)
}
