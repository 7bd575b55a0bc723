package snapshot

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

var errPanic = errors.New("panic")

// guard calls foreign code. Its panic becomes an error, for an application may be held and snapshots may have to be removed.
func guard(f func() error) (err error) {
	finished := false
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack())
		} else if !finished {
			err = fmt.Errorf("%w: the call ended its goroutine", errPanic)
		}
	}()
	err = f()
	finished = true
	return err
}

// together calls f for 0 to n-1 at the same time and returns what they returned, once all have. The first failure ends the context of the others if failFast.
func together(ctx context.Context, n int, failFast bool, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, n)
	var once sync.Once
	var first error
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if errs[i] = guard(func() error { return f(ctx, i) }); errs[i] != nil && failFast {
				once.Do(func() { first = errs[i]; cancel(errOther) })
			}
		})
	}
	wg.Wait()
	if failFast {
		return first
	}
	return errors.Join(errs...)
}

var errOther = errors.New("another one failed")
