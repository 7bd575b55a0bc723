package kubecluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"time"
)

const (
	// margin is how long before the last line a connection begins. Lines of the two streams of a container may stand in a log in another order than their
	// stamps say, and a time is cut to whole seconds.
	margin = 5 * time.Second
	// disorder is how much later than the last line a line's stamp has to be for the last line not to come any more; and how long a
	// follower waits for it once a later one has come.
	disorder = time.Second
	// stampSize bounds a time stamp, in bytes.
	stampSize = 64
)

var crcTable = crc64.MakeTable(crc64.ISO)

// place is how far a log has been delivered.
type place struct {
	// stamp is that of the last line of which a byte was delivered; empty before the first.
	stamp string
	time  time.Time
	// lines is how many complete lines in a row, up to the last one, carried this stamp.
	lines int
	// first is the checksum of the first of those lines.
	first uint64
	// open means that a line of this stamp comes after those, of which only a part was delivered: so many bytes, of this checksum.
	open  bool
	bytes int64
	sum   uint64
	// lost means that the place is not in the log any more: all that is left of it is new.
	lost bool
}

// since is from when on the log has to be read again.
func (p *place) since() time.Time {
	if p.stamp == "" {
		return time.Time{}
	}
	return p.time.Add(-margin)
}

// begin notes that a line begins to be delivered.
func (p *place) begin(stamp string, at time.Time) {
	if p.stamp != stamp {
		p.stamp, p.time, p.lines = stamp, at, 0
	}
	p.open, p.bytes, p.sum, p.lost = true, 0, 0, false
}

// end notes that the line is complete.
func (p *place) end() {
	if p.lines++; p.lines == 1 {
		p.first = p.sum
	}
	p.open, p.bytes, p.sum = false, 0, 0
}

// resumer reads one stream: it passes over what was delivered before, then delivers.
type resumer struct {
	f  *follower
	in *bufio.Reader
	// idle is called when a later line than the one that is looked for has come, and for some time nothing after it.
	idle func()

	delivered int64
	// begun: this is not the first line. The first may be the end of a line that began before the time the stream begins at.
	begun bool
	// found: the place was found, and everything after it is new.
	found bool
	// passed is how many lines of the place's stamp were passed over.
	passed int
	// odd: the first line has the place's stamp and is not the line that is open there.
	odd bool
	// seen, later: a line has come before the place was found, and one with a later stamp than the place's.
	seen, later bool
	timer       *time.Timer
}

// copy returns nil at the end of the stream.
func (r *resumer) copy(ctx context.Context) error {
	p := &r.f.at
	if r.found = p.stamp == "" || p.lost; p.lost {
		if err := r.gap(ctx); err != nil {
			return err
		}
	}
	defer r.stopTimer()
	for {
		stamp, at, err := r.stamp()
		if err == nil {
			err = r.line(ctx, stamp, at)
		}
		if err == io.EOF { //nolint:errorlint // the end of the stream itself, as the reader returns it
			return r.atEnd(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// gap logs that lines may be missing. A line that was cut in the middle is ended.
func (r *resumer) gap(ctx context.Context) error {
	r.f.log.WarnContext(ctx, "lines of a pod's log may be lost: the last one that was read is not in it any more", "after", r.f.at.stamp)
	return r.breakLine()
}

// breakLine ends a line that was cut in the middle and does not go on.
func (r *resumer) breakLine() error {
	p := &r.f.at
	cut := p.open && p.bytes > 0
	p.open, p.bytes, p.sum = false, 0, 0
	if !cut {
		return nil
	}
	return r.write([]byte{'\n'})
}

// atEnd judges a stream that has ended. No line at all is what a log has that was just rotated. Lines that are all earlier than the place mean that
// the stream was cut; a later one may stand before the place, so it has to be the last one more than once.
func (r *resumer) atEnd(ctx context.Context) error {
	switch {
	case r.found, r.passed > 0, !r.seen:
		return nil
	case r.odd && r.doubtful():
		return r.mistaken(ctx)
	case r.later && r.doubtful():
		return errMoved
	}
	return io.ErrUnexpectedEOF
}

// doubtful tells whether a stream that has ended too early is not the first one in a row: then it did not end too early.
func (r *resumer) doubtful() bool {
	r.f.doubts++
	return r.f.doubts > 2
}

// stamp reads the time stamp that each line begins with. What has none is no line of the log: a kubelet writes its own errors there.
func (r *resumer) stamp() (string, time.Time, error) {
	var b []byte
	for len(b) < stampSize {
		c, err := r.in.ReadByte()
		if err != nil {
			if len(b) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", time.Time{}, err
		}
		if c == ' ' {
			break
		}
		b = append(b, c)
	}
	at, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return "", time.Time{}, r.noStamp(b)
	}
	return string(b), at, nil
}

// noStamp makes an error of a text that is no line of the log, and is perhaps only the beginning of one.
func (r *resumer) noStamp(b []byte) error {
	rest := make([]byte, 256)
	n, _ := io.ReadFull(r.in, rest) // as much as there is
	return fmt.Errorf("unexpected text in place of a time stamp: %q", brief(string(b)+" "+string(rest[:n])))
}

// line passes over a line or delivers it, whole or from where it was cut.
func (r *resumer) line(ctx context.Context, stamp string, at time.Time) error {
	p := &r.f.at
	isFirst := !r.begun
	r.begun = true
	switch {
	case r.found:
	case r.odd && stamp != p.stamp: // it was no end of an earlier line
		return r.mistaken(ctx)
	case stamp == p.stamp && r.passed < p.lines:
		r.stopTimer()
		r.seen = true
		sum, err := r.skip()
		if err == nil && (!isFirst || sum == p.first) {
			r.passed++
		}
		return err
	case stamp == p.stamp && p.open:
		r.stopTimer()
		return r.resume(ctx, isFirst, at)
	case stamp == p.stamp:
		r.stopTimer()
		r.found = true
	case r.passed > 0:
		r.found = true
		if p.open { // its line is not there
			if err := r.gap(ctx); err != nil {
				return err
			}
		}
	case at.Sub(p.time) > disorder:
		return errMoved
	default:
		r.seen, r.later = true, r.later || at.After(p.time)
		if r.later {
			r.stopTimer()
			r.timer = time.AfterFunc(disorder, r.idle)
		}
		_, err := r.skip()
		return err
	}
	return r.deliver(stamp, at)
}

func (r *resumer) stopTimer() {
	if r.timer != nil {
		r.timer.Stop()
	}
}

// skip passes over a line and returns its checksum.
func (r *resumer) skip() (sum uint64, err error) {
	for {
		chunk, err := r.in.ReadSlice('\n')
		sum = crc64.Update(sum, crcTable, chunk)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return sum, err
		}
	}
}

// resume passes over the part of the line that was delivered and delivers the rest. What is another line, because something wrote into the
// stream, is delivered anew; at the beginning of a stream it is the end of an earlier one and passed over.
func (r *resumer) resume(ctx context.Context, isFirst bool, at time.Time) error {
	p := &r.f.at
	sum := uint64(0)
	for left := p.bytes; left > 0; {
		chunk, err := r.in.Peek(int(min(left, followBuffer)))
		if bytes.IndexByte(chunk, '\n') >= 0 {
			sum++ // shorter than what was delivered
			break
		}
		_, _ = r.in.Discard(len(chunk)) // it was peeked at
		sum = crc64.Update(sum, crcTable, chunk)
		left -= int64(len(chunk))
		switch {
		case left > 0 && errors.Is(err, io.EOF):
			if !r.doubtful() {
				return io.ErrUnexpectedEOF
			}
			return r.mistaken(ctx)
		case left > 0 && err != nil:
			return err
		}
	}
	switch {
	case sum == p.sum:
		r.found = true
		return r.deliver(p.stamp, at)
	case isFirst:
		r.odd, r.seen = true, true
		_, err := r.skip()
		return err
	}
	return r.mistaken(ctx)
}

// mistaken is what comes of a line that is not the one that was cut: it is delivered anew by the next connection.
func (r *resumer) mistaken(ctx context.Context) error {
	if err := r.gap(ctx); err != nil {
		return err
	}
	return errors.New("a line of the log is not the one that was read before")
}

// deliver writes a line, or the rest of the one that is open.
func (r *resumer) deliver(stamp string, at time.Time) error {
	p := &r.f.at
	for {
		chunk, err := r.in.ReadSlice('\n')
		complete := err == nil
		if n := len(chunk); n > 0 {
			if werr := r.write(chunk); werr != nil {
				return werr
			}
			if !p.open {
				p.begin(stamp, at)
			}
			p.bytes += int64(n)
			p.sum = crc64.Update(p.sum, crcTable, chunk)
		}
		switch {
		case complete:
			p.end()
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

func (r *resumer) write(b []byte) error {
	if _, err := r.f.out.Write(b); err != nil {
		return writeError{err}
	}
	r.delivered += int64(len(b))
	return nil
}
