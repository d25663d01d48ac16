// Package netlink asks the kernel over netlink (netlink(7)): one request, all its
// answers, and the attributes that they are made of.
//
// It knows no family's messages and follows no events. Whoever needs a question
// answered imports it; Linux only.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// Conn is for one goroutine.
type Conn struct {
	fd  int
	seq uint32
	b   []byte
}

// patience is how many seconds the kernel may take for one piece of an answer.
const patience = 10

// Dial opens a socket of a netlink family (unix.NETLINK_ROUTE, …) in the network
// namespace of the calling thread; it stays there whoever uses it.
func Dial(family int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &Conn{fd: fd, b: make([]byte, 64<<10)}, nil
}

// Close ends it.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// errEnd says that the last answer has come.
var errEnd = errors.New("end of answers")

// Dump asks for all there are of something, and hands each answer over without its
// header. What is handed over is valid until each returns.
func (c *Conn) Dump(kind uint16, body []byte, each func(body []byte) error) error {
	return c.ask(kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, body, each)
}

// Ask asks for one thing.
func (c *Conn) Ask(kind uint16, body []byte) (answer []byte, err error) {
	err = c.ask(kind, unix.NLM_F_REQUEST, body, func(b []byte) error {
		answer = append([]byte(nil), b...)
		return errEnd
	})
	return answer, err
}

func (c *Conn) ask(kind, flags uint16, body []byte, each func([]byte) error) error {
	c.seq++
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, c.seq)
	b = append(binary.NativeEndian.AppendUint32(b, 0), body...)
	if err := unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	for {
		n, _, err := unix.Recvfrom(c.fd, c.b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil {
			err = messages(c.b[:n], c.seq, each)
		}
		switch {
		case errors.Is(err, errEnd):
			return nil
		case err != nil:
			return fmt.Errorf("read the kernel's answer: %w", err)
		}
	}
}

// messages reads one datagram. What belongs to an earlier question is passed over.
func messages(b []byte, seq uint32, each func([]byte) error) error {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return errors.New("a message is cut")
		}
		kind, mine := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]) == seq
		body := b[unix.SizeofNlMsghdr:size]
		b = b[min(align(size), len(b)):]
		switch {
		case !mine:
		case kind == unix.NLMSG_DONE:
			return errEnd
		case kind == unix.NLMSG_ERROR:
			if len(body) < 4 {
				return errors.New("a message is cut")
			}
			if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return os.NewSyscallError("netlink", unix.Errno(-code))
			}
			return errEnd
		default:
			if err := each(body); err != nil {
				return err
			}
		}
	}
	return nil
}

func align(n int) int { return (n + 3) &^ 3 }

// Attributes walks attributes; a cut one ends the walk. The two high bits of a kind
// are flags and are left out.
func Attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			size := int(binary.NativeEndian.Uint16(b))
			if size < 4 || size > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

// Append adds an attribute.
func Append(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

// Uint32 is the number in an attribute of four bytes.
func Uint32(value []byte) (uint32, bool) {
	if len(value) != 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(value), true
}
