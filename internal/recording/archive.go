package recording

import "time"

// Archive is the control plane's append-only directory of sealed segments,
// pruned oldest first and never larger than MaxBytes.
type Archive struct {
	Dir      string
	MaxBytes int64         // default 256 MiB
	MaxAge   time.Duration // default 7 days
}

// Segment is one file of an archive.
type Segment struct {
	Name      string
	Bytes     int64
	Exchanges int
	From, To  time.Time
	Garbage   int // batches that cannot be read
}

// Append keeps one sealed batch; one it holds already is ignored.
func (a *Archive) Append(batch []byte) error { panic("todo") }

// Prune applies the bounds as of now.
func (a *Archive) Prune(now time.Time) error { panic("todo") }

// Segments lists the archive, oldest first.
func (a *Archive) Segments() ([]Segment, error) { panic("todo") }
