package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/gabion-io/gabion/internal/netnstest"
)

// nameServer answers from a table.
type nameServer struct {
	lock    sync.Mutex
	records map[string][]any // by name: each a TTL and then an address or an alias
	also    map[string]string
	silent  map[string]bool
	within  map[string][]byte // by name: what is said in a text, over TCP in a segment of its own
}

func (s *nameServer) set(name string, ttl int, values ...any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.records[name] = append([]any{ttl}, values...)
}

// text has a name be a text, which over TCP is cut where it begins: as whoever asks can
// bring about by what its end of the connection takes at once.
func (s *nameServer) text(name string, text []byte) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.within[name] = text
}

// before has an answer to another name sent before that to a name.
func (s *nameServer) before(name, other string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.also[name] = other
}

func (s *nameServer) silence(name string, silent bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.silent[name] = silent
}

func serveNames(t testing.TB, w *netnstest.Workload) *nameServer {
	t.Helper()
	s := &nameServer{records: map[string][]any{}, also: map[string]string{}, silent: map[string]bool{}, within: map[string][]byte{}}
	for _, a := range w.Addresses() {
		var c net.PacketConn
		var l net.Listener
		var err, bad error
		w.Do(func() {
			c, err = net.ListenPacket("udp", netip.AddrPortFrom(a, 53).String())
			l, bad = net.Listen("tcp", netip.AddrPortFrom(a, 53).String())
		})
		if err := errors.Join(err, bad); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); l.Close() })
		go s.udp(c)
		go s.tcp(l)
	}
	return s
}

func (s *nameServer) udp(c net.PacketConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		for _, m := range s.answers(b[:n]) {
			c.WriteTo(m, from)
		}
	}
}

func (s *nameServer) tcp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b, err := readFramed(c)
			if err != nil {
				return
			}
			for _, m := range s.answers(b) {
				for _, segment := range s.segments(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)) {
					c.Write(segment)
				}
			}
			io.Copy(io.Discard, c) // to end with something unread is to reset
		}()
	}
}

// segments are how a message is sent over TCP.
func (s *nameServer) segments(m []byte) [][]byte {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, text := range s.within {
		if head, ok := bytes.CutSuffix(m, text); ok {
			return [][]byte{head, text}
		}
	}
	return [][]byte{m}
}

func readFramed(c io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}

// answers are the messages for a query; those to another name that nobody asked for
// come first.
func (s *nameServer) answers(query []byte) (out [][]byte) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	name := strings.TrimSuffix(q.Name.String(), ".")
	if s.silent[name] {
		return nil
	}
	if other := s.also[name]; other != "" {
		out = append(out, s.answer(h.ID, other, q.Type))
	}
	return append(out, s.answer(h.ID, name, q.Type))
}

func (s *nameServer) answer(id uint16, name string, kind dnsmessage.Type) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, Response: true, RecursionAvailable: true})
	b.EnableCompression()
	asked := dnsmessage.MustNewName(name + ".")
	b.StartQuestions()
	b.Question(dnsmessage.Question{Name: asked, Type: kind, Class: dnsmessage.ClassINET})
	b.StartAnswers()
	if text := s.within[name]; text != nil {
		b.TXTResource(dnsmessage.ResourceHeader{Name: asked, Class: dnsmessage.ClassINET, TTL: 600}, dnsmessage.TXTResource{TXT: []string{string(text)}})
	}
	list := s.records[name]
	for i := 1; i < len(list); i++ {
		head := dnsmessage.ResourceHeader{Name: asked, Class: dnsmessage.ClassINET, TTL: uint32(list[0].(int))}
		switch v := list[i].(type) {
		case string:
			asked = dnsmessage.MustNewName(v + ".")
			b.CNAMEResource(head, dnsmessage.CNAMEResource{CNAME: asked})
		case netip.Addr:
			if v.Is4() && kind == typeA {
				b.AResource(head, dnsmessage.AResource{A: v.As4()})
			} else if v.Is6() && kind == typeAAAA {
				b.AAAAResource(head, dnsmessage.AAAAResource{AAAA: v.As16()})
			}
		}
	}
	m, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return m
}

func question(id uint16, name string, kind dnsmessage.Type) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	b.StartQuestions()
	b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name + "."), Type: kind, Class: dnsmessage.ClassINET})
	m, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return m
}

// udpFrame is a datagram over IPv4 without a checksum of its own.
func udpFrame(to, from net.HardwareAddr, src, dst netip.AddrPort, payload []byte) []byte {
	f := append(append(append([]byte{}, to...), from...), 8, 0)
	h := make([]byte, 28)
	h[0], h[8], h[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(h[2:], uint16(28+len(payload)))
	copy(h[12:], src.Addr().AsSlice())
	copy(h[16:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[10:], netnstest.Checksum(h[:20]))
	binary.BigEndian.PutUint16(h[20:], src.Port())
	binary.BigEndian.PutUint16(h[22:], dst.Port())
	binary.BigEndian.PutUint16(h[24:], uint16(8+len(payload)))
	return append(append(f, h...), payload...)
}
