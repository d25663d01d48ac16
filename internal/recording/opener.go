package recording

import (
	"crypto/hpke"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Query selects recorded exchanges; zero fields select all.
type Query struct {
	Since, Until time.Time // Since inclusive, Until exclusive
	Keys         []string  // bindings
	IDs          []string
}

func (q Query) overlaps(h head) bool {
	return (q.Until.IsZero() || h.From.Before(q.Until)) && !h.To.Before(q.Since)
}

func (q Query) selects(x *Exchange) bool {
	return !x.Time.Before(q.Since) && (q.Until.IsZero() || x.Time.Before(q.Until)) &&
		(len(q.Keys) == 0 || slices.Contains(q.Keys, x.Key)) &&
		(len(q.IDs) == 0 || slices.Contains(q.IDs, x.ID))
}

// OpenReport says what an Each saw and could not read.
type OpenReport struct {
	Segments   int
	Exchanges  int // handed on
	Skipped    int // opened, not selected
	Duplicates int
	Garbage    int      // batches torn, damaged or sealed to another key
	Problems   []string // at most 20: "0001.rec at byte 512: checksum differs"
}

const maxProblems = 20

func (r *OpenReport) problem(format string, args ...any) {
	r.Garbage++
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Opener reads an archive with the private key. The archive may grow and be
// pruned meanwhile.
type Opener struct {
	dir string
	key hpke.PrivateKey
}

// NewOpener reads the archive in dir.
func NewOpener(dir string, key hpke.PrivateKey) *Opener { return &Opener{dir, key} }

// place is where a batch lies.
type place struct {
	head
	file   string
	offset int64
	bytes  int
}

// index lists the batches that may hold what q selects, by the time of their
// first exchange.
func (o *Opener) index(q Query, report *OpenReport) ([]place, error) {
	files, err := listSegments(o.dir)
	if err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	var places []place
	for _, f := range files {
		report.Segments++
		garbage, err := readSegment(filepath.Join(o.dir, f.Name), func(at int64, batch []byte) error {
			h, err := readHead(batch)
			if err == nil && q.overlaps(h) {
				places = append(places, place{h, f.Name, at + frameBytes, len(batch)})
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read recordings: %w", err)
		}
		for range garbage {
			report.problem("%s: a stretch without a whole batch", f.Name)
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return a.From.Compare(b.From) })
	return places, nil
}

// Count says how many exchanges there are to read for q at most, without
// opening any: what a progress bar needs.
func (o *Opener) Count(q Query) (exchanges int, err error) {
	places, err := o.index(q, &OpenReport{})
	for _, p := range places {
		exchanges += p.Count
	}
	return exchanges, err
}

// Each hands the selected exchanges to fn in time order, until fn errs. It holds
// only as many batches as overlap in time.
func (o *Opener) Each(q Query, fn func(*Exchange) error) (OpenReport, error) {
	var report OpenReport
	places, err := o.index(q, &report)
	if err != nil {
		return report, err
	}
	var waiting []*Exchange // sorted by time
	seen := map[string]bool{}
	emit := func(before time.Time) error {
		n := 0
		for ; n < len(waiting) && (before.IsZero() || waiting[n].Time.Before(before)); n++ {
			x := waiting[n]
			switch {
			case !q.selects(x):
				report.Skipped++
			case seen[x.ID]:
				report.Duplicates++
			default:
				if x.ID != "" {
					seen[x.ID] = true
				}
				report.Exchanges++
				if err := fn(x); err != nil {
					return err
				}
			}
		}
		waiting = slices.Delete(waiting, 0, n)
		return nil
	}
	for _, p := range places {
		if err := emit(p.From); err != nil {
			return report, err
		}
		xs, err := o.open(p)
		if err != nil {
			report.problem("%s at byte %d: %v", p.file, p.offset, err)
			continue
		}
		waiting = append(waiting, xs...)
		slices.SortStableFunc(waiting, func(a, b *Exchange) int { return a.Time.Compare(b.Time) })
	}
	return report, emit(time.Time{})
}

func (o *Opener) open(p place) ([]*Exchange, error) {
	f, err := os.Open(filepath.Join(o.dir, p.file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	batch, err := io.ReadAll(io.NewSectionReader(f, p.offset, int64(p.bytes)))
	if err != nil {
		return nil, err
	}
	return unseal(batch, o.key)
}
