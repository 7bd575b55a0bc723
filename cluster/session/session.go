package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/davit-project/davit/cluster"
)

// Errors of a session.
var (
	// ErrNotHeld means that the command ended before it had written the line.
	ErrNotHeld = errors.New("the command ended before the application was held")
	// ErrStartTimeout means that the command had not written the line in Spec.StartTimeout.
	ErrStartTimeout = errors.New("the application was not held in time")
	// ErrMaxHold means that Spec.MaxHold was over before the session was released, so that the application went on.
	ErrMaxHold = errors.New("the longest time to hold the application is over")
	// ErrLost means that the command ended before it was released, or failed to let go, or that nothing proves that it did not.
	ErrLost = errors.New("the application was not held until it was released")
	// ErrUnknown means that nobody knows whether the command has let the application go on. It does at the latest Spec.MaxHold, Spec.Grace and 5 seconds after it began.
	ErrUnknown = errors.New("whether the command has let go is not known")
	// ErrOutput means that the command wrote more after the line than is kept of it.
	ErrOutput = errors.New("the command wrote more than is kept")
	// ErrUnusable means that the container has no sh or no sleep, or gives a command no process group of its own.
	ErrUnusable = errors.New("the container cannot hold a session")
)

// killAfter is the time between SIGTERM and SIGKILL, as the script has it.
const killAfter = 5 * time.Second

// usualWayHome is how much longer than the container may take the host waits for its last word.
const usualWayHome = 5 * time.Second

// longest is more than any session lasts, and few enough seconds for any sleep.
const longest = 10000 * time.Hour

// maxLine bounds Spec.HeldLine, in bytes.
const maxLine = 1 << 10

// Spec describes a session.
type Spec struct {
	// Namespace and Pod are where the command runs. Required.
	Namespace, Pod string
	// Container to run in. Default "": the pod's only one.
	Container string
	// Command quiesces the application, writes the line HeldLine to standard output, and then reads standard input: at its end it lets the application go on and ends with
	// code 0. It is not a shell line and holds no secret. Required.
	Command []string
	// HeldLine is the whole line that says that the application is held, at most 1 KiB. Default "held".
	HeldLine string
	// MaxHold is the longest time from the command's beginning until it must let go; enforced in the container, to whole seconds, rounded up. Required, at least a second.
	MaxHold time.Duration
	// Grace is how long the command may take to let go after the end of its input before it gets SIGTERM, to whole seconds, rounded up. Default 10s.
	Grace time.Duration
	// StartTimeout is how long Open waits for the line. Default MaxHold.
	StartTimeout time.Duration
}

// Session can hold an application.
type Session struct {
	exec    cluster.Executor
	spec    Spec
	wayHome time.Duration
}

// New returns a session that runs commands through exec. Every fault of the spec is reported, as cluster.ErrInvalid.
func New(exec cluster.Executor, spec Spec) (*Session, error) {
	if spec.HeldLine == "" {
		spec.HeldLine = "held"
	}
	if spec.Grace == 0 {
		spec.Grace = 10 * time.Second
	}
	if spec.StartTimeout == 0 || spec.StartTimeout > spec.MaxHold {
		spec.StartTimeout = spec.MaxHold
	}
	var faults []error
	for _, need := range []struct {
		fault   string
		missing bool
	}{
		{"an executor", exec == nil},
		{"a namespace and a pod", spec.Namespace == "" || spec.Pod == ""},
		{"a command", len(spec.Command) == 0 || spec.Command[0] == ""},
		{"a command without zero bytes", strings.Contains(strings.Join(spec.Command, ""), "\x00")},
		{"a held line of one line and at most 1024 bytes", len(spec.HeldLine) > maxLine || strings.ContainsAny(spec.HeldLine, "\r\n")},
		{"a longest hold of at least a second and at most 10000 hours", spec.MaxHold < time.Second || spec.MaxHold > longest},
		{"a grace from 0 to 10000 hours", spec.Grace < 0 || spec.Grace > longest},
		{"a start timeout of at least 0", spec.StartTimeout < 0},
	} {
		if need.missing {
			faults = append(faults, errors.New(need.fault))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: a held session needs %w", cluster.ErrInvalid, errors.Join(faults...))
	}
	return &Session{exec, spec, usualWayHome}, nil
}

// Open runs the command and returns when the application is held. When it fails, or ctx ends first, the command has let go when Open returns; where that cannot be known, the error says so, and
// the container sees to it after Spec.MaxHold. The end of ctx after Open has returned does not matter.
func (s *Session) Open(ctx context.Context) (*Open, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	o := newOpen(s.spec, s.wayHome, rand.Text())
	running, end := context.WithCancelCause(context.WithoutCancel(ctx))
	o.end = end
	o.begin = time.Now()
	go o.run(running, s.exec)
	timeout := time.NewTimer(s.spec.StartTimeout)
	defer timeout.Stop()
	var cause error
	select {
	case <-o.out.held:
		return o, nil
	case <-o.done:
		if o.out.isHeld() { // it ended after that: Release knows how
			return o, nil
		}
		return nil, o.notHeld()
	case <-timeout.C:
		cause = fmt.Errorf("%w: %s: no line %q after %s%s", ErrStartTimeout, o.place, s.spec.HeldLine, s.spec.StartTimeout, o.complaint())
	case <-ctx.Done():
		cause = fmt.Errorf("%s: %w", o.place, context.Cause(ctx))
	}
	o.in.close("")
	if err := o.wait(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("%w; %w", cause, err)
	}
	return nil, cause
}

// args is the whole command line.
func (s Spec) args(nonce string) []string {
	return append([]string{"sh", "-c", script, "davit", seconds(s.MaxHold), seconds(s.Grace), nonce}, s.Command...)
}

// seconds is a duration in whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
