//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

// A dump is a stream of records whose end proves that it is whole:
//
//	magic    the text below
//	record   number (8 bytes, big endian), length (4 bytes), value; numbers go up
//	end      8 bytes of 0xff, how many records (8 bytes), SHA-256 of all that comes before it
const (
	dumpMagic = "bbolt records 1\n"
	dumpEnd   = math.MaxUint64
	maxValue  = 1 << 20
)

// dumpSize is the length of a dump of n records of recordSize bytes.
func dumpSize(n uint64) int64 {
	return int64(len(dumpMagic)) + int64(n)*(8+4+recordSize) + 8 + 8 + sha256.Size
}

// errCutOff means that a dump ended before its end.
var errCutOff = errors.New("the dump is cut off")

type dumpWriter struct {
	out   *bufio.Writer
	sum   hash.Hash
	count uint64
	err   error
}

func newDumpWriter(w io.Writer) *dumpWriter {
	d := &dumpWriter{out: bufio.NewWriterSize(w, 256<<10), sum: sha256.New()}
	d.write([]byte(dumpMagic))
	return d
}

// write keeps the first error for end.
func (d *dumpWriter) write(p []byte) {
	if d.err == nil {
		d.sum.Write(p)
		_, d.err = d.out.Write(p)
	}
}

func (d *dumpWriter) record(n uint64, value []byte) error {
	var head [12]byte
	binary.BigEndian.PutUint64(head[:], n)
	binary.BigEndian.PutUint32(head[8:], uint32(len(value)))
	d.write(head[:])
	d.write(value)
	d.count++
	return d.err
}

// end must be called last: without it the dump is worth nothing.
func (d *dumpWriter) end() error {
	var tail [16]byte
	binary.BigEndian.PutUint64(tail[:], dumpEnd)
	binary.BigEndian.PutUint64(tail[8:], d.count)
	d.write(tail[:])
	d.write(d.sum.Sum(nil))
	return errors.Join(d.err, d.out.Flush())
}

type dumpReader struct {
	in      io.Reader
	sum     hash.Hash
	last    uint64
	count   uint64
	started bool
	value   []byte
}

func newDumpReader(r io.Reader) *dumpReader {
	sum := sha256.New()
	return &dumpReader{in: bufio.NewReaderSize(r, 256<<10), sum: sum}
}

// next returns the next record; its value is valid until the following call. It is io.EOF once the whole dump was read and its
// checksum is right, and never before.
func (d *dumpReader) next() (n uint64, value []byte, err error) {
	if !d.started {
		magic, err := d.read(len(dumpMagic))
		if err != nil {
			return 0, nil, err
		}
		if string(magic) != dumpMagic {
			return 0, nil, errors.New("this is no dump of records")
		}
		d.started = true
	}
	head, err := d.read(8)
	if err != nil {
		return 0, nil, err
	}
	if n = binary.BigEndian.Uint64(head); n == dumpEnd {
		return 0, nil, d.finish()
	}
	if n <= d.last {
		return 0, nil, fmt.Errorf("record %d comes after record %d", n, d.last)
	}
	head, err = d.read(4)
	if err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head)
	if length > maxValue {
		return 0, nil, fmt.Errorf("record %d has %d bytes, more than %d", n, length, maxValue)
	}
	d.last = n
	d.count++
	value, err = d.read(int(length))
	return n, value, err
}

func (d *dumpReader) finish() error {
	tail, err := d.read(8)
	if err != nil {
		return err
	}
	if count := binary.BigEndian.Uint64(tail); count != d.count {
		return fmt.Errorf("the dump has %d records and says that it has %d", d.count, count)
	}
	want := d.sum.Sum(nil)
	sum, err := d.read(sha256.Size)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, want) {
		return errors.New("the dump is corrupt: its checksum differs")
	}
	return io.EOF
}

func (d *dumpReader) read(n int) ([]byte, error) {
	if cap(d.value) < n {
		d.value = make([]byte, n)
	}
	buf := d.value[:n]
	if _, err := io.ReadFull(d.in, buf); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w after %d records", errCutOff, d.count)
		}
		return nil, err
	}
	d.sum.Write(buf)
	return buf, nil
}
