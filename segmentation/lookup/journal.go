package lookup

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/workload"
)

// Journal keeps a Book on disk: a line for what is new, and all of it anew now and
// then. A line is written before the kernel opens the addresses in it, so that an
// agent that is killed and started again closes none that a workload was told.
type Journal struct {
	path  string
	file  *os.File
	lines int
}

type line struct {
	Workload  string       `json:"workload"`
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Until     time.Time    `json:"until"`
}

// OpenJournal fills a Book with what an earlier run has kept. A line that cannot be
// read, such as a last one that was not finished, is left out.
func OpenJournal(path string, b *Book, now time.Time) (*Journal, error) {
	j := &Journal{path: path}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read names: %w", err)
	}
	for _, p := range parseJournal(text) {
		b.Restore(p, now)
	}
	return j, j.Compact(b)
}

func parseJournal(text []byte) (out []Page) {
	s := bufio.NewScanner(bytes.NewReader(text))
	for s.Scan() {
		var l line
		if json.Unmarshal(s.Bytes(), &l) != nil {
			continue
		}
		id, err := workload.ParseID(l.Workload)
		if err != nil || l.Name == "" || len(l.Name) > 253 || strings.ToLower(l.Name) != l.Name {
			continue
		}
		p := Page{Workload: id, Name: l.Name, Until: l.Until}
		for _, a := range l.Addresses {
			if believable(a) {
				p.Addresses = append(p.Addresses, a.Unmap())
			}
		}
		out = append(out, p)
	}
	return out
}

func encode(p Page) ([]byte, error) {
	b, err := json.Marshal(line{p.Workload.String(), p.Name, p.Addresses, p.Until.UTC()})
	return append(b, '\n'), err
}

// Write adds what Learn says is worth keeping.
func (j *Journal) Write(p Page) error {
	if len(p.Addresses) == 0 {
		return nil
	}
	text, err := encode(p)
	if err == nil {
		j.lines++
		_, err = j.file.Write(text)
	}
	if err != nil {
		return fmt.Errorf("keep names: %w", err)
	}
	return nil
}

// Long says whether it is time to Compact.
func (j *Journal) Long(b *Book) bool {
	live := 0
	for _, e := range b.names {
		live += len(e.until)
	}
	return j.lines > 4096+4*live
}

// Compact writes all of a Book anew.
func (j *Journal) Compact(b *Book) error {
	var all bytes.Buffer
	pages := b.Pages()
	for _, p := range pages {
		text, err := encode(p)
		if err != nil {
			return fmt.Errorf("keep names: %w", err)
		}
		all.Write(text)
	}
	if err := atomicfile.Write(j.path, all.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keep names: %w", err)
	}
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep names: %w", err)
	}
	j.Close()
	j.file, j.lines = f, len(pages)
	return nil
}

// Close lets go of the file.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
