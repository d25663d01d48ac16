package proposal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/gabion-io/gabion/controlplane/store"
)

// toStored and fromStored translate between a Proposal and what the store keeps:
// the document whole, and beside it what is searched for and guarded.
func toStored(p Proposal) (store.Proposal, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return store.Proposal{}, fmt.Errorf("write proposal %s: %w", p.ID, err)
	}
	return store.Proposal{
		ID: p.ID, Kind: p.Kind, Target: p.Base.key(), BaseRevision: p.Base.Revision,
		Status: store.ProposalOpen, Body: body, Author: p.Author, Created: p.Created,
	}, nil
}

func fromStored(s store.Proposal) (Proposal, error) {
	var p Proposal
	if err := json.Unmarshal(s.Body, &p); err != nil {
		return Proposal{}, fmt.Errorf("read proposal %s: %w", s.ID, err)
	}
	p.ID, p.Author = s.ID, s.Author
	if !s.Created.IsZero() {
		p.Created = s.Created
	}
	p.State = stateOf(s.Status)
	if p.State != Proposed {
		p.DecidedBy, p.Decided = s.DecidedBy, s.Updated
	}
	return p, nil
}

func stateOf(s store.ProposalStatus) State {
	switch s {
	case store.ProposalAccepted:
		return Accepted
	case store.ProposalRejected:
		return Rejected
	}
	return Proposed
}

func statusOf(s State) store.ProposalStatus {
	switch s {
	case Accepted:
		return store.ProposalAccepted
	case Rejected:
		return store.ProposalRejected
	case Proposed:
		return store.ProposalOpen
	}
	return store.ProposalStatus(s)
}

func (b Base) key() store.Key {
	return store.Key{Kind: b.Kind, Namespace: b.Namespace, Name: b.Name}
}

func baseOf(r Resource) Base {
	return Base{
		Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Origin: string(r.Origin),
		File: r.File, Revision: r.Revision, Digest: digest(r.Manifest),
	}
}

// same says whether the resource is what it was.
func (b Base) same(o Base) bool {
	return b.key() == o.key() && b.Origin == o.Origin && b.Revision == o.Revision && b.Digest == o.Digest
}

func digest(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
