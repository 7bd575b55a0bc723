package kubecluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// letGo is how long the end of an execution waits for a Write that is under way.
const letGo = 500 * time.Millisecond

var errOver = errors.New("the command is over")

// streams guards the caller's reader and writers: one of them is written to at a time, none after the end, and a failure of any ends the command.
type streams struct {
	end  context.CancelCauseFunc
	gate chan struct{} // holds a token while somebody writes
	over chan struct{} // closed when the transport is done

	closed atomic.Bool
	mu     sync.Mutex
	broken error
}

func newStreams(end context.CancelCauseFunc) *streams {
	return &streams{end: end, gate: make(chan struct{}, 1), over: make(chan struct{})}
}

// fail ends the command, because of a stream.
func (s *streams) fail(err error) {
	s.mu.Lock()
	if s.broken == nil {
		s.broken = err
	}
	s.mu.Unlock()
	s.end(err)
}

// fault is why a stream failed.
func (s *streams) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// close lets no Read or Write begin any more, and waits a little for a Write that is under way.
func (s *streams) close() {
	s.closed.Store(true)
	timer := time.NewTimer(letGo)
	defer timer.Stop()
	select {
	case s.gate <- struct{}{}:
		<-s.gate
	case <-timer.C:
	}
}

// sink is a writer of the caller's.
type sink struct {
	*streams
	to   io.Writer // nil drops
	tail *tail     // nil for none
}

func (w *sink) Write(p []byte) (int, error) {
	w.gate <- struct{}{}
	defer func() { <-w.gate }()
	if w.closed.Load() {
		return 0, errOver
	}
	if w.tail != nil {
		w.tail.add(p)
	}
	if w.to == nil {
		return len(p), nil
	}
	n, err := w.to.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.fail(fmt.Errorf("take the command's output: %w", err))
	}
	return n, err
}

// source is the caller's reader.
type source struct {
	*streams
	from io.Reader
}

// Read does not return an error while the transport lasts: it would become the end of the command's input.
func (r *source) Read(p []byte) (int, error) {
	if r.closed.Load() {
		<-r.over
		return 0, errOver
	}
	n, err := r.from.Read(p)
	if err != nil && err != io.EOF {
		r.fail(fmt.Errorf("read the command's input: %w", err))
		<-r.over
	}
	return n, err
}

// maxTail is how much of standard error an ExitError shows, in bytes.
const maxTail = 4 << 10

// tail keeps the last bytes of what is added. It is not safe for concurrent use.
type tail struct {
	ring [maxTail]byte
	size int64 // of all that was added
}

func (t *tail) add(p []byte) {
	if over := len(p) - maxTail; over > 0 {
		t.size, p = t.size+int64(over), p[over:]
	}
	for len(p) > 0 {
		n := copy(t.ring[t.size%maxTail:], p)
		t.size, p = t.size+int64(n), p[n:]
	}
}

// String returns the last lines: whole ones, if one ends in what was kept.
func (t *tail) String() string {
	kept := t.ring[:min(t.size, maxTail)]
	if t.size > maxTail {
		at := t.size % maxTail
		kept = append(bytes.Clone(t.ring[at:]), t.ring[:at]...)
		if _, lines, ok := bytes.Cut(kept, []byte("\n")); ok && len(lines) > 0 {
			kept = lines
		}
	}
	return strings.ToValidUTF8(strings.TrimRight(string(kept), "\r\n"), "\uFFFD")
}
