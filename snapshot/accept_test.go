package snapshot_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
)

// A host keeps what it learnt while the application was held: after that goes on, and before the group counts as finished.
func TestAcceptComesBeforeTheGroupIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, &slowStorage)
		h := &stubHolder{}
		req, calls := a.group(), 0
		req.Accept = func(ctx context.Context) error {
			calls++
			require.NoError(t, ctx.Err())
			require.EqualValues(t, 1, h.releases.Load(), "the application goes on")
			for _, r := range req.Requests {
				st, err := a.storage.Get(ctx, r.Ref)
				require.NoError(t, err)
				require.True(t, st.Cut() && !st.Confirmed)
			}
			return nil
		}
		s := snapshot.New(a.storage, nil)
		_, err := s.CreateGroup(t.Context(), req, h)
		require.NoError(t, err)
		require.Equal(t, 1, calls)
		again, err := s.CreateGroup(t.Context(), req, h)
		require.NoError(t, err)
		require.True(t, again.Adopted)
		require.Equal(t, 1, calls, "there is nothing to keep of a group that is taken over")
	})
}

// A group that is not accepted goes, and the application was let go on once.
func TestAGroupThatIsNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("the label does not fit")
		for name, accept := range map[string]func(context.Context) error{
			"an error":                 func(context.Context) error { return full },
			"a panic":                  func(context.Context) error { panic("the label is secret") },
			"a context that has ended": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		} {
			a := newApp(t, 2, &slowStorage)
			ctx, cancel := context.WithCancelCause(t.Context())
			req := a.group()
			req.Accept = func(ctx context.Context) error {
				if name == "a context that has ended" {
					cancel(full)
				}
				return accept(ctx)
			}
			result, err := snapshot.New(a.storage, nil).CreateGroup(ctx, req, a)
			require.ErrorContains(t, err, "accept what was held for ", name)
			require.NotErrorIs(t, err, snapshot.ErrHoldLost, "it was held")
			if name == "a panic" {
				require.NotContains(t, err.Error(), "secret")
			} else {
				require.ErrorIs(t, err, full, name)
			}
			require.Empty(t, result.Snapshots)
			require.Positive(t, result.Held)
			a.requireNothing()
			a.requireFree()
			cancel(nil)
		}
	})
}
