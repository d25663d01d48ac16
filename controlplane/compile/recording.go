package compile

import (
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/filters"
)

// maxRecordSpool bounds what one proxy holds of a Recording until it is
// collected, however much is kept in all.
const maxRecordSpool = 64 << 20

// record says what of a listener is recorded. A listener records by one
// Recording: of several, the most specific.
func (c *compiler) record(t *tableBuilder) {
	if len(c.recordings.list) == 0 || len(c.o.RecordKey) == 0 {
		return
	}
	var keys []string
	var best mergedPolicy[v1alpha1.RecordingSpec]
	var bestLevel level
	for _, key := range sortedKeys(t.places) {
		stack := c.recordings.stack(t.places[key])
		if len(stack) == 0 {
			continue
		}
		c.recordings.use(stack)
		keys = append(keys, key)
		m := merge(c, c.recordings, stack, v1alpha1.RecordingDefaults())
		if top := stack[len(stack)-1].level; best.stack == nil || top > bestLevel {
			best, bestLevel = m, top
		}
	}
	if len(keys) == 0 {
		return
	}
	winner := best.stack[len(best.stack)-1].policy.key
	for _, key := range keys {
		stack := c.recordings.stack(t.places[key])
		if k := stack[len(stack)-1].policy.key; k != winner {
			c.rep.bad(k, v1alpha1.Conflicted, "SharedListener", "", "%s records on listener %s too, and its numbers hold there", winner, t.table.Listener)
		}
	}
	if len(keys) == len(t.places) {
		keys = nil
	}
	t.causes[refOf(winner)] = true
	t.table.Record = &filters.Record{
		Name: winner.Namespace + "/" + winner.Name, Dir: c.o.RecordDir,
		MaxBytes:  min(int64(*best.spec.MaxBytes), maxRecordSpool),
		PublicKey: c.o.RecordKey, Percent: *best.spec.Percent, Keys: keys, BodyLimit: int64(*best.spec.BodyLimit),
	}
	c.kept[winner] = ir.Recording{Resource: refOf(winner), MaxBytes: int64(*best.spec.MaxBytes), MaxAge: time.Duration(*best.spec.MaxAge)}
}

// recordingsKept lists the bounds of what is kept, by resource.
func (c *compiler) recordingsKept() []ir.Recording {
	var out []ir.Recording
	for _, r := range c.kept {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b ir.Recording) int { return keyOf(a.Resource).Compare(keyOf(b.Resource)) })
	return out
}
