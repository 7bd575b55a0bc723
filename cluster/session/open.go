package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/davit-project/davit/cluster"
)

// Open is an application that is held.
type Open struct {
	spec  Spec
	home  time.Duration // the way home
	place string        // names the container in errors
	nonce string
	in    *input
	out   *output
	errs  *tail
	begin time.Time
	end   context.CancelCauseFunc

	lost     chan struct{}
	loseOnce sync.Once
	done     chan struct{} // closed when the exec has returned; err is set then
	err      error
	released sync.Mutex
}

func newOpen(spec Spec, home time.Duration, nonce string) *Open {
	place := "pod " + spec.Namespace + "/" + spec.Pod
	if spec.Container != "" {
		place += ", container " + spec.Container
	}
	return &Open{
		spec: spec, home: home, place: place, nonce: nonce,
		in: newInput(), out: newOutput(spec.HeldLine, nonce), errs: &tail{},
		lost: make(chan struct{}), done: make(chan struct{}),
	}
}

// run runs the command, and ends it when nobody else does.
func (o *Open) run(ctx context.Context, exec cluster.Executor) {
	over := time.AfterFunc(o.spec.MaxHold, func() {
		o.lose()
		o.in.close("")
	})
	defer over.Stop()
	cut := time.AfterFunc(o.spec.MaxHold+o.patience(), func() { o.end(errNoEnd) })
	defer cut.Stop()
	err := exec.Exec(ctx, cluster.Command{
		Namespace: o.spec.Namespace, Pod: o.spec.Pod, Container: o.spec.Container,
		Args: o.spec.args(o.nonce), Stdin: o.in, Stdout: o.out, Stderr: o.errs,
	})
	o.in.close("")
	o.out.close()
	o.err = err
	close(o.done)
	o.lose()
	o.end(nil)
}

var errNoEnd = errors.New("the command does not end")

// patience is how long the command may take to end after the end of its input, killed at last.
func (o *Open) patience() time.Duration { return o.spec.Grace + killAfter + o.home }

func (o *Open) lose() { o.loseOnce.Do(func() { close(o.lost) }) }

// Lost is closed when the command has ended, or Spec.MaxHold has passed since the host began to run it.
func (o *Open) Lost() <-chan struct{} { return o.lost }

// Output is what the command has written to standard output after the line, whole once Release has returned. More than 64 KiB is ErrOutput, with the first 64 KiB: what is cut
// may be of no use.
func (o *Open) Output() (string, error) {
	text := o.out.text()
	if len(text) > maxOutput {
		return text[:maxOutput], fmt.Errorf("%s: %w: only the first %d KiB after line %q are", o.place, ErrOutput, maxOutput>>10, o.spec.HeldLine)
	}
	return text, nil
}

// Release lets the application go on, and returns when the command has ended. Nil means that the application was held until now: that the command was still running, within
// Spec.MaxHold, when the container read that it is released, and that it ended with code 0. A command that failed after it was released is an error too. When
// ctx ends first, its streams are closed and the container ends it. A second call is ErrLost.
func (o *Open) Release(ctx context.Context) error {
	if !o.released.TryLock() {
		return fmt.Errorf("%s: %w: it was released before", o.place, ErrLost)
	}
	asked := time.Since(o.begin) < o.spec.MaxHold
	select {
	case <-o.done:
		asked = false
	default:
	}
	if asked {
		o.in.close(o.nonce + "\n")
	}
	o.in.close("")
	if err := o.wait(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return o.verdict(asked)
}

// wait waits for the command's end. An error says that it is not known to have ended.
func (o *Open) wait(ctx context.Context) error {
	limit := time.NewTimer(o.patience())
	defer limit.Stop()
	cause := errNoEnd
	select {
	case <-o.done:
		if o.known() {
			return nil
		}
		if cause = o.err; cause == nil {
			cause = errors.New("the output ended without the last word of the container, as if the connection was lost on the way")
		}
		return o.unknown(cause)
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-limit.C:
	}
	o.end(cause)
	select {
	case <-o.done:
		if o.known() {
			return nil
		}
	case <-time.After(o.home): // an executor that does not honour its context
	}
	return o.unknown(cause)
}

// known tells whether the command is known to have ended: the container says so, or whoever ran it.
func (o *Open) known() bool {
	_, said := o.out.code()
	_, exited := errors.AsType[*cluster.ExitError](o.err)
	return said || exited
}

func (o *Open) unknown(cause error) error {
	return fmt.Errorf("%s: %w; %w: it is ended in the container at the latest %s after it began", o.place, cause, ErrUnknown,
		o.spec.MaxHold+o.spec.Grace+killAfter)
}

// verdict is what the end of a command that was held says, and that was asked to let go, or not.
func (o *Open) verdict(asked bool) error {
	code, said := o.out.code()
	switch {
	case said && code == 0 && asked:
		return nil
	case said && code == 0:
		return fmt.Errorf("%s: %w: the command ended before that, or was held for %s", o.place, ErrLost, o.spec.MaxHold)
	case said && code == codeMaxHold:
		return fmt.Errorf("%s: %w: it was let go in the container after %s", o.place, ErrMaxHold, o.spec.MaxHold)
	case said && code == codeEarly:
		return fmt.Errorf("%s: %w: the command ended with code 0 before that, or its input did%s", o.place, ErrLost, o.complaint())
	}
	return fmt.Errorf("%w: %w", ErrLost, o.exit())
}

// notHeld is what the end of a command that was never held says.
func (o *Open) notHeld() error {
	code, said := o.out.code()
	exit, exited := errors.AsType[*cluster.ExitError](o.err)
	switch {
	case said && code == codeMaxHold:
		return fmt.Errorf("%s: %w before it was held", o.place, ErrMaxHold)
	case said && code == codeUnusable:
		return fmt.Errorf("%w: %s: it needs sleep, and a process group for each command", ErrUnusable, o.place)
	case said && code == codeEarly:
		return fmt.Errorf("%s: %w: it ended with code 0 and wrote no line %q%s", o.place, ErrNotHeld, o.spec.HeldLine, o.complaint())
	case said:
		return fmt.Errorf("%w: %w", ErrNotHeld, o.exit())
	case exited && (exit.Code == 126 || exit.Code == 127): // POSIX: not executable, not found; the script itself never ends so without its last word
		return fmt.Errorf("%w: %s: it needs sh: %w", ErrUnusable, o.place, exit)
	case exited:
		return fmt.Errorf("%w: %w", ErrNotHeld, o.exit())
	case o.err == nil:
		return fmt.Errorf("%s: %w, or its output did", o.place, ErrNotHeld)
	}
	return fmt.Errorf("%w: %w", ErrNotHeld, o.err)
}

// complaint is the end of standard error, for the end of an error.
func (o *Open) complaint() string {
	if text := o.errs.String(); text != "" {
		return ", last output:\n" + text
	}
	return ""
}

// exit is the command's end, with the end of its standard error.
func (o *Open) exit() *cluster.ExitError {
	code, said := o.out.code()
	if exit, ok := errors.AsType[*cluster.ExitError](o.err); ok && !said {
		code = exit.Code
	}
	return &cluster.ExitError{What: o.place, Code: code, Tail: o.errs.String()}
}
