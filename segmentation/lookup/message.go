package lookup

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// read takes a message apart (RFC 1035, 4). Of an answer the addresses are those at
// the end of the chain of aliases that begins with the name that was asked for; what
// else is in it proves nothing.
func read(b []byte) (r reading, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil {
		return r, fmt.Errorf("read header: %w", err)
	}
	q, err := p.Question()
	if err != nil {
		return r, fmt.Errorf("read question: %w", err)
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return r, errors.New("read question: there is not one")
	}
	r = reading{id: h.ID, answer: h.Response, name: plain(q.Name), kind: q.Type}
	if h.OpCode != 0 || q.Class != dnsmessage.ClassINET || r.name == "" {
		return r, errors.New("read question: it is not about a name of the Internet")
	}
	// What was cut short is asked again, over TCP.
	if !r.answer || h.RCode != dnsmessage.RCodeSuccess || h.Truncated {
		return r, nil
	}
	s, err := section(&p)
	if err != nil {
		return r, err
	}
	r.addresses, r.ttl = s.follow(r.name, r.kind)
	return r, nil
}

// answers are the records of an answer that can lead to addresses.
type answers struct {
	alias map[string]record // one to a name, the first
	found map[string][]record
}

type record struct {
	to   string
	addr netip.Addr
	kind dnsmessage.Type
	ttl  uint32
}

func section(p *dnsmessage.Parser) (answers, error) {
	s := answers{alias: map[string]record{}, found: map[string][]record{}}
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return s, nil
		}
		if err == nil {
			err = s.take(p, h)
		}
		if err != nil {
			return s, fmt.Errorf("read record: %w", err)
		}
	}
	return s, nil
}

func (s *answers) take(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) error {
	owner := plain(h.Name)
	if h.Class != dnsmessage.ClassINET || owner == "" {
		return p.SkipAnswer()
	}
	r := record{kind: h.Type, ttl: h.TTL}
	switch h.Type {
	case dnsmessage.TypeA:
		body, err := p.AResource()
		if err != nil {
			return err
		}
		r.addr = netip.AddrFrom4(body.A)
		s.found[owner] = append(s.found[owner], r)
	case dnsmessage.TypeAAAA:
		body, err := p.AAAAResource()
		if err != nil {
			return err
		}
		// One that is an IPv4 address in disguise is dropped: no packet carries it.
		if r.addr = netip.AddrFrom16(body.AAAA); !r.addr.Is4In6() {
			s.found[owner] = append(s.found[owner], r)
		}
	case dnsmessage.TypeCNAME:
		body, err := p.CNAMEResource()
		if err != nil {
			return err
		}
		if r.to = plain(body.CNAME); r.to == "" {
			return nil
		}
		if _, twice := s.alias[owner]; !twice {
			s.alias[owner] = r
		}
	default:
		return p.SkipAnswer()
	}
	return nil
}

// follow goes from a name to its addresses of one kind.
func (s *answers) follow(name string, kind dnsmessage.Type) (out []netip.Addr, ttl time.Duration) {
	least := uint32(1<<31 - 1) // RFC 2181, 8
	for range maxChain {
		next, ok := s.alias[name]
		if !ok {
			break
		}
		name, least = next.to, min(least, next.ttl)
	}
	for _, r := range s.found[name] {
		if r.kind == kind && len(out) < maxOfAnswer {
			out, least = append(out, r.addr), min(least, r.ttl)
		}
	}
	return out, time.Duration(least) * time.Second
}
