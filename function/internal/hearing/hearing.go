// Package hearing is the near end of a program of ours in a container that does a function's work: what the program says on its output becomes the function's progress, log,
// result or error.
//
// # Concurrency
//
// A Hearing is safe for concurrent use.
package hearing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/mover"
)

// tailLines and lineShown bound what an error shows of what a far end wrote.
const (
	tailLines = 10
	lineShown = 400
)

// Hearing is what the near end hears of a far end.
type Hearing struct {
	// Follower reads the far end's output.
	Follower *mover.Follower
	mask     func(string) string

	mu    sync.Mutex
	reply *mover.Reply
	tail  []string
}

// New returns a hearing that tells the call of progress, in the words of a function, and logs what else is said with the attribute.
func New(ctx context.Context, call *function.Call, where slog.Attr, progress func(mover.Progress) function.Progress) *Hearing {
	h := &Hearing{mask: call.Mask}
	h.Follower = &mover.Follower{
		Reply:    h.Replied,
		Progress: func(p mover.Progress) { call.Report(ctx, progress(p)) },
		Other: func(line []byte) {
			h.keep(string(line[:min(len(line), lineShown)]))
			call.Log.LogAttrs(ctx, slog.LevelInfo, string(line), where)
		},
	}
	return h
}

// Replied takes the far end's last word.
func (h *Hearing) Replied(r mover.Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reply = &r
}

// Succeeded tells whether the far end has said that all is well.
func (h *Hearing) Succeeded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reply != nil && h.reply.Fault == nil
}

func (h *Hearing) keep(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tail = append(h.tail, line)
	h.tail = h.tail[max(0, len(h.tail)-tailLines):]
}

// Outcome is what the far end has said, or that it has said nothing. Err is what running it returned; where names its place in errors.
func (h *Hearing) Outcome(where string, err error) (mover.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	exit := (*cluster.ExitError)(nil)
	exited := errors.As(err, &exit)
	switch {
	case err != nil && !exited:
		return mover.Result{}, fmt.Errorf("%s: %w", where, err)
	case h.reply != nil && h.reply.Fault != nil:
		return mover.Result{}, fmt.Errorf("%s: %w", where, h.reply.Fault)
	case exited:
		told := &cluster.ExitError{What: where, Code: exit.Code}
		for _, line := range h.tail {
			told.Tail += h.mask(line) + "\n"
		}
		return mover.Result{}, told
	case h.reply == nil:
		return mover.Result{}, fmt.Errorf("%s: ended without a word of what it has done, so nothing is known to be done", where)
	default:
		return h.reply.Result, nil
	}
}

// RunPod runs a pod of a far end to its end, and has it removed once the outcome is recorded. One that a host has died over is found again by its name.
func RunPod(ctx context.Context, call *function.Call, pods cluster.PodRunner, pod cluster.Pod, progress func(mover.Progress) function.Progress) (mover.Result, error) {
	where := fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name)
	h := New(ctx, call, slog.String("pod", pod.Name), progress)
	var left bytes.Buffer
	pod.Log, pod.Results = h.Follower, &left
	err := pods.RunPod(ctx, pod)
	if !errors.Is(err, cluster.ErrInvalid) && !errors.Is(err, cluster.ErrExists) { // then a pod of this name, if there is one, is somebody else's
		call.AfterRecord(ctx, where, func(ctx context.Context) error { return pods.RemovePod(ctx, pod.Namespace, pod.Name) })
	}
	_, _ = h.Follower.Write(left.Bytes()) // the reply once more: the log may have lost it
	_ = h.Follower.Close()
	return h.Outcome(where, err)
}
