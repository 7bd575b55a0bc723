package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/davit-project/davit/blueprint"
)

// holds notes which phases undo which.
func (a *ActionState) holds(src *blueprint.Action) error {
	released, err := src.Released()
	if err != nil {
		return err
	}
	for i, at := range released {
		a.Phases[i].releases, a.Phases[i].maxHold = at, src.Phases[i].MaxHold
		for _, k := range at {
			a.Phases[k].released = append(a.Phases[k].released, i)
		}
	}
	return nil
}

// owed tells whether the phase undoes one that has begun: it runs whatever happens.
func (a *ActionState) owed(i int) bool {
	return i != deferIndex && slices.ContainsFunc(a.Phases[i].released, func(k int) bool { return a.Phases[k].Attempt > 0 })
}

// idle tells whether the phase undoes others, none of which has begun: there is nothing for it to do.
func (a *ActionState) idle(i int) bool {
	return i != deferIndex && len(a.Phases[i].released) > 0 && !a.owed(i)
}

// holdLeft returns what is left at a time of the shortest hold that a phase is part of, at most all of it whatever the clock does; bound is zero when there is none.
func (a *ActionState) holdLeft(i int, now time.Time) (left, bound time.Duration, by string) {
	if i == deferIndex || len(a.Phases[i].released) > 0 {
		return 0, 0, ""
	}
	for k := range a.Phases[:i+1] {
		p := &a.Phases[k]
		if p.maxHold == 0 || p.Attempt == 0 || i >= slices.Min(p.releases) {
			continue
		}
		rest := min(p.maxHold-now.Sub(p.Started), p.maxHold)
		if bound == 0 || rest < left {
			left, bound, by = rest, p.maxHold, p.Name
		}
	}
	return left, bound, by
}

// held returns how long the phase held something: from its beginning until the last phase that undoes it had ended. It is zero as long as that is not so, and where there
// is none.
func (a *ActionState) held(i int) time.Duration {
	p := &a.Phases[i]
	var end time.Time
	for _, k := range p.releases {
		q := &a.Phases[k]
		if !q.State.Ended() || p.Attempt == 0 {
			return 0
		}
		if q.Ended.After(end) {
			end = q.Ended
		}
	}
	if end.IsZero() {
		return 0
	}
	return max(end.Sub(p.Started), 0)
}

// ended returns how long something was held that this phase, which undid it, was the last to let go; zero otherwise.
func (a *ActionState) ended(i int) time.Duration {
	if i == deferIndex || !a.Phases[i].State.Ended() || a.Phases[i].State == Skipped {
		return 0
	}
	var longest time.Duration
	for _, k := range a.Phases[i].released {
		if i == slices.Max(a.Phases[k].releases) {
			longest = max(longest, a.held(k))
		}
	}
	return longest
}

// errMaxHold says whose hold is over.
func errMaxHold(by string, bound time.Duration) error {
	return fmt.Errorf("%w: phase %q allows %s until what it did is undone", ErrMaxHold, by, bound)
}
