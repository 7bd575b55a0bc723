package location

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"time"
)

const (
	// bufferSize is that of one of the at most two buffers of a write, or of a codec: small enough that the processor has at hand what is hashed.
	bufferSize = 256 << 10
	// readSize is that of the buffer of a read: large enough that few calls to the system are needed.
	readSize = 1 << 20
	// progressEvery is the shortest time between two reports.
	progressEvery = 250 * time.Millisecond
)

type buffer = [bufferSize]byte

// meter hashes, counts and reports what passes.
type meter struct {
	hash hash.Hash
	// sums tells that crc is wanted, the CRC-32C of what has passed.
	sums   bool
	crc    uint32
	size   int64
	shown  func() int64
	report func(int64)
	last   time.Time
}

// newMeter makes a meter that reports the bytes that have passed it.
func newMeter(report func(int64)) *meter {
	m := &meter{hash: sha256.New(), report: report}
	m.shown = func() int64 { return m.size }
	return m
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m *meter) add(p []byte) {
	m.hash.Write(p)
	if m.sums {
		m.crc = crc32.Update(m.crc, castagnoli, p)
	}
	m.size += int64(len(p))
	if m.report == nil {
		return
	}
	if now := time.Now(); now.Sub(m.last) >= progressEvery {
		m.last = now
		m.report(m.shown())
	}
}

func (m *meter) done() {
	if m.report != nil {
		m.report(m.shown())
	}
}

func (m *meter) sum() string { return hex.EncodeToString(m.hash.Sum(nil)) }

type chunk struct {
	buf *buffer
	n   int
	err error
}

// source reads ahead by one buffer, in a goroutine of its own so that a reader that blocks cannot hold up a cancelled
// write. A Read that is under way when the source is stopped is left to end by itself.
type source struct {
	full chan chunk
	free chan *buffer
	quit chan struct{}
}

func (b *Bucket) newSource(r io.Reader) *source {
	s := &source{full: make(chan chunk), free: make(chan *buffer, 2), quit: make(chan struct{})}
	s.free <- b.buffers.Get().(*buffer)
	s.free <- b.buffers.Get().(*buffer)
	go s.run(r)
	return s
}

func (s *source) run(r io.Reader) {
	for {
		var buf *buffer
		select {
		case buf = <-s.free:
		case <-s.quit:
			return
		}
		n, err := readFull(r, buf[:])
		select {
		case s.full <- chunk{buf, n, err}:
		case <-s.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

// next returns the next chunk. Its err is io.EOF at the end of the stream; its buffer must be given back with recycle.
func (s *source) next(ctx context.Context) chunk {
	select {
	case <-ctx.Done():
		return chunk{err: context.Cause(ctx)}
	default:
	}
	select {
	case c := <-s.full:
		return c
	case <-ctx.Done():
		return chunk{err: context.Cause(ctx)}
	}
}

func (s *source) recycle(buf *buffer) { s.free <- buf }

// stop ends the reading ahead. Only the buffers that are surely idle go back to the pool.
func (b *Bucket) stop(s *source) {
	close(s.quit)
	for {
		select {
		case buf := <-s.free:
			b.buffers.Put(buf)
		default:
			return
		}
	}
}

// readFull fills p as far as the reader gives bytes; the error is that of the reader, io.EOF at its end.
func readFull(r io.Reader, p []byte) (int, error) {
	n := 0
	for empty := 0; n < len(p); {
		m, err := r.Read(p[n:])
		if m < 0 || m > len(p)-n {
			return n, errors.New("the reader returned an impossible count")
		}
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty >= 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
