package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/hearing"
	"github.com/davit-project/davit/internal/mover"
)

// helloTime is how long a program in a container may take to say that it is the agent.
const helloTime = 30 * time.Second

// agentNames are what the agent is called in a container's PATH.
func agentNames() []string { return []string{"davit", "kando"} }

// container is where a folder is.
type container struct{ namespace, pod, name string }

func (c container) String() string {
	return fmt.Sprintf("pod %s/%s, container %s", c.namespace, c.pod, c.name)
}

// errNoAgent means that a container has no agent.
var errNoAgent = fmt.Errorf("%w: the container has no davit", errUnsuitable)

// runAgent has the agent in a container do the work. Where there is none, it is errNoAgent, and no secret has been sent.
func (d Deps) runAgent(ctx context.Context, call *function.Call, at container, req *mover.Request) (mover.Result, error) {
	if d.Exec == nil {
		return mover.Result{}, errNothing("cluster.Executor")
	}
	text, err := req.Text()
	if err != nil {
		return mover.Result{}, function.Permanent(err)
	}
	var absent error
	for _, name := range agentNames() {
		x := &agentExec{Hearing: hearing.New(ctx, call, slog.String("pod", at.pod), progressOf), request: text}
		result, err := x.run(ctx, d.Exec, at, name)
		if !errors.Is(err, errNoAgent) {
			return result, err
		}
		absent = err
	}
	return mover.Result{}, absent
}

// agentExec is one call of the agent.
type agentExec struct {
	*hearing.Hearing
	request []byte
	// greeted and answered are closed when the agent has said hello and has replied.
	greeted, answered chan struct{}
}

// run executes the agent under a name. Its standard input stays open until the reply has come: the end of it tells the agent that nobody waits any more.
func (x *agentExec) run(ctx context.Context, e cluster.Executor, at container, name string) (mover.Result, error) {
	x.greeted, x.answered = make(chan struct{}), make(chan struct{})
	x.Follower.Hello = func() { closeOnce(x.greeted) }
	x.Follower.Reply = func(r mover.Reply) {
		x.Replied(r)
		closeOnce(x.answered)
	}
	log := x.Follower.Other
	x.Follower.Other = func(line []byte) {
		if isClosed(x.greeted) { // else it is a shell that complains, or another program
			log(line)
		}
	}
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, feed := io.Pipe()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		defer feed.Close() //nolint:errcheck // never fails
		x.feed(ctx, feed, cancel)
	}()
	errs := &mover.Follower{Progress: x.Follower.Progress, Other: x.Follower.Other}
	err := e.Exec(ctx, cluster.Command{
		Namespace: at.namespace, Pod: at.pod, Container: at.name, Args: []string{name, "mover", "-"}, Stdin: in, Stdout: x.Follower, Stderr: errs,
	})
	_ = in.Close() // ends a write that nobody takes any more
	cancel(err)
	<-fed
	_, _ = x.Follower.Close(), errs.Close()
	switch {
	case isClosed(x.answered) && x.Succeeded(): // how the stream went on does not count
		return x.told(at, nil)
	case outer.Err() != nil:
		return mover.Result{}, context.Cause(outer)
	case isClosed(x.answered):
		return x.told(at, nil)
	case !isClosed(x.greeted) && lacksAgent(err):
		return mover.Result{}, fmt.Errorf("%s: %w", at, errNoAgent)
	}
	return x.told(at, err)
}

// told is what the agent has said of its work.
func (x *agentExec) told(at container, err error) (mover.Result, error) {
	result, err := x.Outcome(at.String(), err)
	return result, forGood(err)
}

// feed sends what the agent is to read, each thing when it is its time.
func (x *agentExec) feed(ctx context.Context, w io.Writer, cancel context.CancelCauseFunc) {
	timer := time.NewTimer(helloTime)
	defer timer.Stop()
	select {
	case <-x.greeted:
	case <-timer.C:
		cancel(errNoAgent)
		return
	case <-ctx.Done():
		return
	}
	if _, err := w.Write(append(slices.Clone(x.request), '\n')); err != nil {
		return
	}
	select {
	case <-x.answered:
		_, _ = io.WriteString(w, mover.Ack+"\n") // it has done its work in any case
	case <-ctx.Done():
	}
}

// lacksAgent tells whether an exec that nobody greeted may have failed because there is no agent. What is said of the pod itself would be said of any exec.
func lacksAgent(err error) bool {
	if errors.Is(err, errNoAgent) {
		return true
	}
	for _, other := range []error{
		cluster.ErrNotFound, cluster.ErrDenied, cluster.ErrNotRunning, cluster.ErrAmbiguous, cluster.ErrInvalid, cluster.ErrLost,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// closeOnce closes a channel that only one goroutine at a time closes.
func closeOnce(c chan struct{}) {
	if !isClosed(c) {
		close(c)
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
