package netlink

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Loopback is there everywhere, and its attributes can be read.
func TestDump(t *testing.T) {
	c, err := Dial(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found := false
	for range 2 { // one connection, many questions
		err = c.Dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(b []byte) error {
			for kind, value := range Attributes(b[unix.SizeofIfInfomsg:]) {
				found = found || kind == unix.IFLA_IFNAME && string(value) == "lo\x00"
			}
			return nil
		})
		if err != nil || !found {
			t.Fatalf("loopback found: %v, %v", found, err)
		}
	}
	none := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(none[4:], 1<<30)
	if _, err := c.Ask(unix.RTM_GETLINK, none); !errors.Is(err, unix.ENODEV) {
		t.Errorf("an interface that is not there gives %v", err)
	}
	stop := errors.New("stop")
	if err := c.Dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reader's error comes back as %v", err)
	}
}

func TestAppend(t *testing.T) {
	b := Append(Append(nil, 3, []byte("abcde")), 4, []byte{1, 0, 0, 0})
	if len(b)%4 != 0 {
		t.Errorf("%d bytes are not aligned", len(b))
	}
	got := map[uint16]string{}
	for kind, value := range Attributes(b) {
		got[kind] = string(value)
	}
	if got[3] != "abcde" || got[4] != "\x01\x00\x00\x00" || len(got) != 2 {
		t.Errorf("read back %v", got)
	}
}

func TestMessagesThatAreCut(t *testing.T) {
	header := func(size uint32, kind uint16, body ...byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, size)
		b = binary.NativeEndian.AppendUint16(b, kind)
		return append(append(b, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0), body...)
	}
	nothing := func([]byte) error { return nil }
	for _, b := range [][]byte{header(15, 1), header(200, 1), header(18, unix.NLMSG_ERROR, 1, 2)} {
		if err := messages(b, 7, nothing); err == nil || errors.Is(err, errEnd) {
			t.Errorf("%v is read: %v", b, err)
		}
	}
	if err := messages(header(16, unix.NLMSG_DONE), 7, nothing); !errors.Is(err, errEnd) {
		t.Errorf("the end is read as %v", err)
	}
	if err := messages(header(16, unix.NLMSG_DONE), 8, nothing); err != nil {
		t.Errorf("another question's end is read as %v", err)
	}
	if err := messages(header(20, unix.NLMSG_ERROR, 0xff, 0xff, 0xff, 0xff), 7, nothing); !errors.Is(err, os.ErrPermission) {
		t.Errorf("an error is read as %v", err)
	}
}
