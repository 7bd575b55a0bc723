package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// seen is what one look found.
type seen struct {
	done bool
	// text describes the state; a new text makes the next look come sooner.
	text string
	// problem is what the storage reports as wrong.
	problem string
}

// patience says how to wait.
type patience struct {
	// what is waited for, for errors: a verb, an object.
	what string
	// first is the time between looks, which grows to most while nothing changes.
	first, most time.Duration
	// grace is how long trouble may last.
	grace time.Duration
	// stubborn takes a panic for trouble that passes.
	stubborn bool
}

// poll looks until it is done. It ends early with ctx, with an error that does not pass, and with trouble that has lasted for the whole grace.
func poll(ctx context.Context, p patience, look func(context.Context) (seen, error)) error {
	var last seen
	var since time.Time
	interval := p.first
	for {
		now, err := look(ctx)
		switch {
		case err == nil && now.done:
			return nil
		case ctx.Err() != nil:
			return p.ended(ctx, last, err)
		case err != nil && lasting(err) && (!p.stubborn || !errors.Is(err, errPanic)):
			return fmt.Errorf("%s: %w", p.what, err)
		case err == nil && now == last:
			interval = min(interval*3/2, max(p.most, p.first))
		case err == nil:
			interval, last = p.first, now
		}
		wait := interval
		if err == nil && now.problem == "" {
			since = time.Time{}
		} else {
			if since.IsZero() {
				since = time.Now()
			}
			left := p.grace - time.Since(since)
			if left <= 0 {
				return p.gaveUp(time.Since(since), now, err)
			}
			wait = min(wait, left)
		}
		select {
		case <-ctx.Done():
			return p.ended(ctx, last, err)
		case <-time.After(wait):
		}
	}
}

// ended says why a wait ended with its context, and what was seen last.
func (p patience) ended(ctx context.Context, last seen, looked error) error {
	text := ""
	if last.text != "" {
		text += "; last seen: " + last.text
	}
	if last.problem != "" {
		text += fmt.Sprintf("; the storage reports %q", last.problem)
	}
	if looked != nil && !errors.Is(looked, ctx.Err()) && !errors.Is(looked, context.Cause(ctx)) {
		text += fmt.Sprintf("; the last look failed: %v", looked)
	}
	return fmt.Errorf("%s: %w%s", p.what, context.Cause(ctx), text)
}

func (p patience) gaveUp(after time.Duration, now seen, looked error) error {
	after = after.Round(time.Millisecond)
	if looked != nil {
		return fmt.Errorf("%s: it failed for %s: %w", p.what, after, looked)
	}
	return fmt.Errorf("%s: %w for %s: %q; last seen: %s", p.what, ErrFailed, after, now.problem, now.text)
}

// lasting tells whether an error comes back however often the call is made.
func lasting(err error) bool {
	for _, target := range []error{ErrNotFound, ErrExists, ErrNoClass, ErrInvalid, ErrDenied, ErrFailed, ErrUnsupported, errPanic, errGoing} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// errGoing means that somebody deletes what is waited for.
var errGoing = errors.New("somebody is deleting it")
