package agent

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"strings"
)

// Limits of what the host sends, in bytes.
const (
	pieceLimit = 1 << 20
	lineLimit  = 128
)

var errDamaged = errors.New("what arrived is not what the host sent")

// in feeds the command what the host sends. It sees an end of file only when all has come unchanged; else it is ended first.
func (f farEnd) in(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // closed once the command is at its end, whatever comes of it
	widen(w)
	widen(f.s.In)
	c := f.start(r, nil)
	left := make(chan bool, 1)
	go func() { left <- c.leaves(r) }()
	t := taker{in: newFrames(f.s.In), w: w, sum: sha256.New()}
	fed, host := make(chan error, 1), make(chan error, 1)
	go func() {
		err := t.take()
		fed <- err
		if err == nil {
			_ = w.Close()
			err = f.awaitAck(t.in)
		}
		host <- err
	}()
	select {
	case rest := <-left:
		err = f.report(c, &t, fed, rest)
	case err = <-host: // the command still runs: neither an acknowledgement nor an end fits
		c.end()
		if errors.Is(err, errDamaged) {
			err = errors.Join(err, f.trailer("code=%d damaged=1", c.code))
		}
		if err == nil {
			err = errors.New("the host acknowledged a trailer that was not sent")
		}
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		c.end()
		return err
	}
	select {
	case err = <-host:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// report sends the trailer of a command that has ended.
func (f farEnd) report(c *child, t *taker, fed <-chan error, rest bool) error {
	select {
	case err := <-fed:
		if err != nil {
			return f.trailer("code=%d damaged=1", c.code)
		}
	default:
		return f.trailer("code=%d rest=1", c.code) // what was taken is not known yet, and does not matter
	}
	if rest {
		return f.trailer("code=%d rest=1", c.code)
	}
	return f.trailer("code=%d rest=0 length=%d sum=%x", c.code, t.bytes, t.sum.Sum(nil))
}

// leaves returns when the command has ended, and whether it left input unread where its code is 0: it waits for the input to go on or to end.
func (c *child) leaves(r *os.File) bool {
	defer r.Close() //nolint:errcheck // from now on nobody reads it
	<-c.ended
	if c.code != 0 {
		return false
	}
	n, _ := r.Read(make([]byte, 1)) // an end, or whatever ends it
	return n > 0
}

// taker takes the pieces of the stream and hands them to the command.
type taker struct {
	in    *frames
	w     io.Writer
	sum   hash.Hash
	bytes int64
}

// take returns nil when the stream has ended and was what the host sent.
func (t *taker) take() error {
	buf := make([]byte, streamBuffer)
	deaf := false // the command has ended: what still comes is passed over
	for {
		line, err := t.in.line()
		if err != nil {
			return err
		}
		if want, ok := strings.CutPrefix(line, "0 "); ok {
			if fmt.Sprintf("%x", t.sum.Sum(nil)) != want {
				return errDamaged
			}
			return nil
		}
		size, err := strconv.ParseUint(line, 10, 32)
		if err != nil || size == 0 || size > pieceLimit {
			return errDamaged
		}
		for size > 0 {
			part := buf[:min(size, streamBuffer)]
			if _, err := io.ReadFull(t.in.r, part); err != nil {
				return errHostGone
			}
			if !deaf {
				_, err = t.w.Write(part)
				deaf = err != nil
			}
			t.sum.Write(part)
			t.bytes += int64(len(part))
			size -= uint64(len(part))
		}
	}
}

// frames reads what the host sends.
type frames struct{ r *bufio.Reader }

func newFrames(r io.Reader) *frames {
	if r == nil {
		r = strings.NewReader("")
	}
	return &frames{bufio.NewReaderSize(r, streamBuffer)}
}

// line reads a line, without its end.
func (f *frames) line() (string, error) {
	var line []byte
	for len(line) <= lineLimit {
		b, err := f.r.ReadByte()
		if err != nil {
			return "", errHostGone
		}
		if b == '\n' {
			return string(line), nil
		}
		line = append(line, b)
	}
	return "", errDamaged
}
