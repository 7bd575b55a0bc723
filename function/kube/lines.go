package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
)

// cutWindow is how far from the end of a piece of a long line a blank is looked for to cut at.
const cutWindow = 4 << 10

// ignoredOutput is logged in place of an output line where none is expected; the line itself may hold a secret.
const ignoredOutput = "a phase output on standard error is ignored: write it to standard output"

// lineWriter takes what a container writes, in chunks cut anywhere, and sorts its lines: outputs, progress and
// log. A line ends with a line feed or a carriage return (progress bars); empty lines are dropped. Memory is
// bounded by the limits. It is safe for concurrent use.
type lineWriter struct {
	limits limits
	// outputs receives what follows an output marker; nil where none are expected.
	outputs *outputs
	// log receives each ordinary line, or each piece of a long one. It must not keep the slice.
	log func(line []byte)
	// output is told the key of each output.
	output func(key string)
	// progress receives progress lines.
	progress func(done, total int64)

	mu sync.Mutex
	// buf holds the part of the line that has been read and not yet handled.
	buf []byte
	// marked is true when buf holds what follows an output marker, cut when a part of the line has been logged.
	marked, cut bool
	err         error
}

// Write fails, once and for all, when an output is malformed or too large.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	for rest := p; len(rest) > 0; {
		part := rest
		end := bytes.IndexAny(rest, "\r\n")
		if end >= 0 {
			part, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		w.add(part)
		if end >= 0 {
			w.endLine()
		}
		if w.err != nil {
			return 0, w.err
		}
	}
	return len(p), nil
}

// Close handles a last line without an end and returns the error of Write, if there was one.
func (w *lineWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.endLine()
	}
	return w.err
}

// failed returns the error of Write.
func (w *lineWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// add takes a part of a line.
func (w *lineWriter) add(part []byte) {
	for len(part) > 0 && !w.marked {
		if len(w.buf) == w.limits.logLine {
			w.logPiece()
		}
		n := min(w.limits.logLine-len(w.buf), len(part))
		from := max(0, len(w.buf)-len(outputMarker)+1)
		w.buf = append(w.buf, part[:n]...)
		part = part[n:]
		if at := bytes.Index(w.buf[from:], []byte(outputMarker)); at >= 0 {
			w.mark(from + at)
		}
	}
	if w.outputs == nil || w.err != nil {
		return
	}
	if len(w.buf)+len(part) > w.limits.outputLine && w.marked {
		w.buf = nil
		w.err = fmt.Errorf("%w: a line of more than %d bytes", ErrOutputTooLarge, w.limits.outputLine)
		return
	}
	w.buf = append(w.buf, part...)
}

// mark starts an output at a position of buf; what stands before it is logged.
func (w *lineWriter) mark(at int) {
	if before := bytes.TrimSpace(w.buf[:at]); len(before) > 0 {
		w.log(before)
	}
	w.marked = true
	w.buf = append(w.buf[:0], w.buf[at+len(outputMarker):]...)
}

// logPiece logs most of a full buf: up to a blank where there is one, so that words and the secrets among them stay whole,
// and never into what may be the beginning of a marker.
func (w *lineWriter) logPiece() {
	end := len(w.buf) - len(outputMarker) + 1
	start := max(0, end-cutWindow)
	if blank := bytes.LastIndexAny(w.buf[start:end], " \t"); blank >= 0 {
		end = start + blank + 1
	}
	w.log(w.buf[:end])
	w.cut = true
	w.buf = append(w.buf[:0], w.buf[end:]...)
}

func (w *lineWriter) endLine() {
	switch text := bytes.TrimSpace(w.buf); {
	case w.marked:
		w.endOutput(text)
	case len(text) == 0:
	case w.cut || !w.reportProgress(text):
		w.log(w.buf)
	}
	w.marked, w.cut = false, false
	if cap(w.buf) > 2*w.limits.logLine {
		w.buf = nil // an output line was long; ordinary ones need not be
	}
	w.buf = w.buf[:0]
}

func (w *lineWriter) endOutput(text []byte) {
	if w.outputs == nil {
		w.log([]byte(ignoredOutput))
		return
	}
	if len(text) == 0 {
		return
	}
	key, err := w.outputs.parse(text)
	if err != nil {
		w.err = err
		return
	}
	w.output(key)
}

// reportProgress tells whether the line is progress. It comes from inside the container and is only ever displayed.
func (w *lineWriter) reportProgress(line []byte) bool {
	_, text, found := bytes.Cut(line, []byte(progressMarker))
	if !found {
		return false
	}
	var p struct {
		Bytes *int64 `json:"bytes"`
		Total int64  `json:"total"`
	}
	if json.Unmarshal(text, &p) != nil || p.Bytes == nil || *p.Bytes < 0 || p.Total < 0 {
		return false
	}
	w.progress(*p.Bytes, p.Total)
	return true
}
