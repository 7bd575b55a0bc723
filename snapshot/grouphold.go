package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	defaultMaxHold = time.Minute
	// holdInterval between looks while an application is held does not grow.
	holdInterval = 100 * time.Millisecond
	// holdGrace for a problem while an application is held. Storage tries again after about 1, 2 and 4 seconds; a problem that is still there then is not worth holding on for.
	holdGrace = 10 * time.Second
)

// cutHeld asks for the snapshots while the application is held, and lets it go on.
func (g *group) cutHeld(ctx context.Context) error {
	limit := cmp.Or(g.req.MaxHold, defaultMaxHold)
	begin := time.Now()
	holding, end := context.WithCancelCause(ctx)
	defer end(nil)
	timer := time.AfterFunc(limit, func() { end(fmt.Errorf("%w: %s", ErrMaxHold, limit)) })
	defer timer.Stop()
	var held Held
	err := guard(func() (err error) { held, err = g.holder.Hold(holding); return err })
	g.held = time.Since(begin)
	switch {
	case err != nil:
		return fmt.Errorf("hold the application: %w", withCause(holding, err))
	case held == nil:
		return errors.New("hold the application: the holder says neither that it is held nor why not")
	}
	asking, stop := context.WithCancelCause(holding)
	defer stop(nil)
	finished := make(chan error, 1)
	var why error
	failed := g.thenRelease(ctx, held, func() {
		go func() { defer close(finished); finished <- g.askAll(asking, stop) }()
		why = untilCut(asking, finished, held)
		timer.Stop()
		stop(why)
	})
	g.held = time.Since(begin)
	// The requests that are still under way end before anything is removed.
	if detail := <-finished; errors.Is(detail, why) {
		why = detail
	}
	return g.judge(why, failed)
}

// thenRelease calls f and lets the application go on, whatever happens in f. It returns what Release returned.
func (g *group) thenRelease(ctx context.Context, held Held, f func()) (failed error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.s.opts.ReleaseTimeout)
		defer cancel()
		failed = guard(func() error { return held.Release(ctx) })
	}()
	f()
	return nil
}

// judge says what a hold was worth: why it ended early and how Release failed, if so.
func (g *group) judge(why, failed error) error {
	after := g.held.Round(time.Millisecond)
	switch {
	case why == nil && failed == nil:
		return nil
	case failed == nil:
		return fmt.Errorf("the application was held for %s: %w", after, why)
	case why == nil:
		why = ErrHoldLost
	}
	return fmt.Errorf("%w; %w", why, &releaseError{after, failed})
}

// releaseError is ErrHoldLost, whatever else went wrong.
type releaseError struct {
	after time.Duration
	err   error
}

func (e *releaseError) Error() string {
	return fmt.Sprintf("let the application go on after %s, it may still be held: %v", e.after, e.err)
}

func (e *releaseError) Unwrap() []error { return []error{ErrHoldLost, e.err} }

// askAll asks for all snapshots and looks until every one is cut. The first failure ends the context at once, however long the other requests take.
func (g *group) askAll(ctx context.Context, fail context.CancelCauseFunc) error {
	pace := patience{first: min(holdInterval, g.s.opts.Interval), grace: min(holdGrace, g.s.opts.ErrorGrace)}
	return g.each(ctx, func(ctx context.Context, i int) error {
		err := guard(func() error {
			if err := g.ask(ctx, i); err != nil {
				return err
			}
			m := g.members[i]
			var err error
			g.snapshots[i], err = g.s.await(ctx, want{ref: m.ref, token: m.token, what: "see it cut", pace: pace, done: Status.Cut})
			return err
		})
		if err != nil && !errors.Is(err, errOther) {
			fail(err)
		}
		return err
	})
}

// untilCut returns nil once every snapshot is cut while the application is held.
func untilCut(asking context.Context, finished <-chan error, held Held) error {
	var lost <-chan struct{}
	if err := guard(func() error { lost = held.Lost(); return nil }); err != nil {
		return err
	}
	var err error
	select {
	case err = <-finished:
	case <-asking.Done():
		err = context.Cause(asking)
	case <-lost:
		return ErrHoldLost
	}
	select {
	case <-lost:
		return ErrHoldLost
	default:
		return err
	}
}
