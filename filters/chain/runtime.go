package chain

import "github.com/gabion-io/gabion/filters"

type policy struct{}

// Runtime holds the compiled policies of a process. A policy is compiled once
// per distinct content, shared by every Table that names it, and freed when the
// last of them is released. Safe for concurrent use.
type Runtime struct{ o Options }

// NewRuntime gives an empty runtime.
func NewRuntime(o Options) *Runtime { return &Runtime{o} }

// Load decodes a filters.Table strictly (unknown fields are errors) and compiles
// its policies. The error names the policy and where it is used. A Table that
// was loaded is ready: Begin on it compiles nothing.
func (r *Runtime) Load(config []byte) (*Table, error) { panic("todo") }

// Stats are counters since the runtime began.
type Stats struct {
	Policies       int    // compiled and in use
	Compiled       uint64 // compilations
	Panics         uint64 // recovered in the chain or an engine
	EventsDropped  uint64 // spool full
	RecordsDropped uint64 // recording queue or spool full
	UnknownKeys    uint64 // exchanges whose key no table knew
}

// Stats reads the counters.
func (r *Runtime) Stats() Stats { panic("todo") }

// Close drains and closes the spools. Tables must have been released.
func (r *Runtime) Close() error { return nil }

// Table is one loaded configuration. It is immutable; exchanges that began on
// it finish on it, also after Release.
type Table struct{}

// Config is the decoded table. Not to be changed.
func (t *Table) Config() *filters.Table { panic("todo") }

// Release says no further Begin will come. Compiled policies are freed when the
// last exchange on it has completed. Idempotent.
func (t *Table) Release() {}

// Begin starts an exchange under a route's key. It never fails: an unknown key
// is judged by Table.Unknown. Key "" stands for a route without key.
func (t *Table) Begin(key string) *Exchange { panic("todo") }
