package mover

import (
	"bytes"
	"sync"
)

// maxLine is how much of a line is kept.
const maxLine = 16 << 10

// Follower takes what a far end writes, in chunks cut anywhere, and sorts its lines. Of a line that is too long, the end is dropped. A nil function drops what is for
// it. It never fails, holds 16 KiB at most, and is safe for concurrent use.
type Follower struct {
	// Hello is told of a greeting, Reply of a reply, Progress of progress.
	Hello    func()
	Reply    func(Reply)
	Progress func(Progress)
	// Other is told of all other lines that are not empty. It must not keep the slice.
	Other func(line []byte)

	mu  sync.Mutex
	buf []byte
}

// Write takes a chunk.
func (f *Follower) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte{'\n'})
		f.buf = append(f.buf, part[:min(len(part), maxLine-len(f.buf))]...)
		if whole {
			f.line(bytes.TrimRight(f.buf, "\r"))
			f.buf = f.buf[:0]
		}
		rest = after
	}
	return len(p), nil
}

// Close takes what there is of a last line as one for people: a reply that lacks its end is none.
func (f *Follower) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.buf) > 0 && f.Other != nil && !bytes.HasPrefix(f.buf, []byte(replyMarker)) {
		f.Other(f.buf)
	}
	f.buf = nil
	return nil
}

func (f *Follower) line(line []byte) {
	if string(line) == Hello {
		if f.Hello != nil {
			f.Hello()
		}
		return
	}
	if r, ok := parseReply(line); ok {
		if f.Reply != nil {
			f.Reply(r)
		}
		return
	}
	if p, ok := parseProgress(line); ok {
		if f.Progress != nil {
			f.Progress(p)
		}
		return
	}
	if len(line) > 0 && f.Other != nil {
		f.Other(line)
	}
}
