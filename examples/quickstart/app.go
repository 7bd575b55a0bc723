//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/davit-project/davit/cluster"
)

// app is the database as its users see it: through commands in its pod, as with kubectl exec.
type app struct{ cluster.Executor }

// exec runs the database's client in the database's pod.
func (a app) exec(ctx context.Context, out io.Writer, args ...string) error {
	var complaint bytes.Buffer
	err := a.Exec(ctx, cluster.Command{
		Namespace: namespace, Pod: workload + "-0", Container: "database",
		Args: append([]string{dbName}, args...), Stdout: out, Stderr: &complaint,
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w\n%s", args[0], err, &complaint)
	}
	return err
}

// number runs a command that prints one.
func (a app) number(ctx context.Context, args ...string) (uint64, error) {
	var out bytes.Buffer
	if err := a.exec(ctx, &out, args...); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(out.Bytes())), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: want a number: %w", args[0], err)
	}
	return n, nil
}

// write writes records and calls acknowledged with the last number of each commit.
func (a app) write(ctx context.Context, first, last, batch uint64, pause time.Duration, acknowledged func(uint64)) error {
	out := &lines{each: func(line string) error {
		n, err := strconv.ParseUint(line, 10, 64)
		if err == nil {
			acknowledged(n)
		}
		return err
	}}
	return a.exec(ctx, out, "write", fmt.Sprint(first), fmt.Sprint(last), fmt.Sprint(batch), pause.String())
}

// compare reads every record and compares each byte with what was written. It returns how many there are, numbered from 1.
func (a app) compare(ctx context.Context) (count uint64, err error) {
	const name = "compare"
	if _, err := a.number(ctx, "snapshot", name); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	dumped := make(chan error, 1)
	go func() {
		err := a.exec(ctx, w, "dump", name)
		dumped <- errors.Join(err, w.CloseWithError(err))
	}()
	in := newDumpReader(r)
	for {
		n, value, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && n != count+1 {
			err = fmt.Errorf("record %d is missing", count+1)
		}
		if err == nil {
			err = compareRecord(n, value)
		}
		if err != nil {
			return count, errors.Join(err, r.CloseWithError(err))
		}
		count++
	}
	if err := <-dumped; err != nil {
		return count, err
	}
	return count, a.exec(ctx, nil, "release", name)
}

// writer adds records until it is stopped.
type writer struct {
	acknowledged atomic.Uint64
	cancel       context.CancelFunc
	// err is why it ended, once done is closed.
	err  error
	done chan struct{}
}

// startWriter adds eight records at a time and returns when the first have been acknowledged.
func (a app) startWriter(ctx context.Context, first uint64) (*writer, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{cancel: cancel, done: make(chan struct{})}
	begun := make(chan struct{}, 1)
	go func() {
		defer close(w.done)
		w.err = a.write(ctx, first, 0, 8, 2*time.Millisecond, func(n uint64) {
			w.acknowledged.Store(n)
			select {
			case begun <- struct{}{}:
			default:
			}
		})
	}()
	select {
	case <-begun:
		return w, nil
	case <-w.done:
		cancel()
		return nil, fmt.Errorf("the writer ended: %w", w.err)
	}
}

// stop returns the number of the last record whose commit was acknowledged. A writer that had ended before is an error.
func (w *writer) stop() (uint64, error) {
	select {
	case <-w.done:
		return 0, fmt.Errorf("the writer ended before it was stopped: %w", w.err)
	default:
	}
	w.cancel()
	<-w.done
	return w.acknowledged.Load(), nil
}

// lines calls each with every whole line that is written to it.
type lines struct {
	each func(string) error
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		if err := l.each(string(line)); err != nil {
			return 0, err
		}
		l.rest = rest
	}
}
