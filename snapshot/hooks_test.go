package snapshot_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
)

func TestHooks(t *testing.T) {
	boom, worse := errors.New("boom"), errors.New("worse")
	var calls []string
	note := func(name string, err error) func(context.Context) error {
		return func(ctx context.Context) error {
			if ctx.Err() != nil {
				name += " without time"
			}
			calls = append(calls, name)
			return err
		}
	}
	for name, c := range map[string]struct {
		hooks snapshot.Hooks
		calls []string
		is    []error
	}{
		"both work":       {snapshot.Hooks{Quiesce: note("hold", nil), Unquiesce: note("go on", nil)}, []string{"hold", "go on"}, nil},
		"neither is set":  {snapshot.Hooks{}, nil, nil},
		"quiesce fails":   {snapshot.Hooks{Quiesce: note("hold", boom), Unquiesce: note("go on", nil)}, []string{"hold", "go on"}, []error{boom}},
		"both fail":       {snapshot.Hooks{Quiesce: note("hold", boom), Unquiesce: note("go on", worse)}, []string{"hold", "go on"}, []error{boom, worse}},
		"unquiesce fails": {snapshot.Hooks{Quiesce: note("hold", nil), Unquiesce: note("go on", worse)}, []string{"hold", "go on"}, []error{worse}},
		"quiesce panics":  {snapshot.Hooks{Quiesce: func(context.Context) error { panic(boom) }, Unquiesce: note("go on", worse)}, []string{"go on"}, []error{worse}},
	} {
		t.Run(name, func(t *testing.T) {
			calls = nil
			held, err := c.hooks.Hold(t.Context())
			if err == nil {
				require.Nil(t, held.Lost())
				err = held.Release(t.Context())
			}
			for _, is := range c.is {
				require.ErrorIs(t, err, is)
			}
			require.Equal(t, len(c.is) == 0, err == nil)
			require.Equal(t, c.calls, calls)
		})
	}
}

func TestHooksOfAnEndedContext(t *testing.T) {
	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(t.Context())
	going := 0
	hooks := snapshot.Hooks{
		Quiesce:   func(context.Context) error { cancel(boom); return nil },
		Unquiesce: func(ctx context.Context) error { going++; return ctx.Err() },
	}
	_, err := hooks.Hold(ctx)
	require.EqualError(t, err, "quiesce: boom", "the application is let go on with time to do it")
	require.Equal(t, 1, going)
	_, err = hooks.Hold(ctx)
	require.ErrorIs(t, err, boom)
	require.Equal(t, 1, going, "it was not held")
}

// A hook that ends its goroutine, as a failed assertion of a host's test does, leaves no application held.
func TestHooksThatEndTheirGoroutine(t *testing.T) {
	undone := make(chan error, 2)
	go func() {
		_, err := snapshot.Hooks{
			Quiesce:   func(context.Context) error { runtime.Goexit(); return nil },
			Unquiesce: func(ctx context.Context) error { undone <- ctx.Err(); return nil },
		}.Hold(t.Context())
		undone <- err
	}()
	require.NoError(t, <-undone, "with a context of its own")
	require.Empty(t, undone, "once, and Hold has not returned")
}
