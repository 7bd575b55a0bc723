//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/engine"
)

// grace is how long pods and functions have to stop in these tests; the bound of a cancelled run is made of it.
const grace = 2 * time.Second

// TestCancelInEveryPhase cancels the run in the middle of every command: the command ends, the deferred phase runs, nothing is left.
func TestCancelInEveryPhase(t *testing.T) {
	for i, phase := range commands[:len(commands)-1] {
		t.Run(phase, func(t *testing.T) {
			p := newPlace(t)
			p.allow(commands[:i]...)
			p.allow("undo")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var cancelled time.Time
			go func() {
				for !p.started(phase) {
					time.Sleep(time.Millisecond)
				}
				cancelled = time.Now()
				cancel()
			}()
			res, err := runHere(ctx, t, p, nil)
			require.ErrorIs(t, err, engine.ErrCancelled)
			require.Less(t, time.Since(cancelled), 4*grace)
			require.Equal(t, engine.Cancelled, res.State)
			ended(t, p, res)
		})
	}
}

// TestTimeoutInEveryPhase gives every command in turn less time than it takes.
func TestTimeoutInEveryPhase(t *testing.T) {
	for i, phase := range commands[:len(commands)-1] {
		t.Run(phase, func(t *testing.T) {
			p := newPlace(t)
			p.allow(commands[:i]...)
			p.allow("undo")
			begin := time.Now()
			res, err := runHere(t.Context(), t, p, map[string]string{phase: "700ms"})
			require.ErrorIs(t, err, engine.ErrTimeout)
			require.Less(t, time.Since(begin), 6*grace)
			require.Equal(t, engine.Failed, res.State)
			ended(t, p, res)
		})
	}
}

// TestTimeoutOfTheDeferredPhase bounds a deferred phase that hangs.
func TestTimeoutOfTheDeferredPhase(t *testing.T) {
	p := newPlace(t)
	p.allow(commands[:len(commands)-1]...)
	begin := time.Now()
	res, err := runHere(t.Context(), t, p, map[string]string{"undo": "700ms"})
	require.ErrorIs(t, err, engine.ErrTimeout)
	require.Less(t, time.Since(begin), 6*grace)
	require.Equal(t, engine.Failed, res.State)
	require.Empty(t, p.leftovers())
}

func runHere(ctx context.Context, t *testing.T, p *place, timeouts map[string]string) (*engine.Result, error) {
	e, err := engineOn(p.open(), engine.Options{StopGrace: grace})
	require.NoError(t, err)
	j, err := engine.OpenFile(p.journal())
	require.NoError(t, err)
	defer j.Close()
	return e.Run(ctx, p.spec(timeouts), j)
}

func ended(t *testing.T, p *place, res *engine.Result) {
	t.Helper()
	require.Equal(t, 1, p.calls("undo"))
	require.Empty(t, p.leftovers())
	require.Empty(t, res.Left)
	p.noCanary(res.Err().Error())
}
