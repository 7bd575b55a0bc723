package pgdump

import (
	"bytes"
	"strings"
	"sync"
)

const (
	// maxLine bounds a line of a program's that is kept; tailLines is how many are.
	maxLine   = 500
	tailLines = 8
)

// lines takes what a program says and keeps its last lines.
type lines struct {
	// each is called with every line, and tells whether it is to be kept.
	each func(line string) bool

	mu   sync.Mutex
	buf  []byte
	last []string
}

// Write takes a chunk. It never fails.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte{'\n'})
		l.buf = append(l.buf, part[:min(len(part), maxLine-len(l.buf))]...)
		if whole {
			l.flush()
		}
		rest = after
	}
	return len(p), nil
}

func (l *lines) flush() {
	line := strings.TrimRight(strings.ToValidUTF8(string(l.buf), "\uFFFD"), "\r")
	l.buf = l.buf[:0]
	if line == "" {
		return
	}
	if l.each != nil && !l.each(line) {
		return
	}
	l.last = append(l.last, line)
	l.last = l.last[max(0, len(l.last)-tailLines):]
}

// tail is the last lines, as one.
func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.flush()
	}
	return strings.Join(l.last, "; ")
}
