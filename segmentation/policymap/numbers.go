package policymap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/workload"
)

// Numbers gives what the tables talk about its numbers. They mean something on
// this host only, and none is ever given twice. Those of workloads are kept in a
// file beside the pinned maps, because what is counted outlives the agent.
type Numbers struct {
	workloads map[workload.ID]uint32
	next      uint32
	dirty     bool
	subjects  map[string]uint32
	peers     map[string]uint32
}

// NewNumbers begins from nothing.
func NewNumbers() *Numbers {
	return &Numbers{workloads: map[workload.ID]uint32{}, next: 1, subjects: map[string]uint32{}, peers: map[string]uint32{}}
}

// Workload returns a workload's number.
func (n *Numbers) Workload(id workload.ID) uint32 {
	if known, ok := n.workloads[id]; ok {
		return known
	}
	n.workloads[id] = n.next
	n.next++
	n.dirty = true
	return n.workloads[id]
}

// Workloads returns who has which number.
func (n *Numbers) Workloads() map[uint32]workload.ID {
	out := make(map[uint32]workload.ID, len(n.workloads))
	for id, number := range n.workloads {
		out[number] = id
	}
	return out
}

func (n *Numbers) subject(key string) uint32 {
	if _, ok := n.subjects[key]; !ok {
		n.subjects[key] = uint32(len(n.subjects)) + 1
	}
	return n.subjects[key]
}

func (n *Numbers) peer(key string) uint32 {
	if _, ok := n.peers[key]; !ok {
		n.peers[key] = uint32(len(n.peers)) + bpf.Outside + 1
	}
	return n.peers[key]
}

// numbersFile is what is kept of Numbers.
type numbersFile struct {
	Next      uint32
	Workloads map[string]uint32
}

// LoadNumbers reads what Save wrote; without a file it begins from nothing.
func LoadNumbers(file string) (*Numbers, error) {
	n := NewNumbers()
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	} else if err != nil {
		return nil, fmt.Errorf("read workload numbers: %w", err)
	}
	var kept numbersFile
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, fmt.Errorf("read workload numbers from %s: %w", file, err)
	}
	n.next = max(kept.Next, 1)
	for text, number := range kept.Workloads {
		id, err := workload.ParseID(text)
		if err != nil {
			return nil, fmt.Errorf("read workload numbers from %s: %w", file, err)
		}
		n.workloads[id] = number
		n.next = max(n.next, number+1)
	}
	return n, nil
}

// Save writes the file if a number was given since. It must be called before the
// tables are written.
func (n *Numbers) Save(file string) error {
	if !n.dirty {
		return nil
	}
	kept := numbersFile{Next: n.next, Workloads: map[string]uint32{}}
	for id, number := range n.workloads {
		kept.Workloads[id.String()] = number
	}
	b, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return fmt.Errorf("write workload numbers: %w", err)
	}
	if err := atomicfile.Write(file, b, 0o600); err != nil {
		return fmt.Errorf("write workload numbers: %w", err)
	}
	n.dirty = false
	return nil
}
