package rds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/function"
)

// sight is what one look at an object shows.
type sight struct {
	found  bool
	status string
	// detail is added to the progress, such as how much is done.
	detail string
}

// usable are the states of what can be used.
var usable = []string{"available", "storage-optimization"}

// broken tells of states that an object does not leave by itself. A cluster that is "failing-over" does.
func broken(status string) bool {
	return status == "failed" || strings.HasSuffix(status, "-failed") || strings.HasPrefix(status, "incompatible") || strings.HasPrefix(status, "inaccessible") ||
		slices.Contains([]string{"restore-error", "storage-full", "insufficient-capacity", "deleted"}, status)
}

// idle tells of a database that somebody has stopped, and that does nothing until it is started.
func idle(status string) bool { return status == "stopped" || status == "stopping" }

// wait is for an object to come to a state.
type wait struct {
	what  string
	limit time.Duration
	look  func(context.Context) (sight, error)
	// gone waits until it is gone; else until it can be used.
	gone bool
}

// await looks until the object is where it should be, the limit is over or ctx ends. An object that is not found at first was perhaps only just made.
func (s *session) await(ctx context.Context, w wait) error {
	began, last := time.Now(), ""
	seen := began
	for {
		var problem error
		now, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !isPassing(err):
			return fmt.Errorf("%s: %w", w.what, err)
		case err != nil:
			problem = err
		default:
			if now.found {
				seen = time.Now()
			}
			if done, err := w.judge(now, time.Since(seen) > s.Waits.Appear); done || err != nil {
				return err
			}
			if now.detail+now.status != last {
				s.call.Report(ctx, function.Progress{Note: strings.TrimSpace(w.what + ": " + now.status + " " + now.detail)})
				last = now.detail + now.status
			}
		}
		if took := time.Since(began); took > w.limit {
			if problem != nil {
				return fmt.Errorf("%s: %w after %s: %w", w.what, ErrWait, w.limit, problem)
			}
			return fmt.Errorf("%s: %w: still %q after %s", w.what, ErrWait, now.status, w.limit)
		}
		if err := pause(ctx, s.Waits.Interval); err != nil {
			return err
		}
	}
}

// judge tells whether the wait is over.
func (w wait) judge(now sight, late bool) (done bool, err error) {
	switch {
	case w.gone:
		return !now.found, nil
	case !now.found && late:
		return false, fmt.Errorf("%s: %w: RDS does not know it", w.what, ErrState)
	case !now.found:
		return false, nil
	case slices.Contains(usable, now.status):
		return true, nil
	case broken(now.status), now.status == "deleting", now.status == "stopped":
		return false, fmt.Errorf("%s: %w: it is %q", w.what, ErrState, now.status)
	default:
		return false, nil
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// whenReady does something that RDS refuses while the object is busy, again until the limit is over.
func (s *session) whenReady(ctx context.Context, what string, limit time.Duration, do func() error) error {
	began, told := time.Now(), false
	for {
		err := do()
		if err == nil || ctx.Err() != nil || !isBusy(err) && !isPassing(err) {
			return err
		}
		if time.Since(began) > limit {
			return fmt.Errorf("%s: %w, refused for %s: %w", what, ErrWait, limit, err)
		}
		if !told {
			s.call.Report(ctx, function.Progress{Note: what + ": waits until RDS allows it"})
			told = true
		}
		if err := pause(ctx, s.Waits.Interval); err != nil {
			return err
		}
	}
}

// errSlow ends a clean-up.
var errSlow = errors.New("not done in the time there is for it")

// cleanUp calls do with a context that outlives ctx: for the limit while ctx has not ended, and for a short time once it has.
func (s *session) cleanUp(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	end := time.AfterFunc(limit, func() { cancel(errSlow) })
	defer end.Stop()
	stop := context.AfterFunc(ctx, func() { end.Reset(min(limit, s.Waits.CleanUp)) })
	defer stop()
	return do(own)
}

// firmly looks several times before it believes that something is not there: what was just made is not seen at once.
func (s *session) firmly(ctx context.Context, look func() (found bool, err error)) error {
	const looks = 3
	for n := 1; ; n++ {
		if found, err := look(); found || err != nil || n == looks {
			return err
		}
		if err := pause(ctx, min(s.Waits.Interval, s.Waits.CleanUp/(2*looks))); err != nil {
			return err
		}
	}
}
