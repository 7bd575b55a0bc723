package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/davit-project/davit/function"
)

// loop executes the run to its end.
func (r *run) loop(ctx context.Context) (*Result, error) {
	base := context.WithoutCancel(ctx)
	stopping, stop := context.WithCancelCause(base)
	defer stop(nil)
	r.mu.Lock()
	r.stopping, r.stop = stopping, stop
	r.mu.Unlock()
	if ctx.Err() != nil {
		r.cancel(ctx)
	} else if state, _ := r.current(); state.Cancel != nil {
		stop(ErrCancelled)
	}
	var actions, watcher sync.WaitGroup
	idle := make(chan struct{})
	watcher.Go(func() {
		select {
		case <-ctx.Done():
			r.cancel(ctx)
		case <-idle:
		}
	})
	for i := range r.program.actions {
		actions.Go(func() { r.runAction(base, i) })
	}
	actions.Wait()
	close(idle)
	watcher.Wait()
	if _, err := r.current(); err == nil {
		r.end(base)
	}
	state, broken := r.current()
	res := resultOf(r.vault, state, r.causes)
	if broken != nil {
		return res, broken
	}
	return res, res.Err()
}

// cancel journals that the run is cancelled, then stops the running phases.
func (r *run) cancel(ctx context.Context) {
	cause := context.Cause(ctx)
	reason := ErrCancelled
	if !errors.Is(cause, context.Canceled) {
		reason = fmt.Errorf("%w: %w", ErrCancelled, cause)
	}
	if err := r.append(ctx, Event{Kind: CancelAsked, Error: failure(r.vault.maskError(reason))}); err == nil {
		r.stop(reason)
	}
}

// runAction executes one action to its end, or until the journal breaks.
func (r *run) runAction(base context.Context, i int) {
	for {
		state, err := r.current()
		if err != nil {
			return
		}
		st := next(state, i)
		a := &r.program.actions[i]
		switch st.kind {
		case stepNone:
			return
		case stepRun:
			r.runPhase(base, i, a.phase(st.phase), st)
		case stepAbandon:
			r.abandon(base, i, st)
		case stepEnd:
			r.endAction(base, i, st.state)
		}
	}
}

func (a *action) phase(index int) *phase {
	if index == deferIndex {
		return a.deferred
	}
	return a.phases[index]
}

// abandon fails a phase of a cancelled run that is between attempts, or was begun by a host that died. What the dead host made, a function that can adopt it removes.
func (r *run) abandon(ctx context.Context, i int, st step) {
	state, _ := r.current()
	ps := state.Actions[i].phase(st.phase)
	if ph := r.program.actions[i].phase(st.phase); !ps.Waiting && ph.fn.Schema().Replay == function.Adopt {
		r.runPhase(ctx, i, ph, step{kind: stepRun, phase: st.phase, attempt: st.attempt, resumed: true})
		return
	}
	err := ErrCancelled
	if last := ps.Error; last != nil {
		err = fmt.Errorf("%w before the next attempt; the last one failed: %w", ErrCancelled, last.asError())
	}
	r.fail(ctx, Event{Kind: PhaseFailed, Action: i, Phase: st.phase, Attempt: st.attempt}, err)
}

// endAction renders the artifacts of a successful action, has its manifest kept and journals its end. Artifacts whose manifest could not be kept are journalled all the same:
// the data is there.
func (r *run) endAction(ctx context.Context, i int, outcome RunState) {
	e := Event{Kind: ActionEnded, Action: i, State: outcome}
	if outcome == Complete {
		var err error
		if e.Artifacts, err = r.renderArtifacts(i); err != nil {
			e.State, e.Error = Failed, failure(r.vault.maskError(fmt.Errorf("output artifacts: %w", err)))
		} else if err = r.keepManifest(ctx, i, e.Artifacts); err != nil {
			e.State, e.Error = Failed, failure(r.vault.maskError(err))
		}
	}
	_ = r.append(ctx, e)
}

func (r *run) renderArtifacts(i int) (Values, error) {
	all := map[string]any{}
	var errs []error
	for name, a := range r.program.actions[i].artifacts {
		kv, err := a.keyValue.Render(r.params[i])
		errs = append(errs, err)
		snapshot, err := a.kopiaSnapshot.Render(r.params[i])
		errs = append(errs, err)
		all[name] = map[string]any{"keyValue": kv, "kopiaSnapshot": snapshot}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	values, err := r.vault.encodeValues(all)
	if err == nil {
		err = r.engine.checkSize(values)
	}
	if err != nil {
		return nil, err
	}
	return values, nil
}

// end sweeps up and journals the end of the run.
func (r *run) end(base context.Context) {
	state, _ := r.current()
	e := Event{Kind: RunEnded, State: Complete}
	for i := range state.Actions {
		switch s := state.Actions[i].State; {
		case s == Failed, s == Cancelled && e.State == Complete:
			e.State = s
		}
	}
	r.mu.Lock()
	e.Left = append(e.Left, r.stuck...)
	r.mu.Unlock()
	if sweep := r.engine.opts.Sweep; sweep != nil {
		ctx, cancel := context.WithTimeout(base, r.engine.opts.SweepTimeout)
		left, err := sweep.Sweep(ctx, map[string]string{RunLabel: r.program.id})
		cancel()
		for _, what := range left {
			e.Left = append(e.Left, shorten(r.vault.mask(what)))
		}
		if err != nil {
			e.Left = append(e.Left, shorten(r.vault.mask(fmt.Sprintf("whatever carries the label %s=%s: %v", RunLabel, r.program.id, err))))
		}
	}
	_ = r.append(base, e)
}
