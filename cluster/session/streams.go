package session

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"
)

const (
	maxOutput = 64 << 10 // of what is returned of standard output
	maxTail   = 4 << 10  // of what is kept of standard error
	maxWord   = 64       // of the container's last word; it is shorter
)

// input is the standard input of the exec: nothing, until it is closed with a last word.
type input struct {
	once   sync.Once
	closed chan struct{}
	rest   io.Reader
}

func newInput() *input { return &input{closed: make(chan struct{})} }

// close ends the input; only the first call counts.
func (i *input) close(word string) {
	i.once.Do(func() {
		i.rest = strings.NewReader(word)
		close(i.closed)
	})
}

func (i *input) Read(p []byte) (int, error) {
	<-i.closed
	return i.rest.Read(p)
}

// output is the standard output of the exec. Whatever is written, it holds a fixed amount of memory.
type output struct {
	want  string // the line
	nonce string
	held  chan struct{} // closed when the line has come

	mu     sync.Mutex
	line   []byte // what there is of a line, at most one byte more than the line that is wanted may have; nil once held
	kept   []byte // the first of what follows the line; maxWord more than is returned, so that more than that is noticed whatever the last word takes
	last   []byte // the last bytes of all
	closed bool
}

func newOutput(want, nonce string) *output {
	return &output{want: want, nonce: nonce, held: make(chan struct{})}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, io.ErrClosedPipe
	}
	o.last = lastOf(o.last, p, maxWord)
	rest := p
	for !o.isHeld() && len(rest) > 0 {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		room := len(o.want) + len("\r\n") - len(o.line) // one more than there can be
		o.line = append(o.line, line[:min(len(line), room)]...)
		if !whole {
			return len(p), nil
		}
		if strings.TrimSuffix(string(o.line), "\r") == o.want {
			close(o.held)
		}
		o.line, rest = o.line[:0], after
	}
	o.kept = append(o.kept, rest[:min(len(rest), maxOutput+maxWord-len(o.kept))]...)
	return len(p), nil
}

// isHeld tells whether the line has come.
func (o *output) isHeld() bool {
	select {
	case <-o.held:
		return true
	default:
		return false
	}
}

// close ends the output: what a transport still writes is not looked at.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// code is the exit code of the container's last word, which is the end of the output.
func (o *output) code() (code int, said bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, word, said := bytes.Cut(o.last, []byte(o.nonce+" "))
	if !said || !o.closed {
		return 0, false
	}
	number, line := bytes.CutSuffix(word, []byte("\n"))
	code, err := strconv.Atoi(string(number))
	return code, line && err == nil && code >= 0 && code <= 255
}

// text is what followed the line, without the last word. It is longer than maxOutput if there was more than that.
func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text, _, _ := strings.Cut(string(o.kept), o.nonce+" ")
	return text
}

// tail keeps the end of standard error.
type tail struct {
	mu   sync.Mutex
	last []byte
	cut  bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut = t.cut || len(t.last)+len(p) > maxTail
	t.last = lastOf(t.last, p, maxTail)
	return len(p), nil
}

// String is the last lines, whole ones if there is one.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimRight(t.last, "\r\n")
	if i := bytes.IndexByte(text, '\n'); t.cut && i >= 0 {
		text = text[i+1:]
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// lastOf appends p to kept and returns the last limit bytes of it.
func lastOf(kept, p []byte, limit int) []byte {
	if len(p) >= limit {
		return append(kept[:0], p[len(p)-limit:]...)
	}
	if over := len(kept) + len(p) - limit; over > 0 {
		kept = append(kept[:0], kept[over:]...)
	}
	return append(kept, p...)
}
