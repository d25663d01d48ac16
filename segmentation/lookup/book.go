package lookup

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/gabion-io/gabion/workload"
)

// Limits bound a Book. Zero is the default.
type Limits struct {
	// Grace is how much longer than its TTL an address is a name's: who was told it
	// uses it a little later. Default a minute.
	Grace     time.Duration
	MaxTTL    time.Duration // default a day
	Names     int           // of one workload; default 1,024
	Addresses int           // of one name; default 128
	Told      int           // addresses of one workload whose last name is remembered; default 2,048
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Grace: cmp.Or(l.Grace, time.Minute), MaxTTL: cmp.Or(l.MaxTTL, 24*time.Hour),
		Names: cmp.Or(l.Names, 1024), Addresses: cmp.Or(l.Addresses, 128), Told: cmp.Or(l.Told, 2048),
	}
}

// Book keeps which addresses names have. What one workload was told counts for all:
// permitted resolvers tell everybody the truth.
type Book struct {
	limits Limits
	names  map[string]*entry
	byAddr map[netip.Addr]map[string]bool
	byID   map[workload.ID]map[string]bool // names by who asked first: it is their budget
	told   map[workload.ID]map[netip.Addr]string
	lost   uint64
}

// entry is a name with its addresses.
type entry struct {
	by    workload.ID
	until map[netip.Addr]time.Time
	saved map[netip.Addr]time.Time // until, as the journal has it
}

// NewBook begins with nothing.
func NewBook(l Limits) *Book {
	return &Book{
		limits: l.withDefaults(), names: map[string]*entry{}, byAddr: map[netip.Addr]map[string]bool{},
		byID: map[workload.ID]map[string]bool{}, told: map[workload.ID]map[netip.Addr]string{},
	}
}

// Overflowing counts the names and addresses that had no place, or took another's.
func (b *Book) Overflowing() uint64 { return b.lost }

// Page is addresses of a name and until when they are, as it is kept on disk.
type Page struct {
	Workload  workload.ID
	Name      string
	Addresses []netip.Addr
	Until     time.Time
}

// Learn takes an answer that counts. It returns the addresses whose names are others
// than before, and what is worth keeping on disk; nothing if the disk has it nearly.
// precious says whether a name is worth more than another when there are too many.
//
// One whose time is over already, because nobody read it in time, changes nothing.
func (b *Book) Learn(id workload.ID, a Answer, told, now time.Time, precious func(string) bool) (changed []netip.Addr, keep Page) {
	until := told.Add(min(a.TTL, b.limits.MaxTTL) + b.limits.Grace)
	if !until.After(now) {
		return nil, keep
	}
	return b.note(Page{Workload: id, Name: a.Name, Addresses: a.Addresses, Until: until}, precious)
}

// Restore takes what was kept, unless its time is over.
func (b *Book) Restore(p Page, now time.Time) {
	// A clock that was wrong must not keep an address for years.
	if latest := now.Add(b.limits.MaxTTL + b.limits.Grace); p.Until.After(latest) {
		p.Until = latest
	}
	if p.Until.After(now) {
		b.note(p, nil)
	}
}

func (b *Book) note(p Page, precious func(string) bool) (changed []netip.Addr, keep Page) {
	keep = Page{Workload: p.Workload, Name: p.Name, Until: p.Until}
	for _, a := range p.Addresses {
		b.tell(p.Workload, a, p.Name)
	}
	e, changed, ok := b.entry(p.Workload, p.Name, precious)
	if !ok {
		b.lost++
		return nil, keep
	}
	for _, a := range p.Addresses {
		was, there := e.until[a]
		if !there {
			changed = append(changed, b.link(p.Name, e, a)...)
		}
		if p.Until.After(was) {
			e.until[a] = p.Until
		}
		if p.Until.Sub(e.saved[a]) > b.limits.Grace/4 {
			keep.Addresses = append(keep.Addresses, a)
			e.saved[a] = p.Until
		}
	}
	slices.SortFunc(changed, netip.Addr.Compare)
	return slices.Compact(changed), keep
}

// entry is a name's, made if there is room for it; gone is what was given up for it.
func (b *Book) entry(id workload.ID, name string, precious func(string) bool) (e *entry, gone []netip.Addr, ok bool) {
	if e = b.names[name]; e != nil {
		return e, nil, true
	}
	if gone, ok = b.room(id, name, precious); !ok {
		return nil, nil, false
	}
	e = &entry{by: id, until: map[netip.Addr]time.Time{}, saved: map[netip.Addr]time.Time{}}
	b.names[name] = e
	if b.byID[id] == nil {
		b.byID[id] = map[string]bool{}
	}
	b.byID[id][name] = true
	return e, gone, true
}

// link gives a name one address more, and returns those whose names have changed.
func (b *Book) link(name string, e *entry, a netip.Addr) (changed []netip.Addr) {
	if len(e.until) >= b.limits.Addresses {
		changed = append(changed, b.dropSoonest(name, e))
	}
	if b.byAddr[a] == nil {
		b.byAddr[a] = map[string]bool{}
	}
	b.byAddr[a][name] = true
	return append(changed, a)
}

// tell remembers which name a workload has an address by. What is too much takes the
// place of any other.
func (b *Book) tell(id workload.ID, a netip.Addr, name string) {
	told := b.told[id]
	if told == nil {
		told = map[netip.Addr]string{}
		b.told[id] = told
	}
	if _, there := told[a]; !there && len(told) >= b.limits.Told {
		for other := range told {
			delete(told, other)
			break
		}
	}
	told[a] = name
}

// room makes place for one name more of a workload: by one that is not precious, for
// one that is.
func (b *Book) room(id workload.ID, name string, precious func(string) bool) (gone []netip.Addr, ok bool) {
	if len(b.byID[id]) < b.limits.Names {
		return nil, true
	}
	if precious == nil || !precious(name) {
		return nil, false
	}
	looked := 0
	for other := range b.byID[id] {
		if looked++; looked > 64 {
			break
		}
		if precious(other) {
			continue
		}
		b.lost++
		for a := range b.names[other].until {
			gone = append(gone, a)
		}
		for _, a := range gone {
			b.drop(other, a)
		}
		return gone, true
	}
	return nil, false
}

// dropSoonest takes away the address of a name whose time would be over first.
func (b *Book) dropSoonest(name string, e *entry) netip.Addr {
	var first netip.Addr
	for a, until := range e.until {
		if !first.IsValid() || until.Before(e.until[first]) {
			first = a
		}
	}
	b.lost++
	delete(e.until, first)
	delete(e.saved, first)
	b.unlink(name, first)
	return first
}

func (b *Book) unlink(name string, a netip.Addr) {
	delete(b.byAddr[a], name)
	if len(b.byAddr[a]) == 0 {
		delete(b.byAddr, a)
	}
}

// drop takes an address away from a name, and the name if it was the last.
func (b *Book) drop(name string, a netip.Addr) {
	e := b.names[name]
	delete(e.until, a)
	delete(e.saved, a)
	b.unlink(name, a)
	if len(e.until) == 0 {
		delete(b.names, name)
		delete(b.byID[e.by], name)
		if len(b.byID[e.by]) == 0 {
			delete(b.byID, e.by)
		}
	}
}

// Names are the addresses that names have.
func (b *Book) Names() map[string][]netip.Addr {
	out := make(map[string][]netip.Addr, len(b.names))
	for name, e := range b.names {
		list := make([]netip.Addr, 0, len(e.until))
		for a := range e.until {
			list = append(list, a)
		}
		slices.SortFunc(list, netip.Addr.Compare)
		out[name] = list
	}
	return out
}

// Of lists the names that an address has.
func (b *Book) Of(a netip.Addr) []string {
	out := make([]string, 0, len(b.byAddr[a]))
	for name := range b.byAddr[a] {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Told is the name by which a workload was told an address last; empty: by none.
// It outlives the name's time, as flows do.
func (b *Book) Told(id workload.ID, a netip.Addr) string { return b.told[id][a] }

// Due says whether some address's time is over.
func (b *Book) Due(now time.Time) bool {
	for _, e := range b.names {
		for _, until := range e.until {
			if now.After(until) {
				return true
			}
		}
	}
	return false
}

// Expire takes away addresses whose time is over, and returns them. Those that are
// used stay a grace longer, again and again: a flow that began by the rules is not
// cut because a name has moved on.
func (b *Book) Expire(now time.Time, used func(netip.Addr) bool) (gone []netip.Addr) {
	for name, e := range b.names {
		for a, until := range e.until {
			switch {
			case !now.After(until):
			case used(a):
				e.until[a] = now.Add(b.limits.Grace)
			default:
				gone = append(gone, a)
				b.drop(name, a)
			}
		}
	}
	slices.SortFunc(gone, netip.Addr.Compare)
	return slices.Compact(gone)
}

// Forget drops what was told to workloads that are not there any more. Addresses
// stay their time.
func (b *Book) Forget(known func(workload.ID) bool) {
	for id := range b.told {
		if !known(id) {
			delete(b.told, id)
		}
	}
}

// Pages is all there is, for the disk.
func (b *Book) Pages() (out []Page) {
	for name, e := range b.names {
		for a, until := range e.until {
			out = append(out, Page{Workload: e.by, Name: name, Addresses: []netip.Addr{a}, Until: until})
			e.saved[a] = until
		}
	}
	slices.SortFunc(out, func(x, y Page) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), x.Addresses[0].Compare(y.Addresses[0]))
	})
	return out
}
