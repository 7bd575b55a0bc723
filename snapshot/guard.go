package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

var (
	errPanic = errors.New("panic")
	errOther = errors.New("another one failed")
	// errExit stands for the result of a goroutine that ended early, as runtime.Goexit makes it.
	errExit = fmt.Errorf("%w: the call ended its goroutine", errPanic)
)

// guard calls foreign code. Its panic becomes an error, for an application may be held and snapshots may have to be removed. The panic's value may hold anything, a secret
// too: only its type and its place are told.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w of a %T at %s", errPanic, p, panicked())
		}
	}()
	return f()
}

// panicked is the place of the panic that is being recovered.
func panicked() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		frame, more := frames.Next()
		if panicking && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return "an unknown place"
		}
	}
}

// together calls f for 0 to n-1 at the same time and returns what they returned, once all have. With failFast, the first failure ends the context of the others and is
// all that is returned.
func together(ctx context.Context, n int, failFast bool, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, n)
	var once sync.Once
	var first error
	var wg sync.WaitGroup
	for i := range n {
		errs[i] = errExit
		wg.Go(func() {
			defer func() {
				if errs[i] != nil && failFast {
					once.Do(func() { first = errs[i]; cancel(errOther) })
				}
			}()
			errs[i] = guard(func() error { return f(ctx, i) })
		})
	}
	wg.Wait()
	if failFast {
		return first
	}
	return errors.Join(errs...)
}
