package bpf

// Reason is why a packet passed or not, and the index of its counter.
type Reason uint8

// Reasons, in the order of the programs.
const (
	ReasonAllowed Reason = iota
	ReasonEstablished
	ReasonAudited
	ReasonDenied
	ReasonRelated
	ReasonNeighbour
	ReasonSpoofed
	ReasonMalformed
	ReasonFragment
	ReasonProtocol
	ReasonInterface
	ReasonRedirected
	LostEstablished
	LostBudget
	LostFlows
	LostEvents
	Reasons
)

// String is what a person reads.
func (r Reason) String() string {
	if r >= Reasons {
		return "unknown"
	}
	return [Reasons]string{
		"allowed", "established", "audited", "denied", "related", "neighbour", "spoofed source", "malformed",
		"fragment without its first", "protocol", "unknown interface", "redirected", "established full",
		"over budget", "flows full", "events dropped",
	}[r]
}
