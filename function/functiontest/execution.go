package functiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/davit-project/davit/function"
)

// argumentsAreOnlyRead wants the map that the engine keeps unchanged.
func argumentsAreOnlyRead(ctx context.Context, s Subject) error {
	args, call := s.Args(0), first(s.call(0))
	_, _ = s.New().Exec(ctx, call, args)
	if !reflect.DeepEqual(args, s.Args(0)) {
		return fmt.Errorf("the function changed its arguments: they were %v and are %v", s.Args(0), args)
	}
	return nil
}

// noPanic runs the function with an empty call, and with required arguments alone.
func noPanic(ctx context.Context, s Subject) error {
	required := s.Args(0)
	for _, f := range s.New().Schema().Args {
		if !f.Required {
			delete(required, f.Name)
		}
	}
	var faults []error
	for what, err := range map[string]error{
		"an empty call":            exec(ctx, s.New(), &function.Call{}, s.Args(0)),
		"no call":                  exec(ctx, s.New(), nil, s.Args(0)),
		"required arguments alone": exec(ctx, s.New(), first(s.call(0)), required),
		"an empty call and required arguments alone": exec(ctx, s.New(), &function.Call{}, required),
	} {
		if p := (*function.PanicError)(nil); errors.As(err, &p) {
			faults = append(faults, fmt.Errorf("with %s: %w", what, err))
		}
	}
	return errors.Join(faults...)
}

// exec runs a function that may be a wrapper without a recover of its own.
func exec(ctx context.Context, f Function, call *function.Call, args map[string]any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &function.PanicError{Func: f.Schema().Name, Type: fmt.Sprintf("%T", r), Place: "a place outside the function"}
		}
	}()
	_, err = f.Exec(ctx, call, args)
	return err
}

// outputs wants those that are declared, of the declared kinds.
func outputs(ctx context.Context, s Subject) error {
	f := s.New()
	schema := f.Schema()
	got, err := f.Exec(ctx, first(s.call(0)), s.Args(0))
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	var faults []error
	for _, o := range schema.Outputs {
		v, present := got[o.Name]
		switch {
		case !present && o.Required:
			faults = append(faults, fmt.Errorf("output %q is missing", o.Name))
		case present && !fits(o.Type.Kind, v):
			faults = append(faults, fmt.Errorf("output %q must be a %s, is a %T", o.Name, o.Type.Kind, v))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		declared := slices.ContainsFunc(schema.Outputs, func(o function.Field) bool { return o.Name == name })
		if !declared && !schema.OpenOutputs {
			faults = append(faults, fmt.Errorf("output %q is not declared", name))
		}
		if !declared && !plain(got[name]) {
			faults = append(faults, fmt.Errorf("output %q is a %T, which a journal cannot hold", name, got[name]))
		}
	}
	return errors.Join(faults...)
}

func fits(kind function.Kind, v any) bool {
	switch v.(type) {
	case string:
		return kind == function.String || kind == function.Duration || kind == function.Any
	case bool:
		return kind == function.Bool || kind == function.Any
	case int64:
		return kind == function.Int || kind == function.Any
	case float64:
		return kind == function.Float || kind == function.Any
	case []any:
		return kind == function.List || kind == function.Any
	case map[string]any:
		return kind == function.Map || kind == function.Object || kind == function.Any
	}
	return false
}

func plain(v any) bool { return fits(function.Any, v) }

// replay wants what the policy promises: an attempt that is taken up again ends like the one before.
func replay(ctx context.Context, s Subject) error {
	f := s.New()
	policy := f.Schema().Replay
	if policy == function.Once {
		return nil
	}
	before, err := f.Exec(ctx, first(s.call(0)), s.Args(0))
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	again, _ := s.call(0)
	again.Resumed = policy == function.Adopt
	after, err := f.Exec(ctx, again, s.Args(0))
	if err != nil {
		return fmt.Errorf("the policy is %s, but a second execution fails: %w", policy, err)
	}
	return s.same("the second execution", before, after)
}

// noSharedState runs two executions of one function at once and wants what each gives alone. Run it under the race detector.
func noSharedState(ctx context.Context, s Subject) error {
	var alone, together [2]function.Outputs
	var errs [2]error
	for n := range alone {
		if alone[n], errs[n] = s.New().Exec(ctx, first(s.call(n)), s.Args(n)); errs[n] != nil {
			return fmt.Errorf("execution %d alone: %w", n, errs[n])
		}
	}
	f := s.New()
	var wg sync.WaitGroup
	for n := range together {
		call, _ := s.call(n)
		args := s.Args(n)
		wg.Go(func() { together[n], errs[n] = f.Exec(ctx, call, args) })
	}
	wg.Wait()
	var faults []error
	for n := range together {
		if errs[n] != nil {
			faults = append(faults, fmt.Errorf("execution %d beside another: %w", n, errs[n]))
			continue
		}
		faults = append(faults, s.same(fmt.Sprintf("execution %d beside another", n), alone[n], together[n]))
	}
	return errors.Join(faults...)
}

// same compares outputs.
func (s Subject) same(what string, want, got function.Outputs) error {
	names := slices.Equal(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	if names && (s.Volatile || len(want) == 0 || reflect.DeepEqual(want, got)) {
		return nil
	}
	return fmt.Errorf("%s has outputs %v, should have %v", what, got, want)
}

// cancelled wants a function whose context has ended to return soon, with the context's error.
func cancelled(ctx context.Context, s Subject) error {
	patience := s.Patience
	if patience == 0 {
		patience = 10 * time.Second
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	f, call, args := s.New(), first(s.call(0)), s.Args(0)
	done := make(chan error, 1)
	go func() { done <- exec(ctx, f, call, args) }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("the context was cancelled, the function returned: %w", nonNil(err))
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("the function still runs %s after its context was cancelled", patience)
	}
}

func first(call *function.Call, _ *Recorder) *function.Call { return call }
