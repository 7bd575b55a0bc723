package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

// What a function leaves for later is done once its outcome is durable, and only then.
func TestAfterRecord(t *testing.T) {
	spec := specOf(t, header+"  backup: {phases: [{func: Make, name: a}, {func: Make, name: b, retry: {attempts: 2, backoff: 1ns}}]}\n", "backup")
	prepare := func(j Journal) (*world, *[]string) {
		w, done := newWorld(), &[]string{}
		w.hook = func(ctx context.Context, call *function.Call) error {
			call.AfterRecord(ctx, "thing of "+call.Phase, func(ctx context.Context) error {
				_, bounded := ctx.Deadline()
				require.True(t, bounded)
				events, err := j.Events(ctx)
				require.NoError(t, err)
				*done = append(*done, call.Phase+" after "+string(events[len(events)-1].Kind))
				if call.Phase == "a" {
					return errors.New("it does not go away")
				}
				return nil
			})
			if call.Phase == "b" && call.Attempt == 1 {
				return errors.New("once more")
			}
			return nil
		}
		return w, done
	}
	j := &MemoryJournal{}
	w, done := prepare(j)
	res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), spec, j)
	require.NoError(t, err)
	require.Equal(t, []string{"a after phase-complete", "b after attempt-failed", "b after phase-complete"}, *done)
	require.Equal(t, []string{"thing of a: it does not go away"}, res.Left)

	dying := &mortalJournal{left: 2} // the outcome of a cannot be stored
	w, done = prepare(dying)
	_, err = New(w.registry(t), newObjects(), nil).Run(t.Context(), spec, dying)
	require.ErrorIs(t, err, errCrash)
	require.Empty(t, *done)
}
