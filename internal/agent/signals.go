package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// graceTime is how long an interrupted command may take to tidy up; Kubernetes kills after 30 seconds.
const graceTime = 20 * time.Second

// graceful tells whether a command has something to tidy up when it is interrupted.
type graceful bool

// signalError is a signal as the cause of a context's end.
type signalError struct{ sig os.Signal }

func (e *signalError) Error() string { return "ended by signal: " + e.sig.String() }

// code is what a shell gives for a command that a signal ended.
func (e *signalError) code() int {
	if s, ok := e.sig.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return exitFailed
}

// untilSignal runs f in a context that SIGINT and SIGTERM end, and returns when f does. After a signal, f has graceTime,
// or none if there is nothing to tidy up: it may hang in a write to a pipe that nobody reads; the second signal ends that time
// too. A closed pipe makes a write fail instead of ending the process.
func untilSignal(ctx context.Context, grace graceful, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ends, pipe := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(ends)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()

	var sig os.Signal
	select {
	case err := <-done:
		return err
	case sig = <-ends:
	}
	ended := &signalError{sig}
	cancel(ended)
	if !grace {
		return ended
	}
	timer := time.NewTimer(graceTime)
	defer timer.Stop()
	select {
	case err := <-done:
		if err == nil || errors.As(err, new(*signalError)) {
			return err // nil: it was done before it noticed
		}
		return fmt.Errorf("%w: %w", ended, err)
	case <-ends:
	case <-timer.C:
	}
	return ended
}
