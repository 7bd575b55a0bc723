package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// ErrTimeout means that conditions did not become true in time.
var ErrTimeout = errors.New("conditions not met in time")

var errNoConditions = errors.New("anyOf and allOf are both empty: nothing could ever end the wait")

// How often objects are read: after firstPause, then with pauses that double up to lastPause.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// What an error tells of the text a condition became, and of why it became none, in bytes.
const (
	shownResult = 64
	shownFault  = 256
)

// condition is a compiled condition. Render makes a text of the object; the condition holds when it is "true" without
// the blanks around it.
type condition interface {
	render(object map[string]any) (string, error)
}

// compiler compiles the text of a condition.
type compiler func(text string) (condition, error)

// awaited is a condition with the object it is about and what came of it last.
type awaited struct {
	path string
	ref  cluster.Ref
	condition
	all  bool
	last string
}

// await reads the objects until the conditions hold.
func await(ctx context.Context, call *function.Call, get cluster.Getter, in waitArgs, compile compiler) error {
	if get == nil {
		return errNoCluster("cluster.Objects")
	}
	if err := in.validate(); err != nil {
		return function.Permanent(err)
	}
	conditions, err := compileAll(in.Conditions, compile)
	if err != nil {
		return function.Permanent(err)
	}
	w := waiting{call: call, get: get, conditions: conditions}
	bounded, cancel := context.WithTimeout(ctx, in.Timeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		done, err := w.round(bounded)
		if done || err != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-bounded.Done():
			timer.Stop()
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("stopped waiting for %s: %w", w.state(), context.Cause(ctx))
		case bounded.Err() != nil:
			return fmt.Errorf("%w: waited %s for %s", ErrTimeout, in.Timeout, w.state())
		}
	}
}

// compileAll compiles all conditions; the faults of all are reported, joined.
func compileAll(c waitConditions, compile compiler) ([]*awaited, error) {
	var all []*awaited
	var faults []error
	for list, conditions := range c.lists() {
		for i, one := range conditions {
			path := fmt.Sprintf("%s[%d]", list, i)
			compiled, err := compile(one.Condition)
			if err != nil {
				faults = append(faults, fmt.Errorf("conditions.%s.condition: %w", path, err))
				continue
			}
			all = append(all, &awaited{
				path: path, ref: one.Object.ref(), condition: compiled, all: list == "allOf", last: "not read yet",
			})
		}
	}
	return all, errors.Join(faults...)
}

// waiting is one execution of Wait or WaitV2.
type waiting struct {
	call       *function.Call
	get        cluster.Getter
	conditions []*awaited
	noted      string
}

// round evaluates the conditions once: done when any of anyOf holds, or else all of allOf, if there are any. A condition
// that cannot be evaluated does not hold and keeps no other from being evaluated.
func (w *waiting) round(ctx context.Context) (done bool, err error) {
	type read struct {
		object map[string]any
		err    error
	}
	objects := map[cluster.Ref]read{}
	every, some := true, false
	for _, c := range w.conditions {
		r, known := objects[c.ref]
		if !known {
			r.object, r.err = w.get.Get(ctx, c.ref)
			objects[c.ref] = r
		}
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // what was seen last is worth more than that reading was broken off
		}
		if errors.Is(r.err, cluster.ErrInvalid) {
			return false, function.Permanent(fmt.Errorf("%s on %s: %w", c.path, c.ref, r.err))
		}
		if errors.Is(r.err, cluster.ErrDenied) {
			return false, fmt.Errorf("%s on %s: %w", c.path, c.ref, r.err)
		}
		holds := c.evaluate(r.object, r.err, w.call.Mask)
		if holds && !c.all {
			return true, nil
		}
		if c.all {
			some, every = true, every && holds
		}
	}
	if some && every {
		return true, nil
	}
	if state := w.state(); state != w.noted {
		w.noted = state
		w.call.Report(ctx, function.Progress{Note: "waiting for " + strings.ReplaceAll(state, "\n", " ")})
	}
	return false, nil
}

// evaluate tells whether the condition holds and keeps what came of it.
func (c *awaited) evaluate(object map[string]any, err error, mask func(string) string) bool {
	var text string
	if err == nil {
		text, err = c.render(object)
	}
	if err != nil {
		// A path's error can hold what the path found.
		shown, rest := cutAt(mask(err.Error()), shownFault)
		c.last = shown + rest
		return false
	}
	text = strings.TrimSpace(text)
	shown, rest := cutAt(mask(text), shownResult)
	c.last = fmt.Sprintf("is %q%s", shown, rest)
	return text == "true"
}

// cutAt returns the beginning of a text and, when that is not all of it, an ellipsis.
func cutAt(text string, length int) (shown, ellipsis string) {
	if len(text) <= length {
		return text, ""
	}
	return strings.ToValidUTF8(text[:length], ""), "…"
}

// state says what is waited for and what came of it last.
func (w *waiting) state() string {
	lines := make([]string, len(w.conditions))
	for i, c := range w.conditions {
		lines[i] = fmt.Sprintf("%s on %s: %s", c.path, c.ref, c.last)
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%d conditions:\n%s", len(lines), strings.Join(lines, "\n"))
}
