package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interrupts delivers the signals that end a run, until stop is called. A broken pipe is no reason to end one: who read
// the output went away, the run goes on.
func interrupts() (signals <-chan os.Signal, stop func()) {
	ends, pipe := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	signal.Notify(pipe, syscall.SIGPIPE)
	return ends, func() {
		signal.Stop(ends)
		signal.Stop(pipe)
	}
}

// signalError is a signal as the cause of a context's end.
type signalError struct{ sig os.Signal }

func (e *signalError) Error() string { return "signal: " + e.sig.String() }

func (e *signalError) code() int {
	if s, ok := e.sig.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return exitInterrupt
}

// untilSignal returns a context that the first signal ends; the second one calls again. Stop must be called.
func (p *program) untilSignal(ctx context.Context, again func(*signalError)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals, release := p.interrupts()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case sig := <-signals:
			cancel(&signalError{sig})
		case <-done:
			return
		}
		select {
		case sig := <-signals:
			again(&signalError{sig})
		case <-done:
		}
	}()
	return ctx, func() {
		close(done)
		<-ended
		release()
		cancel(nil)
	}
}

// cancelOnSignal is untilSignal for a run; the second signal ends the process.
func (s *session) cancelOnSignal(ctx context.Context, id string) (_ context.Context, stop func()) {
	return s.untilSignal(ctx, func(*signalError) {
		_, _ = fmt.Fprintf(s.stderr, "\ndavit run: ended at once; the run goes on with --run %s\n", id)
		s.exit(exitInterrupt)
	})
}
