package execstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
)

var errOver = errors.New("the stream is over")

// sink is the standard output of the exec: it passes the stream on, and takes the trailer for itself.
type sink struct {
	to      io.Writer
	nonce   []byte
	arrived func(trailer, Result) error

	mu    sync.Mutex
	sum   hash.Hash
	bytes int64
	// held is the end of what came, when it may be the beginning of the nonce; the trailer so far once the nonce was found.
	held          []byte
	found, judged bool
	closed        bool
	err           error
}

func newSink(to io.Writer, nonce string, arrived func(trailer, Result) error) *sink {
	return &sink{to: to, nonce: []byte(nonce), arrived: arrived, sum: sha256.New()}
}

var _ io.Writer = (*sink)(nil)

// Write keeps nothing of p but at most a trailer. The first error stays.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // an exec that could not be ended
		return 0, errOver
	}
	if s.err == nil {
		s.err = s.take(p)
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

func (s *sink) take(p []byte) error {
	if s.judged {
		if len(p) == 0 {
			return nil
		}
		return fmt.Errorf("the far end sent %d bytes after its trailer: %w", len(p), ErrCorrupt)
	}
	if len(s.held) > 0 {
		p = slices.Concat(s.held, p)
	}
	if !s.found {
		end := bytes.Index(p, s.nonce)
		s.found = end >= 0
		if !s.found {
			end = len(p) - overlap(p, s.nonce)
		}
		if err := s.pass(p[:end]); err != nil {
			return err
		}
		p = p[end:]
	}
	if s.found {
		return s.trailer(p)
	}
	s.held = append(s.held[:0], p...)
	return nil
}

// overlap is how many bytes at the end of p may be the beginning of the nonce.
func overlap(p, nonce []byte) int {
	for n := min(len(p), len(nonce)-1); n > 0; n-- {
		if bytes.HasSuffix(p, nonce[:n]) {
			return n
		}
	}
	return 0
}

// pass hands a part of the stream on. The writer may block: until it returns, close does not wait for it.
func (s *sink) pass(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	s.mu.Unlock()
	n, err := s.to.Write(p)
	s.mu.Lock()
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write the output of the stream: %w", err)
	}
	s.sum.Write(p)
	s.bytes += int64(n)
	return nil
}

// trailer takes what begins with the nonce.
func (s *sink) trailer(p []byte) error {
	end := bytes.IndexByte(p, '\n')
	if end < 0 && len(p) <= maxTrailer {
		s.held = slices.Clone(p)
		return nil
	}
	if end < 0 || end > maxTrailer {
		return fmt.Errorf("the trailer of the stream has more than %d bytes: %w", maxTrailer, ErrCorrupt)
	}
	t, err := parseTrailer(string(p[len(s.nonce):end]))
	if err != nil {
		return err
	}
	s.judged, s.held = true, nil
	if len(p) > end+1 {
		return s.take(p[end+1:])
	}
	return s.arrived(t, Result{s.bytes, hex.EncodeToString(s.sum.Sum(nil))})
}

// close ends the stream: what comes later is refused. It returns whether a trailer was found good or bad, how much came before it, and the first error.
func (s *sink) close() (judged bool, n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.judged, s.bytes, s.err
}
