package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// runPhase makes one attempt of a phase and journals what became of it.
func (r *run) runPhase(base context.Context, i int, ph *phase, st step) {
	state, _ := r.current()
	ps := *state.Actions[i].phase(ph.index)
	if ps.Waiting && !r.sleep(i, ph, min(ps.Next.Sub(r.engine.opts.Now()), ps.Wait)) {
		return // cancelled meanwhile: next abandons the phase
	}
	e := Event{Action: i, Phase: ph.index, Attempt: st.attempt}
	if st.attempt == 1 && !st.resumed {
		run, err := r.condition(i, ph)
		switch {
		case err != nil:
			e.Kind, e.Attempt = PhaseFailed, 0
			r.fail(base, e, err)
			return
		case !run:
			e.Kind, e.Attempt = PhaseSkipped, 0
			_ = r.append(base, e)
			return
		}
	}
	if !st.resumed {
		e.Kind = PhaseStarted
		if r.append(base, e) != nil {
			return
		}
		state, _ = r.current()
		ps = *state.Actions[i].phase(ph.index)
	}
	var after cleanUp
	defer func() { after.run(base, r) }()
	outputs, err := r.attempt(base, i, ph, attemptOf{ps, st.resumed, &after})
	if err == nil {
		e.Kind, e.Outputs = PhaseComplete, outputs
		if r.append(base, e) == nil {
			if err := r.setOutputs(i, ph, outputs); err != nil {
				r.engine.opts.Logger.ErrorContext(base, "outputs lost", "error", r.vault.mask(err.Error()))
			}
		}
		return
	}
	if _, broken := r.current(); broken != nil {
		return // not the phase's fault; its outcome is settled on resume
	}
	e.Kind = PhaseFailed
	if wait, ok := r.retry(i, ph, ps, err); ok {
		e.Kind, e.Wait = AttemptFailed, wait
	}
	r.fail(base, e, err)
}

// fail journals a failure and keeps the error itself for the result.
func (r *run) fail(ctx context.Context, e Event, err error) {
	err = r.vault.maskError(err)
	e.Error = failure(err)
	if r.append(ctx, e) == nil {
		r.mu.Lock()
		r.causes[[2]int{e.Action, e.Phase}] = err
		r.mu.Unlock()
	}
}

// unstoppable tells whether nothing but its own time stops a phase: the deferred one, and those that undo what has begun.
func (r *run) unstoppable(i int, ph *phase) bool {
	state, _ := r.current()
	return ph.index == deferIndex || state.Actions[i].owed(ph.index)
}

// sleep waits, and reports whether the run goes on.
func (r *run) sleep(i int, ph *phase, d time.Duration) bool {
	stop := r.stopping.Done()
	if r.unstoppable(i, ph) {
		stop = nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	}
}

// condition evaluates the phase's if. What undoes phases that were skipped is skipped too.
func (r *run) condition(i int, ph *phase) (bool, error) {
	if state, _ := r.current(); state.Actions[i].idle(ph.index) {
		return false, nil
	}
	if ph.cond == nil {
		return true, nil
	}
	text, err := ph.cond.Render(r.params[i])
	if err != nil {
		return false, err
	}
	switch strings.TrimSpace(text) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, fmt.Errorf("if: want true or false, got %q", text)
	}
}

type attemptOf struct {
	state   PhaseState
	resumed bool
	after   *cleanUp
}

// cleanUp is what a function wants done once its outcome is durable.
type cleanUp struct {
	mu    sync.Mutex
	tasks []cleanUpTask
	// late does what comes after the outcome is durable, from a function that did not return in time.
	late func(cleanUpTask)
}

type cleanUpTask struct {
	what string
	do   func(context.Context) error
}

func (c *cleanUp) add(what string, do func(context.Context) error) {
	t := cleanUpTask{what, do}
	c.mu.Lock()
	late := c.late
	if late == nil {
		c.tasks = append(c.tasks, t)
	}
	c.mu.Unlock()
	if late != nil {
		late(t)
	}
}

// run does it all, and what is asked for meanwhile.
func (c *cleanUp) run(base context.Context, r *run) {
	for {
		c.mu.Lock()
		tasks := c.tasks
		c.tasks = nil
		if len(tasks) == 0 {
			c.late = func(t cleanUpTask) { t.run(base, r) }
		}
		c.mu.Unlock()
		if len(tasks) == 0 {
			return
		}
		for _, t := range tasks {
			t.run(base, r)
		}
	}
}

// run does one thing, unless the journal broke: then the outcome is not durable, and what holds it must stay.
func (t cleanUpTask) run(base context.Context, r *run) {
	if _, broken := r.current(); broken != nil {
		return
	}
	ctx, cancel := context.WithTimeout(base, r.engine.opts.SweepTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			r.leave(fmt.Sprintf("%s: panic: %v", t.what, p))
		}
	}()
	if err := t.do(ctx); err != nil {
		r.leave(fmt.Sprintf("%s: %v", t.what, err))
	}
}

// leave notes something that the run leaves behind.
func (r *run) leave(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stuck = append(r.stuck, shorten(r.vault.mask(what)))
}

// attempt calls the phase's function once.
func (r *run) attempt(base context.Context, i int, ph *phase, at attemptOf) (Values, error) {
	replay := ph.fn.Schema().Replay
	// what undoes another phase is repeated rather than left out: a database that stays quiesced is worse than one that is let go twice
	if state, _ := r.current(); at.resumed && replay == function.Once && r.engine.opts.Unknown == UnknownFails && !state.Actions[i].owed(ph.index) {
		return nil, function.Permanent(fmt.Errorf(
			"%w: the host died while %s ran, which is not safe to repeat; look at what it did, then start a new run or resume with leave to repeat it",
			ErrUnknownOutcome, ph.fn.Name()))
	}
	ctx, cancel := r.phaseContext(base, i, ph, at.state.Started)
	defer cancel()
	reading := ctx
	if at.resumed && ctx.Err() != nil { // the function is called to remove what the dead host made
		var done context.CancelFunc
		reading, done = context.WithTimeout(base, r.engine.opts.StopGrace)
		defer done()
	}
	tp, err := r.readObjects(reading, i, ph, nil)
	if err != nil {
		if ctx.Err() != nil {
			err = stopError(context.Cause(ctx), err)
		}
		return nil, err
	}
	r.setPhase(i, ph, tp)
	args, err := ph.args.Render(r.params[i])
	if err != nil {
		return nil, function.Permanent(err)
	}
	r.learnPhase(reading, i, args.(map[string]any))
	call, err := r.call(i, ph, at)
	if err != nil {
		return nil, function.Permanent(err)
	}
	outputs, err := r.exec(ctx, ph, call, args.(map[string]any))
	if err != nil {
		return nil, err
	}
	values, err := r.vault.encodeValues(outputs)
	if err != nil {
		return nil, function.Permanent(fmt.Errorf("outputs: %w", err))
	}
	if err := r.engine.checkSize(values); err != nil {
		return nil, function.Permanent(err)
	}
	return values, nil
}

// checkSize refuses what is too large to be kept in the journal.
func (e *Engine) checkSize(values Values) error {
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	if len(data) > e.opts.MaxOutput {
		return fmt.Errorf("%w: %d bytes, at most %d are kept", ErrOutputTooLarge, len(data), e.opts.MaxOutput)
	}
	return nil
}

// phaseContext ends when the phase has to stop: on cancel, at the end of its time, which counts from its first attempt, or of the hold it is part of. A phase that nothing
// stops gets its time again after a crash.
func (r *run) phaseContext(base context.Context, i int, ph *phase, started time.Time) (context.Context, context.CancelFunc) {
	parent := r.stopping
	if r.unstoppable(i, ph) {
		parent = base
	}
	left, cause := r.timeLeft(i, ph, started)
	if cause == nil {
		return context.WithCancel(parent)
	}
	return context.WithTimeoutCause(parent, left, cause)
}

// timeLeft returns what is left of the phase's time and the error for its end, which is nil when nothing bounds it. It is at most the whole bound, whatever the clock does.
func (r *run) timeLeft(i int, ph *phase, started time.Time) (left time.Duration, cause error) {
	timeout, now := ph.src.Timeout, r.engine.opts.Now()
	if r.unstoppable(i, ph) {
		if timeout == 0 {
			timeout = r.engine.opts.DeferTimeout
		}
		if r.since[i] == nil {
			r.since[i] = map[int]time.Time{}
		}
		if _, ok := r.since[i][ph.index]; !ok {
			r.since[i][ph.index] = now
		}
		started = r.since[i][ph.index]
	}
	if timeout > 0 {
		left, cause = min(timeout-now.Sub(started), timeout), fmt.Errorf("%w: it has %s", ErrTimeout, timeout)
	}
	state, _ := r.current()
	if rest, bound, by := state.Actions[i].holdLeft(ph.index, now); bound > 0 && (cause == nil || rest < left) {
		left, cause = rest, errMaxHold(by, bound)
	}
	return left, cause
}

// exec calls the function and gives it a grace to return once its context has ended.
func (r *run) exec(ctx context.Context, ph *phase, call *function.Call, args map[string]any) (function.Outputs, error) {
	if err := ctx.Err(); err != nil && !call.Resumed {
		return nil, context.Cause(ctx)
	}
	type result struct {
		outputs function.Outputs
		err     error
	}
	done := make(chan result, 1)
	go func() {
		out, err := ph.fn.Exec(ctx, call, args)
		done <- result{out, err}
	}()
	var res result
	select {
	case res = <-done:
	case <-ctx.Done():
		grace := time.NewTimer(r.engine.opts.StopGrace)
		defer grace.Stop()
		select {
		case res = <-done:
		case <-grace.C:
			r.leave(fmt.Sprintf("phase %q of action %q: %s did not return within %s and may still be at work",
				ph.name, call.Action, ph.fn.Name(), r.engine.opts.StopGrace))
			return nil, fmt.Errorf("%w; the function did not stop within %s", context.Cause(ctx), r.engine.opts.StopGrace)
		}
	}
	if res.err != nil && ctx.Err() != nil {
		return nil, stopError(context.Cause(ctx), res.err)
	}
	return res.outputs, res.err
}

// stopError says why a phase was stopped, and what the function made of it when that is more than the same: what it left behind, for one.
func stopError(cause, err error) error {
	if saysOnly(err, cause) {
		return cause
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// saysOnly tells whether all that the error wraps is that the phase was stopped.
func saysOnly(err, cause error) bool {
	var parts []error
	switch e := err.(type) { //nolint:errorlint // this walks through what is wrapped
	case interface{ Unwrap() error }:
		parts = append(parts, e.Unwrap())
	case interface{ Unwrap() []error }:
		parts = e.Unwrap()
	}
	parts = slices.DeleteFunc(slices.Clone(parts), func(e error) bool { return e == nil })
	if len(parts) == 0 {
		return errors.Is(cause, err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	}
	return !slices.ContainsFunc(parts, func(e error) bool { return !saysOnly(e, cause) })
}

// retry says whether, and after what wait, a failed attempt is followed by another: not when the phase's time would be over by then.
func (r *run) retry(i int, ph *phase, ps PhaseState, err error) (time.Duration, bool) {
	p := ph.src.Retry
	if p == nil || ps.Attempt >= p.Attempts || function.IsPermanent(err) || errors.Is(err, ErrTimeout) || errors.Is(err, ErrMaxHold) {
		return 0, false
	}
	if !r.unstoppable(i, ph) && r.stopping.Err() != nil {
		return 0, false
	}
	wait, limit := retryWaits(p)
	for range ps.Attempt - 1 {
		if wait *= 2; wait >= limit || wait <= 0 {
			break
		}
	}
	wait = min(max(wait, 0), limit)
	// between half of it and all of it, so that runs that failed together do not come back together
	wait = wait/2 + time.Duration(r.engine.jitter()*float64(wait/2))
	left, cause := r.timeLeft(i, ph, ps.Started)
	return wait, cause == nil || wait < left
}

// retryWaits returns the wait before the second attempt and the longest one.
func retryWaits(p *blueprint.Retry) (first, limit time.Duration) {
	first, limit = p.Backoff, p.MaxBackoff
	if first <= 0 {
		first = time.Second
	}
	if limit <= 0 {
		limit = 5 * time.Minute
	}
	return first, limit
}

// call describes the execution to the function.
func (r *run) call(i int, ph *phase, at attemptOf) (*function.Call, error) {
	p := r.params[i]
	label := r.program.actions[i].label
	c := &function.Call{
		Run: r.program.id, Action: label, Phase: ph.name, Attempt: at.state.Attempt, Resumed: at.resumed,
		ID:         strings.Join([]string{ph.name, r.program.id, label, ph.key()}, "/"),
		Labels:     map[string]string{RunLabel: r.program.id, actionLabel: labelValue(label), phaseLabel: labelValue(ph.name)},
		Subject:    subjectOf(p),
		Pod:        function.PodSettings{Override: p.PodOverride, Labels: p.PodLabels, Annotations: p.PodAnnotations},
		Secrets:    secretsOf(p, r.phaseParams(i, ph)),
		Mask:       r.vault.mask,
		OnRecorded: at.after.add,
		Log:        slog.New(&maskHandler{r.engine.opts.Logger.Handler(), r.vault}).With("run", r.program.id, "action", label, "phase", ph.name),
	}
	ref := PhaseRef{Action: label, Phase: ph.name}
	if f := r.engine.opts.Progress; f != nil {
		c.OnProgress = func(_ context.Context, pr function.Progress) {
			pr.Note = r.vault.mask(pr.Note)
			f(ref, pr)
		}
	}
	if p.Profile != nil {
		data, err := json.Marshal(p.Profile)
		if err != nil {
			return nil, err
		}
		c.Profile = function.NewSecret(string(data))
	}
	return c, nil
}

// phaseParams is what templates see of the phase.
func (r *run) phaseParams(i int, ph *phase) *template.Phase {
	if ph.index == deferIndex {
		return r.params[i].DeferPhase
	}
	return r.params[i].Phases[ph.name]
}

// secretsOf are the secrets that a phase knows by a name.
func secretsOf(p *template.Params, ph *template.Phase) map[string]map[string]function.Secret {
	all := map[string]map[string]function.Secret{}
	add := func(secrets map[string]template.Secret) {
		for name, s := range secrets {
			data := make(map[string]function.Secret, len(s.Data))
			for k, v := range s.Data {
				data[k] = function.NewSecret(string(v))
			}
			all[name] = data
		}
	}
	add(p.Secrets)
	if ph != nil {
		add(ph.Secrets)
	}
	return all
}

func subjectOf(p *template.Params) function.Subject {
	for _, w := range []struct {
		kind string
		w    *template.Workload
	}{{"StatefulSet", p.StatefulSet}, {"Deployment", p.Deployment}, {"DeploymentConfig", p.DeploymentConfig}} {
		if w.w != nil {
			return function.Subject{Kind: w.kind, Namespace: w.w.Namespace, Name: w.w.Name, Pods: w.w.Pods, Claims: w.w.PersistentVolumeClaims}
		}
	}
	return function.Subject{}
}

// labelValue makes a text a valid value of a Kubernetes label.
func labelValue(s string) string {
	s = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			return c
		}
		return '-'
	}, s)
	if len(s) > 63 {
		s = s[:63]
	}
	return strings.Trim(s, "-_.")
}
