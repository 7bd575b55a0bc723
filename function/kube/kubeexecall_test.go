package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

// execFunc is an Executor that is a function.
type execFunc func(ctx context.Context, cmd cluster.Command) error

func (f execFunc) Exec(ctx context.Context, cmd cluster.Command) error { return f(ctx, cmd) }

func output(w io.Writer, key, value string) error {
	return write(w, fmt.Sprintf("%s {\"key\":%q,\"value\":%q}\n", outputMarker, key, value))
}

func TestKubeExecAllMerges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		delay := map[string]time.Duration{"p": 3, "q": 2, "r": 1}
		d := Deps{Exec: execFunc(func(_ context.Context, cmd cluster.Command) error {
			time.Sleep(delay[cmd.Pod] * time.Second)
			where := cmd.Pod + "-" + cmd.Container
			return errors.Join(output(cmd.Stdout, "last", where), output(cmd.Stdout, where, "x"))
		})}
		call, rec := functiontest.NewCall("id")
		began := time.Now()
		out, err := get(t, d, "KubeExecAll").Exec(t.Context(), call, map[string]any{
			"namespace": "ns", "pods": " p q\n r ", "containers": []any{"c", "d"}, "command": []any{"run"},
		})
		require.NoError(t, err)
		require.Equal(t, function.Outputs{
			"last": "r-d", "p-c": "x", "p-d": "x", "q-c": "x", "q-d": "x", "r-c": "x", "r-d": "x",
		}, out, "the last of the list wins, not the slowest")
		require.Equal(t, 3*time.Second, time.Since(began), "all at once")
		progress := rec.Progress()
		require.Len(t, progress, 6)
		require.Equal(t, "6 of 6 commands have ended", progress[5].Note)
	})
}

func TestKubeExecAllFails(t *testing.T) {
	t.Parallel()
	var begun atomic.Int32
	d := Deps{Exec: execFunc(func(_ context.Context, cmd cluster.Command) error {
		begun.Add(1)
		switch cmd.Pod {
		case "q":
			_ = write(cmd.Stderr, "broken\n")
			return &cluster.ExitError{What: "x", Code: 2}
		case "s":
			return cluster.ErrNotFound
		}
		return output(cmd.Stdout, "k", "v")
	})}
	call, _ := functiontest.NewCall("id")
	out, err := get(t, d, "KubeExecAll").Exec(t.Context(), call, map[string]any{
		"namespace": "ns", "pods": "p q r s", "containers": "c", "command": "run",
	})
	require.Nil(t, out)
	require.EqualError(t, err, "pod ns/q, container c: exit code 2, last output:\nbroken\npod ns/s, container c: not found")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.EqualValues(t, 4, begun.Load(), "the others go on")
}

func TestKubeExecAllBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		d := Deps{Exec: execFunc(func(context.Context, cluster.Command) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return nil
		})}
		call, _ := functiontest.NewCall("id")
		_, err := get(t, d, "KubeExecAll").Exec(t.Context(), call, map[string]any{
			"namespace": "ns", "pods": strings.Repeat("p ", 100), "containers": "c", "command": "run",
		})
		require.NoError(t, err)
		require.LessOrEqual(t, most.Load(), int32(maxParallel))
		require.Greater(t, most.Load(), int32(1))
	})
}

func TestKubeExecAllCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	var begun atomic.Int32
	d := Deps{Exec: execFunc(func(ctx context.Context, _ cluster.Command) error {
		begun.Add(1)
		cancel(stop)
		<-ctx.Done()
		return context.Cause(ctx)
	})}
	call, _ := functiontest.NewCall("id")
	_, err := get(t, d, "KubeExecAll").Exec(ctx, call, map[string]any{
		"namespace": "ns", "pods": strings.Repeat("p ", 100), "containers": "c", "command": "run",
	})
	require.ErrorIs(t, err, stop)
	require.ErrorContains(t, err, "pod ns/p, container c: not begun: stop")
	require.LessOrEqual(t, begun.Load(), int32(maxParallel))
}

func TestKubeExecAllTooMuch(t *testing.T) {
	t.Parallel()
	d := Deps{Exec: execFunc(func(_ context.Context, cmd cluster.Command) error {
		return output(cmd.Stdout, cmd.Pod, strings.Repeat("v", 1<<20))
	})}
	call, _ := functiontest.NewCall("id")
	args := map[string]any{"namespace": "ns", "pods": "a b c d", "containers": "c", "command": "run"}
	_, err := get(t, d, "KubeExecAll").Exec(t.Context(), call, args)
	require.ErrorIs(t, err, ErrOutputTooLarge)
}

func TestKubeExecAllNothing(t *testing.T) {
	t.Parallel()
	call, _ := functiontest.NewCall("id")
	_, err := get(t, goodCluster().deps(), "KubeExecAll").Exec(t.Context(), call, map[string]any{
		"namespace": "ns", "pods": " ", "containers": "c", "command": "run",
	})
	require.ErrorIs(t, err, function.ErrArguments)
	require.ErrorContains(t, err, "pods")
}
