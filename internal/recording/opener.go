package recording

import (
	"crypto/hpke"
	"time"
)

// Query selects recorded exchanges; zero fields select all.
type Query struct {
	Since, Until time.Time // Since inclusive, Until exclusive
	Keys         []string  // bindings
	IDs          []string
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

// Opener reads an archive with the private key.
type Opener struct{}

func NewOpener(dir string, key hpke.PrivateKey) *Opener { panic("todo") }

// Count says how many batches and exchanges there are to read for q at most,
// without opening any: what a progress bar needs.
func (o *Opener) Count(q Query) (exchanges int, err error) { panic("todo") }

// Each hands the selected exchanges to fn in time order, until fn errs.
func (o *Opener) Each(q Query, fn func(*Exchange) error) (OpenReport, error) { panic("todo") }
