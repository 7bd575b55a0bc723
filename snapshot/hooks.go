package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Hooks is a Holder of two functions. It cannot tell when the application is let go on by something else, and nobody calls Unquiesce when the host dies: a held session in
// the application's pod does both better.
type Hooks struct {
	// Quiesce holds the application; nil does nothing.
	Quiesce func(ctx context.Context) error
	// Unquiesce lets the application go on; nil does nothing. It also runs when Quiesce failed, when it panicked or ended its goroutine, and when ctx ended meanwhile: it does
	// no harm to an application that is not held.
	Unquiesce func(ctx context.Context) error
}

var _ Holder = Hooks{}

// unquiesceTimeout is the longest for Unquiesce after a Quiesce that failed.
const unquiesceTimeout = time.Minute

// Hold calls Quiesce.
func (h Hooks) Hold(ctx context.Context) (Held, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	returned := false
	defer func() {
		if !returned { // as runtime.Goexit does
			_ = h.undo(ctx)
		}
	}()
	err := guard(func() error { return h.call(ctx, h.Quiesce) })
	returned = true
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return held{h}, nil
	}
	err = fmt.Errorf("quiesce: %w", err)
	if failed := h.undo(ctx); failed != nil {
		err = errors.Join(err, fmt.Errorf("unquiesce after that: the application may still be held: %w", failed))
	}
	return nil, err
}

// undo calls Unquiesce after a Quiesce that failed.
func (h Hooks) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unquiesceTimeout)
	defer cancel()
	return guard(func() error { return h.call(ctx, h.Unquiesce) })
}

func (Hooks) call(ctx context.Context, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

type held struct{ h Hooks }

func (held) Lost() <-chan struct{} { return nil }

func (s held) Release(ctx context.Context) error {
	if err := s.h.call(ctx, s.h.Unquiesce); err != nil {
		return fmt.Errorf("unquiesce: %w", err)
	}
	return nil
}
