package main

import (
	"context"
	"errors"
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

// cancelOnSignal returns a context that the first signal cancels; the second one ends the process. Stop must be called.
func (s *session) cancelOnSignal(ctx context.Context, id string) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals, release := s.interrupts()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case sig := <-signals:
			cancel(errors.New("signal: " + sig.String()))
		case <-done:
			return
		}
		select {
		case <-signals:
			_, _ = fmt.Fprintf(s.stderr, "\ndavit run: ended at once; the run goes on with --run %s\n", id)
			s.exit(exitInterrupt)
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
