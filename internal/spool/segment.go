package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A record in a segment is its length and its CRC-32C, both little endian
// uint32, and its bytes. Length 0 does not occur: a hole of zeros is no record.
const recordHeader = 8

// errBad means that no record can be read at this place: torn or garbage.
var errBad = errors.New("no whole record")

// appendRecord appends rec in its file form.
func appendRecord(b, rec []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(rec)))
	b = binary.LittleEndian.AppendUint32(b, checksum(rec))
	return append(b, rec...)
}

func recordSize(rec []byte) int64 { return recordHeader + int64(len(rec)) }

// readRecord returns the next record; io.EOF exactly at the end, errBad before it.
func readRecord(r *bufio.Reader) ([]byte, error) {
	var head [recordHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if err == io.EOF {
			return nil, io.EOF
		}
		return nil, shortRead(err)
	}
	n := binary.LittleEndian.Uint32(head[:4])
	if n == 0 || n > MaxRecord {
		return nil, errBad
	}
	rec, err := readN(r, int(n))
	if err != nil {
		return nil, shortRead(err)
	}
	if checksum(rec) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errBad
	}
	return rec, nil
}

// readN reads n bytes without trusting n before the bytes are there.
func readN(r io.Reader, n int) ([]byte, error) {
	const step = 1 << 16
	b := make([]byte, min(n, step))
	for at := 0; ; {
		m, err := io.ReadFull(r, b[at:])
		if err != nil {
			return nil, err
		}
		if at += m; at == n {
			return b, nil
		}
		b = append(b, make([]byte, min(n-at, len(b)))...)
	}
}

func shortRead(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errBad
	}
	return err
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
