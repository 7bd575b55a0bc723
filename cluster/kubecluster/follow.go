package kubecluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/davit-project/davit/cluster"
)

const (
	// followBuffer is what a follower of a log holds in memory, however long its lines are.
	followBuffer = 32 << 10
	// logPatience is how long the log of a container that has ended may not be readable before it is given up.
	logPatience = 30 * time.Second
	// deniedPatience is how long a request may be refused that was allowed, or may have been: a server that has just started does not know its roles yet.
	deniedPatience = 10 * time.Second
	// closing is how long after its stream was closed a container may be known to have ended, for the one to be why the other was.
	closing = 10 * time.Second
	// logPause is the longest pause between two connections.
	logPause = 5 * time.Second
)

var (
	// errUnread means that the log of a container that has ended could not be read to its end.
	errUnread = errors.New("its log could not be read to its end")
	// errMoved means that the line that was delivered last is not in the log any more.
	errMoved = errors.New("the last line is gone")
)

// writeError is one of the writer that takes the log or the results, not of the log.
type writeError struct{ err error }

func (e writeError) Error() string { return e.err.Error() }
func (e writeError) Unwrap() error { return e.err }

// logSource opens the log of a container, each line after its time stamp, from a time on, which is cut to whole seconds; the zero time is the beginning.
// With follow the stream goes on until the container has ended.
type logSource func(ctx context.Context, since time.Time, follow bool) (io.ReadCloser, error)

// follower copies the log of one container from its beginning to its end, over as many connections as it takes: a kubelet ends each after 4 hours, and
// every restart of a part on the way ends them all. A connection begins some seconds before the line that was delivered last and finds
// it again, so nothing is lost or repeated at the seams, in constant memory.
//
// What Kubernetes itself loses is lost: a kubelet serves the newest file of a log only, so a log that grows faster than it is read, or that is
// rotated while nobody is connected, has gaps, and so has one that is rotated while it grows. A gap is logged where it shows: when the last line is
// not found again. What a container wrote in its last moment may never reach the file. Outputs are safe from all of this in the results
// (cluster.ResultsEnv).
type follower struct {
	open logSource
	out  io.Writer
	log  *slog.Logger
	// ended is closed once the container has ended.
	ended <-chan struct{}

	at              place
	denied, failing patient
	// quiet and moves count, once the container has ended, connections without anything new and those whose place was lost.
	quiet, moves int
	// heard is when something was last read, in nanoseconds since 1970.
	heard atomic.Int64
	// endedAt is when the container was first known to have ended, closedAt when a stream was last closed without an error.
	endedAt, closedAt time.Time
	// sighted means that the last connection has come upon the line that was delivered last.
	sighted bool
	// doubts counts connections, one after the other, that may or may not have ended before they came to that line.
	doubts int
	// warned is when trouble was last logged.
	warned time.Time
}

// run returns when all of the log is delivered. The error is a writeError, cluster.ErrDenied, ctx's cause, or errUnread.
func (f *follower) run(ctx context.Context) error {
	f.denied, f.failing = patient{most: deniedPatience}, patient{most: logPatience, least: 5}
	for pause := time.Duration(0); ; {
		if err := sleep(ctx, pause, f.ended); err != nil {
			return err
		}
		ended := f.hasEnded() // before the log is opened: what was written until then can be read from it
		if ended && f.endedAt.IsZero() {
			f.endedAt = time.Now()
		}
		delivered, err := f.connect(ctx, !ended)
		if f.at.lost = errors.Is(err, errMoved); f.sighted || f.at.lost {
			f.doubts = 0
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if over, err := f.judge(ctx, ended, delivered, err); over {
			return err
		}
		if err == nil {
			f.closedAt = time.Now()
		}
		if err != nil && !f.at.lost {
			f.trouble(ctx, err)
		}
		if delivered > 0 {
			pause = 0
		}
		if !ended || err != nil {
			pause = min(max(2*pause, 100*time.Millisecond), logPause)
		}
	}
}

// judge tells whether a connection was the last one, and what comes of it.
func (f *follower) judge(ctx context.Context, ended bool, delivered int64, err error) (over bool, _ error) {
	denied := f.denied.exhausted(errors.Is(err, cluster.ErrDenied))
	unread := f.failing.exhausted(ended && delivered == 0 && err != nil)
	switch {
	case errors.As(err, new(writeError)), denied:
		return true, err
	case !ended:
		return false, nil
	case err == nil && delivered == 0:
		// an answer may end early without saying so: the end is where nothing comes after the last line, or nothing at all, twice
		f.quiet++
		return f.sighted || f.quiet > 1, nil
	case f.at.lost:
		f.moves++
		if f.moves > 3 { // an ended log stands still
			return true, fmt.Errorf("%w: its lines come and go", errUnread)
		}
	case unread, errors.Is(err, cluster.ErrNotFound):
		return true, f.unconfirmed(ctx, err)
	}
	return false, nil
}

// unconfirmed lets a log pass whose end could not be read once more, because the kubelet has cleared up behind the container: its stream was closed
// as the container ended.
func (f *follower) unconfirmed(ctx context.Context, err error) error {
	if f.closedAt.IsZero() || f.closedAt.Before(f.endedAt.Add(-closing)) {
		return fmt.Errorf("%w: %w", errUnread, err)
	}
	f.log.WarnContext(ctx, "the log of a pod was read, but not once more to be sure of its end", "error", err)
	return nil
}

// patient bounds how long something may go wrong without a break.
type patient struct {
	most  time.Duration
	least int // so many times at least
	since time.Time
	times int
}

func (p *patient) exhausted(wrong bool) bool {
	if !wrong {
		p.times = 0
		return false
	}
	if p.times++; p.times == 1 {
		p.since = time.Now()
	}
	return p.times >= p.least && time.Since(p.since) > p.most
}

// sleep waits, but not longer than until ended is closed the first time around.
func sleep(ctx context.Context, pause time.Duration, ended <-chan struct{}) error {
	if pause == 0 {
		return nil
	}
	select {
	case <-ended: // then only wait as one does between two requests
		pause, ended = min(pause, time.Second), nil
	default:
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-ended:
	case <-timer.C:
	}
	return nil
}

func (f *follower) hasEnded() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// trouble logs why the log is opened again: once, and then once a minute.
func (f *follower) trouble(ctx context.Context, err error) {
	if time.Since(f.warned) > time.Minute {
		f.warned = time.Now()
		f.log.WarnContext(ctx, "the log of a pod is opened again", "error", err)
	}
}

// connect opens the log once and delivers what is new in it, until the stream ends.
func (f *follower) connect(ctx context.Context, follow bool) (delivered int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.heard.Store(time.Now().UnixNano())
	go f.watch(ctx, cancel)
	stream, err := f.open(ctx, f.at.since(), follow)
	if err != nil {
		return 0, err
	}
	defer stream.Close() //nolint:errcheck // read only
	r := &resumer{f: f, in: bufio.NewReaderSize(&hearing{stream, &f.heard}, followBuffer), idle: func() { cancel(errMoved) }}
	err = r.copy(ctx)
	if errors.Is(context.Cause(ctx), errMoved) && !r.found && r.passed == 0 {
		err = errMoved
	}
	f.sighted = f.at.stamp != "" && (r.found || r.passed > 0)
	return r.delivered, err
}

// watch ends a stream that says nothing although its container has ended: its node may be gone.
func (f *follower) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
		return
	case <-f.ended:
	}
	for begun := time.Now(); ; {
		wait := logPatience/2 - min(time.Since(time.Unix(0, f.heard.Load())), time.Since(begun))
		if wait <= 0 {
			cancel(errUnread)
			return
		}
		if sleep(ctx, wait, nil) != nil {
			return
		}
	}
}

// hearing notes when something is read.
type hearing struct {
	in    io.Reader
	heard *atomic.Int64
}

func (h *hearing) Read(p []byte) (int, error) {
	n, err := h.in.Read(p)
	if n > 0 {
		h.heard.Store(time.Now().UnixNano())
	}
	return n, err
}
