package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Documents reads and compares descriptions of APIs.
type Documents interface {
	// Parse reads a declared one; problems are parts that were left out.
	Parse(body []byte, service, name string) (spec apidiscovery.Spec, problems []string, err error)
	// Render writes OpenAPI 3.1, as JSON or else as YAML.
	Render(spec apidiscovery.Spec, json bool) ([]byte, error)
	Compare(declared, observed apidiscovery.Spec) []apidiscovery.Drift
	Findings(observed apidiscovery.Spec) []apidiscovery.Finding
	// Changes says what differs between two documents, and what breaks callers.
	Changes(before, after []byte) ([]apidiscovery.Change, error)
}

// ErrInvalid: what a person gave cannot be used; the message says why.
var ErrInvalid = errors.New("invalid")

// words are what persons said: it goes before what is observed.
type words struct {
	reading   sync.Mutex // one at a time, so that the last to read has the newest
	mu        sync.Mutex // of all below
	overrides []store.StoredOverride
	heads     []store.DeclaredAPI // of those stored
	declared  map[string]Declared // stored, and given
}

// Declared is a declaration that was read.
type Declared struct {
	store.DeclaredAPI
	Spec     apidiscovery.Spec
	Problems []string // parts that were left out
	Broken   string   // why it cannot be read at all
}

// of are the overrides that a service's templates are concluded with. A declared
// template is one that a person pinned.
func (w *words) of(service string) (list []apidiscovery.Override) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.overrides {
		list = append(list, o.Override)
	}
	for _, o := range w.declared[service].Spec.Operations {
		list = append(list, apidiscovery.Override{Service: service, Action: apidiscovery.OverridePin, Template: o.Template})
	}
	return list
}

// are says whether these were read before.
func (w *words) are(overrides []store.StoredOverride, heads []store.DeclaredAPI) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.declared != nil && reflect.DeepEqual(w.overrides, overrides) && reflect.DeepEqual(w.heads, heads)
}

// readWords reads what is stored of them; what was concluded by others before is no
// longer.
func (in *Inventory) readWords(ctx context.Context) error {
	in.words.reading.Lock()
	defer in.words.reading.Unlock()
	overrides, err := in.o.Store.Overrides(ctx)
	if err != nil {
		return err
	}
	heads, err := in.o.Store.DeclaredHeads(ctx)
	if err != nil || in.words.are(overrides, heads) {
		return err
	}
	declared, err := in.o.Store.Declared(ctx) // may be newer than the heads: then it is read again
	if err != nil {
		return err
	}
	read := map[string]Declared{}
	for _, d := range append(slices.Clone(in.o.Given), declared...) {
		read[d.Service] = in.read(d)
	}
	in.words.mu.Lock()
	in.words.overrides, in.words.heads, in.words.declared = overrides, heads, read
	in.words.mu.Unlock()
	in.turn.Lock() // after: whoever concludes from now on knows the new words
	defer in.turn.Unlock()
	in.specs = map[string]*concluded{}
	return nil
}

func (in *Inventory) read(d store.DeclaredAPI) Declared {
	out := Declared{DeclaredAPI: d}
	if in.o.Documents == nil {
		return out
	}
	spec, problems, err := in.o.Documents.Parse(d.Body, d.Service, d.Name)
	if err != nil {
		out.Broken = err.Error()
		return out
	}
	out.Spec, out.Problems = spec, problems
	return out
}

// Overrides lists what persons decided, oldest first.
func (in *Inventory) Overrides() []store.StoredOverride {
	in.words.mu.Lock()
	defer in.words.mu.Unlock()
	return append([]store.StoredOverride{}, in.words.overrides...)
}

// Decide stores an override; templates follow it from then on.
func (in *Inventory) Decide(ctx context.Context, o apidiscovery.Override) (store.StoredOverride, error) {
	stored, err := in.o.Store.AddOverride(ctx, o)
	if err != nil {
		return stored, err
	}
	return stored, in.readWords(ctx)
}

// Undo takes an override back.
func (in *Inventory) Undo(ctx context.Context, id int64, author string) error {
	if err := in.o.Store.RemoveOverride(ctx, id, author); err != nil {
		return err
	}
	return in.readWords(ctx)
}

// Declaration is what a service is declared to have; false when nothing is.
func (in *Inventory) Declaration(service string) (Declared, bool) {
	in.words.mu.Lock()
	defer in.words.mu.Unlock()
	d, ok := in.words.declared[service]
	return d, ok
}

// Declarations lists the services of which something is declared, by name.
func (in *Inventory) Declarations() []string {
	in.words.mu.Lock()
	defer in.words.mu.Unlock()
	return slices.Sorted(maps.Keys(in.words.declared))
}

// Declare stores a declaration, after reading it: what cannot be read is refused.
func (in *Inventory) Declare(ctx context.Context, d store.DeclaredAPI) (read Declared, changed bool, err error) {
	if len(d.Body) > 0 {
		if read = in.read(d); read.Broken != "" {
			return read, false, fmt.Errorf("%w: %s", ErrInvalid, read.Broken)
		}
	}
	if changed, err = in.o.Store.PutDeclared(ctx, d); err != nil {
		return read, false, err
	}
	return read, changed, in.readWords(ctx)
}
