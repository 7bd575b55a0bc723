package execstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/davit-project/davit/cluster"
)

// Errors of a stream.
var (
	// ErrTruncated means that the stream was not complete: there was no trailer, or the trailer tells of more bytes than there were, or the
	// command ended before it had read its input.
	ErrTruncated = errors.New("stream truncated")
	// ErrCorrupt means that the bytes that arrived are not the ones that were sent, or that the far end does not keep to the protocol.
	ErrCorrupt = errors.New("stream corrupt")
)

// ackTime is how long the far end may take to go once its trailer has been found good. What counts has arrived by then.
const ackTime = 10 * time.Second

// Options of a stream. Nil and zero are ready to use.
type Options struct {
	// Agent is the path of davit in the container, or its name there in PATH: it is the far end. Default none: the shell is.
	Agent string
}

// Result describes a stream that was verified.
type Result struct {
	// Bytes is its length.
	Bytes int64
	// SHA256 of it, lower-case hex.
	SHA256 string
}

// Read runs the command and writes its standard output to cmd.Stdout: every byte, or there is an error. It returns when
// the command has ended and nobody holds its output open any more. An empty output is no error.
//
// A code other than zero is a *cluster.ExitError; the result is then still that of the whole output. After any other error what
// cmd.Stdout was given is worth nothing. cmd.Stderr gets the command's standard error as it comes; the
// end of it is the Tail of the *cluster.ExitError. cmd.Stdin must be nil: the command
// reads end of file at once.
//
// When ctx ends first, the command is ended and ctx's cause is returned. Read waits as long as the command runs, and also
// if a transport lost or changed the trailer but stays connected: a ctx with a deadline bounds that.
func Read(ctx context.Context, e cluster.Executor, cmd cluster.Command, opts *Options) (Result, error) {
	if cmd.Stdin != nil {
		return Result{}, fmt.Errorf("%w: %s: Read has no input for the command: Stdin must be nil", cluster.ErrInvalid, place(cmd))
	}
	to := cmd.Stdout
	if to == nil {
		to = io.Discard
	}
	return run(ctx, e, cmd, direction{script: readScript, agent: "out", to: to, judge: (*call).judgeRead}, opts)
}

// Write runs the command and feeds it what cmd.Stdin yields, to its end: the command has taken every byte and ended with code zero, or there
// is an error. Input that the command leaves unread when it ends with code zero is ErrTruncated.
//
// A code other than zero is a *cluster.ExitError, also when the command ended before its input did. The result is what the
// command took; after an error it is empty. cmd.Stderr gets the command's standard error as it comes, and its standard output too:
// cmd.Stdout must be nil. After an error the command may have taken a part of the input. Where the stream broke, the
// command was ended without having seen an end of file; a changed byte is noticed in time for that by the agent only.
//
// When ctx ends first, or cmd.Stdin fails, the command is ended and the cause is returned. A Read of cmd.Stdin that
// blocks may still be going on then; no new one is begun.
func Write(ctx context.Context, e cluster.Executor, cmd cluster.Command, opts *Options) (Result, error) {
	if cmd.Stdin == nil || cmd.Stdout != nil {
		return Result{}, fmt.Errorf("%w: %s: Write needs Stdin, and Stdout must be nil: Stderr gets what the command prints", cluster.ErrInvalid, place(cmd))
	}
	return run(ctx, e, cmd, direction{script: writeScript, agent: "in", to: refuse{}, judge: (*call).judgeWrite}, opts)
}

// direction is what Read and Write differ in.
type direction struct {
	// script is the shell's far end, agent the name of the agent's.
	script, agent string
	// to takes what comes before the trailer.
	to io.Writer
	// judge compares the trailer with what there was. An error ends the exec; without one the trailer is acknowledged.
	judge func(c *call, t trailer, got Result) error
}

// call is one Read or Write.
type call struct {
	place string
	feed  *feed
	sink  *sink
	errs  *stderr
	end   context.CancelCauseFunc
	judge func(c *call, t trailer, got Result) error
	// result and code are set once the trailer has been found good.
	result Result
	code   int
	timer  *time.Timer
}

func run(ctx context.Context, e cluster.Executor, cmd cluster.Command, d direction, opts *Options) (Result, error) {
	c := &call{place: place(cmd), judge: d.judge}
	if len(cmd.Args) == 0 {
		return Result{}, fmt.Errorf("%w: %s: no command", cluster.ErrInvalid, c.place)
	}
	ctx, c.end = context.WithCancelCause(ctx)
	defer c.end(nil)
	nonce := rand.Text()
	c.feed = newFeed(cmd.Stdin, nonce, c.end)
	c.sink = newSink(d.to, nonce, func(t trailer, got Result) error {
		if ctx.Err() != nil { // the command may have ended well because it was asked to end
			return context.Cause(ctx)
		}
		return c.arrived(t, got)
	})
	c.errs = &stderr{to: cmd.Stderr, end: c.end}
	args := []string{"sh", "-c", d.script, "davit", nonce}
	if opts != nil && opts.Agent != "" {
		args = []string{opts.Agent, "stream", d.agent, nonce, "--"}
	}
	err := e.Exec(ctx, cluster.Command{
		Namespace: cmd.Namespace, Pod: cmd.Pod, Container: cmd.Container,
		Args: append(args, cmd.Args...), Stdin: c.feed, Stdout: c.sink, Stderr: c.errs,
	})
	c.feed.stop()
	return c.outcome(err)
}

// arrived is called with the trailer, once, while the exec goes on and nobody has ended it.
func (c *call) arrived(t trailer, got Result) error {
	if err := c.judge(c, t, got); err != nil {
		return err
	}
	c.code = t.code
	c.timer = time.AfterFunc(ackTime, func() { c.end(errors.New("the far end did not go")) })
	c.feed.acknowledge()
	return nil
}

func (c *call) judgeRead(t trailer, got Result) error {
	switch {
	case t.unable():
		return errUnable
	case t.length > got.Bytes:
		return fmt.Errorf("%d of %d bytes arrived: %w", got.Bytes, t.length, ErrTruncated)
	case t.sum != got.SHA256:
		return fmt.Errorf("the %d bytes that arrived have another checksum than was sent: %w", got.Bytes, ErrCorrupt)
	}
	c.result = got
	return nil
}

func (c *call) judgeWrite(t trailer, _ Result) error {
	sent, ended := c.feed.sent()
	switch {
	case t.damaged:
		return fmt.Errorf("the container received something else than was sent: %w", ErrCorrupt)
	case !t.has("code"):
		return errUnable
	case t.code != 0 && !ended:
		c.code = t.code
		return errEarly
	case t.code != 0:
		return nil
	case t.rest:
		return fmt.Errorf("the command ended with code 0 before it had read its input: %w", ErrTruncated)
	case t.unable():
		return errUnable
	case !ended || t.length >= 0 && t.length < sent.Bytes:
		return fmt.Errorf("the command was given less than was sent: %w", ErrTruncated)
	case t.sum != sent.SHA256:
		return fmt.Errorf("the command was given something else than the %d bytes that were sent: %w", sent.Bytes, ErrCorrupt)
	}
	c.result = sent
	return nil
}

// errEarly means that the command failed before it had all of its input.
var errEarly = errors.New("ended early")

var errUnable = fmt.Errorf("%w: the stream cannot be verified: the container needs tee, dd, sha256sum, wc and /dev/fd, or davit (Options.Agent)",
	cluster.ErrInvalid)

// outcome makes the result of what the exec returned. A good trailer decides alone: what the exec says after it is about the way home.
func (c *call) outcome(err error) (Result, error) {
	judged, bytes, failure := c.sink.close()
	if judged && failure == nil {
		c.timer.Stop()
	}
	if failure == nil && !judged {
		failure = c.feed.failure()
	}
	switch exit, exited := errors.AsType[*cluster.ExitError](err); {
	case judged && failure == nil && c.code == 0:
		return c.result, nil
	case judged && failure == nil, errors.Is(failure, errEarly):
		return c.result, &cluster.ExitError{What: c.place, Code: c.code, Tail: c.errs.tail()}
	case failure != nil:
		return Result{}, fmt.Errorf("%s: %w", c.place, failure)
	case exited && (exit.Code == 126 || exit.Code == 127) && bytes == 0: // POSIX: not executable, not found
		return Result{}, fmt.Errorf("%w: %s: the far end did not start (exit code %d): the container needs sh, or davit where Options.Agent says so",
			cluster.ErrInvalid, c.place, exit.Code)
	case exited: // not the command's code: that would be in the trailer
		return Result{}, fmt.Errorf("%s: the far end ended with exit code %d after %d bytes, without a trailer: %w", c.place, exit.Code, bytes, ErrTruncated)
	case err == nil:
		return Result{}, fmt.Errorf("%s: the output ended after %d bytes, without a trailer: %w", c.place, bytes, ErrTruncated)
	default:
		return Result{}, fmt.Errorf("stream ended after %d bytes: %w", bytes, err)
	}
}

// place names the container of a command.
func place(cmd cluster.Command) string {
	if cmd.Container == "" {
		return "pod " + cmd.Namespace + "/" + cmd.Pod
	}
	return "pod " + cmd.Namespace + "/" + cmd.Pod + ", container " + cmd.Container
}

// refuse takes nothing.
type refuse struct{}

func (refuse) Write(p []byte) (int, error) {
	return 0, fmt.Errorf("the far end sent %d bytes that are no trailer: %w", len(p), ErrCorrupt)
}
