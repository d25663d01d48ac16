package xds

// BootstrapOptions are what an Envoy must know before it can ask.
type BootstrapOptions struct {
	NodeID      string
	Cluster     string // node cluster; "": "gabion"
	ADSSocket   string // Unix socket of the control plane's discovery server
	ALSSocket   string // Unix socket of its access log service; "": none
	AdminSocket string // Unix socket of Envoy's own admin interface; never TCP; "": none
	SotW        bool   // state-of-the-world ADS instead of delta
	Connections uint64 // downstream connections of all listeners together; 0: 50,000
	MaxMemory   uint64 // bytes of the whole process that the overload manager allows, Go's heap included; 0: no memory actions
}

// Bootstrap writes the JSON file that Envoy starts from.
func Bootstrap(o BootstrapOptions) ([]byte, error) { panic("todo") }
