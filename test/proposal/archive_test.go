package proposal_test

import (
	"context"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/internal/spool"
)

// The way recordings really take: sealed by the filter, spooled, archived, opened.
func TestOnRealRecordings(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	key, err := recording.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Budget = 1 })
	b.disk = &filters.Record{Name: "default/all", Dir: filepath.Join(dir, "spool"), MaxBytes: 8 << 20, PublicKey: recording.PublicKey(key), Percent: 100, BodyLimit: 64 << 10}
	b.with(func(o *proposal.Options) { o.Recordings = recording.NewOpener(filepath.Join(dir, "archive"), key) })
	archive := &recording.Archive{Dir: filepath.Join(dir, "archive")}

	events := b.live("n1.a", get("/about"), get(injection), post("/reviews", "application/json", `{"text":"fine"}`))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // the filter flushes in its own time
		if _, err := spool.Drain(b.disk.Dir, archive.Append); err != nil {
			t.Fatal(err)
		}
		if n, err := b.o.Recordings.Count(recording.Query{}); err != nil || n == 3 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d exchanges in the archive, %v", n, err)
		}
	}
	p, err := b.desk.Propose(ctx, proposal.ProposeOptions{Events: idsOf(events), Author: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Evidence.Replay.Recorded != 1 || p.Evidence.Replay.Passed != 1 {
		t.Errorf("%+v", p.Evidence.Replay)
	}
	p, err = b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{Since: b.now.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	r := p.Rehearsal
	if r.Judged != 3 || r.NewlyPassed != 1 || r.Drift.Compared != 3 || r.Drift.SamePolicy != 0 || r.Coverage.Segments != 1 || r.Coverage.Garbage != 0 {
		t.Errorf("%+v", r)
	}
	if later, err := b.desk.RehearseCandidate(ctx, []byte(p.Candidate), proposal.RehearseOptions{Since: b.now.Add(time.Hour)}); err != nil || later.Coverage.Data {
		t.Errorf("outside of the time asked for: %+v, %v", later, err)
	}
	tables, err := b.world().Effective(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := proposal.Mismatches(ctx, engine, b.o.Recordings, recording.Query{}, tables); err != nil || got.Checked != 3 || len(got.Mismatches) != 0 {
		t.Errorf("%+v, %v", got, err)
	}

	tear(t, archive.Dir)
	torn, err := b.desk.RehearseCandidate(ctx, []byte(p.Candidate), proposal.RehearseOptions{})
	// Only the last batch is torn: on a slow machine one may come before it.
	if err != nil || torn.Coverage.Recordings >= 3 || torn.Coverage.Garbage == 0 {
		t.Errorf("a torn archive: %+v, %v", torn.Coverage, err)
	}
}

// tear cuts the end off every segment.
func tear(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(f, info.Size()-10); err != nil {
			t.Fatal(err)
		}
	}
}
