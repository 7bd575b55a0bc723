package volume

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/davit-project/davit/cluster/session"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/snapshot"
)

// holder holds an application by a command that stays open in one of its pods.
type holder struct {
	call    *function.Call
	session *session.Session
	pod     string
	maxHold time.Duration
	// what names the place in messages.
	what string
	open *session.Open
}

var _ snapshot.Holder = (*holder)(nil)

func newHolder(call *function.Call, d Deps, in createCSISnapshotGroupArgs) (*holder, error) {
	if d.Exec == nil {
		return nil, function.Permanent(errors.New("argument hold: the host program gave no cluster.Executor to this function"))
	}
	pod, err := in.Hold.pod(call.Subject)
	if err != nil {
		return nil, function.Permanent(err)
	}
	s, err := session.New(d.Exec, session.Spec{
		Namespace: in.Namespace, Pod: pod, Container: in.Hold.Container, Command: in.Hold.Command,
		HeldLine: in.Hold.HeldLine, MaxHold: in.MaxHold, Grace: in.Hold.Grace,
	})
	if err != nil {
		return nil, function.Permanent(fmt.Errorf("argument hold: %w", err))
	}
	return &holder{call: call, session: s, pod: pod, maxHold: in.MaxHold, what: fmt.Sprintf("the application in pod %s/%s", in.Namespace, pod)}, nil
}

// pod returns the pod to hold. One of several is not guessed: only the blueprint knows which of them writes.
func (h *holdArgs) pod(subject function.Subject) (string, error) {
	switch {
	case h.Pod != "":
		return h.Pod, nil
	case len(subject.Pods) == 1:
		return subject.Pods[0], nil
	case len(subject.Pods) == 0:
		return "", errors.New("argument hold.pod is required: the action's subject has no running pod")
	default:
		return "", fmt.Errorf("argument hold.pod is required: the action's subject has %d pods (%s)", len(subject.Pods), strings.Join(subject.Pods, ", "))
	}
}

// Hold starts the command and returns once it says that the application is held.
func (h *holder) Hold(ctx context.Context) (snapshot.Held, error) {
	begin := time.Now()
	h.call.Report(ctx, function.Progress{Note: "holding " + h.what})
	open, err := h.session.Open(ctx)
	if err != nil {
		return nil, err
	}
	h.open = open
	h.call.Report(ctx, function.Progress{Note: h.what + " is held"})
	return &held{open, h, begin}, nil
}

// errNotText means that the command wrote what no output can hold.
var errNotText = errors.New("the command wrote what is no UTF-8")

// output is what the command wrote after its held line.
func (h *holder) output() (string, error) {
	text, err := h.open.Output()
	if err == nil && !utf8.ValidString(text) {
		err = fmt.Errorf("%s: %w", h.what, errNotText)
	}
	return text, err
}

// held reports how long it was.
type held struct {
	*session.Open
	holder *holder
	begin  time.Time
}

// Release lets the application go on. The session has bounds of its own: the command's grace may be longer than the time that a Snapshotter gives to a release.
func (h *held) Release(ctx context.Context) error {
	over := time.Since(h.begin) >= h.holder.maxHold // host and pod notice at the same moment, and either may be the first
	err := h.Open.Release(context.WithoutCancel(ctx))
	lasted := time.Since(h.begin).Round(time.Millisecond)
	switch {
	case err != nil && (over || errors.Is(err, session.ErrMaxHold)):
		return fmt.Errorf("%w: %w", snapshot.ErrMaxHold, err)
	case err != nil:
		return err
	}
	h.holder.call.Report(ctx, function.Progress{Note: fmt.Sprintf("%s goes on, it was held for %s", h.holder.what, lasted)})
	h.holder.call.Log.InfoContext(ctx, "the application goes on", "pod", h.holder.pod, "held", lasted)
	return nil
}
