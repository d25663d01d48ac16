package agent

import (
	"testing"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
)

// Rows are read sooner when any of the places for them is half full: that of drops is
// the smaller one.
func TestFull(t *testing.T) {
	r := rooms{flows: datapath.Room{All: 1000, Each: 100}, drops: datapath.Room{All: 100, Each: 20}}
	rows := func(n int, workload uint32, v segmentation.Verdict) (out []flowlog.Row) {
		for range n {
			out = append(out, flowlog.Row{TallyKey: bpf.TallyKey{Workload: workload, Way: uint8(v) << 1}})
		}
		return out
	}
	for _, c := range []struct {
		rows []flowlog.Row
		want float64
	}{
		{nil, 0},
		{rows(50, 1, segmentation.Allowed), 0.5},
		{append(rows(50, 1, segmentation.Allowed), rows(50, 2, segmentation.Audited)...), 0.5},
		{append(rows(50, 1, segmentation.Allowed), rows(15, 1, segmentation.Denied)...), 0.75},
		{append(append(rows(18, 1, segmentation.Denied), rows(18, 2, segmentation.Denied)...), append(rows(18, 3, segmentation.Denied), rows(18, 4, segmentation.Denied)...)...), 0.9},
	} {
		if got := r.full(c.rows); got != c.want {
			t.Errorf("%d rows fill %v, want %v", len(c.rows), got, c.want)
		}
	}
}
