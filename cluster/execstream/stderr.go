package execstream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// maxTail is how much of standard error an ExitError shows, in bytes.
const maxTail = 4 << 10

// stderr is the standard error of the exec. A writer that fails ends the call: the command may end well when it is ended for that.
type stderr struct {
	to  io.Writer // nil drops
	end context.CancelCauseFunc

	mu   sync.Mutex
	last []byte
	cut  bool
}

var _ io.Writer = (*stderr)(nil)

func (s *stderr) Write(p []byte) (int, error) {
	s.keep(p)
	if s.to == nil {
		return len(p), nil
	}
	n, err := s.to.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = fmt.Errorf("write the standard error of the command: %w", err)
		s.end(err)
	}
	return n, err
}

func (s *stderr) keep(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) > maxTail {
		p, s.cut = p[len(p)-maxTail:], true
	}
	if over := len(s.last) + len(p) - maxTail; over > 0 {
		s.last, s.cut = append(s.last[:0], s.last[over:]...), true
	}
	s.last = append(s.last, p...)
}

// tail is the last lines, whole ones if there is one.
func (s *stderr) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := bytes.TrimRight(s.last, "\n")
	if i := bytes.IndexByte(text, '\n'); s.cut && i >= 0 {
		text = text[i+1:]
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
