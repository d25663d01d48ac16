package filters

// ObservationKey is the key in MetadataNamespace under which the filter leaves
// what only it can see of an exchange (exchange.Facts, as a JSON string): which
// parameters stand in headers, how the caller said who it is, and what bodies look
// like. No value is in it.
const ObservationKey = "observation"

// Learn says what the filter tells of exchanges for the inventory of operations.
type Learn struct {
	KeyFile   string  `json:"keyFile"`   // local file with the 16 bytes under which values are hashed
	First     uint32  `json:"first"`     // exchanges of each method and masked path whose bodies are looked into, an hour
	Percent   float64 `json:"percent"`   // of the others
	BodyLimit int64   `json:"bodyLimit"` // bytes of each body looked into
}
