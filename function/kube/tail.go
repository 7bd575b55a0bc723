package kube

import (
	"strings"
	"sync"
)

// What an error shows of the last output of a command.
const (
	tailLines = 10
	tailBytes = 4 << 10
	// tailKept is more than what is shown: a secret that the ring has cut at its beginning, and that masking therefore
	// misses, is never shown.
	tailKept = 16 << 10
)

// tail keeps the last bytes of what is written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	ring []byte
	next int
	full bool
}

// add keeps a line.
func (t *tail) add(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ring == nil {
		t.ring = make([]byte, tailKept)
	}
	t.write(line)
	t.write([]byte{'\n'})
}

func (t *tail) write(p []byte) {
	if len(p) > len(t.ring) {
		p = p[len(p)-len(t.ring):]
		t.full = true
	}
	for len(p) > 0 {
		n := copy(t.ring[t.next:], p)
		p = p[n:]
		t.next += n
		if t.next == len(t.ring) {
			t.next, t.full = 0, true
		}
	}
}

// text returns the last lines, masked: at most tailLines of them and tailBytes in all.
func (t *tail) text(mask func(string) string) string {
	t.mu.Lock()
	kept := string(t.ring[:t.next])
	if t.full {
		kept = string(t.ring[t.next:]) + kept
	}
	t.mu.Unlock()
	text := strings.TrimRight(mask(kept), "\n")
	if len(text) > tailBytes {
		text = strings.ToValidUTF8(text[len(text)-tailBytes:], "")
	}
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
