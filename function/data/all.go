package data

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/davit-project/davit/function"
)

// podsOf are the pods that are named, or else those of the action's subject.
func podsOf(call *function.Call, named []string) ([]string, error) {
	pods := named
	if len(pods) == 0 {
		pods = call.Subject.Pods
	}
	if len(pods) == 0 {
		return nil, function.Permanent(errors.New("there are no pods: the action's subject had none when the action began, and argument pods names none"))
	}
	pods = slices.Sorted(slices.Values(pods))
	return slices.Compact(pods), nil
}

// each calls f with each pod's number, for several at once. One that fails does not keep the others from their end; the errors are joined.
func (d Deps) each(ctx context.Context, call *function.Call, pods []string, f func(context.Context, *function.Call, int) error) error {
	var wait sync.WaitGroup
	sum := &sum{call: call, each: make([]function.Progress, len(pods))}
	errs := make([]error, len(pods))
	slots := make(chan struct{}, d.Parallel)
	for i, pod := range pods {
		wait.Go(func() {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				errs[i] = context.Cause(ctx)
				return
			}
			own := *call
			own.OnProgress = func(ctx context.Context, p function.Progress) { sum.report(ctx, i, p) }
			if err := f(ctx, &own, i); err != nil {
				errs[i] = fmt.Errorf("pod %q: %w", pod, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// sum adds up the progress of several pods.
type sum struct {
	call *function.Call
	mu   sync.Mutex
	each []function.Progress
}

func (s *sum) report(ctx context.Context, i int, p function.Progress) {
	s.mu.Lock()
	s.each[i] = p
	var all function.Progress
	for _, e := range s.each {
		all.Bytes += e.Bytes
		all.TotalBytes += e.TotalBytes
	}
	s.mu.Unlock()
	s.call.Report(ctx, all)
}
