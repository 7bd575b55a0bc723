package snapshot_test

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

var (
	data   = snapshot.Ref{Namespace: "ns", Name: "data"}
	monday = snapshot.Request{Ref: snapshot.Ref{Namespace: "ns", Name: "monday"}, Volume: "data", Token: "token", Labels: map[string]string{"day": "monday"}}
)

// inBubble runs f over storage with one volume.
func inBubble(t *testing.T, opts memsnap.Options, f func(t *testing.T, storage *memsnap.Driver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		storage := memsnap.New(&opts)
		storage.AddVolume(data, "content")
		f(t, storage)
	})
}

func requireEmpty(t *testing.T, storage *memsnap.Driver) {
	t.Helper()
	require.Empty(t, storage.Snapshots())
	require.Empty(t, storage.Contents())
	require.Empty(t, storage.Stored())
}

func TestCreateReturnsOnceItIsReady(t *testing.T) {
	inBubble(t, memsnap.Options{CutAfter: time.Second, ReadyAfter: time.Hour}, func(t *testing.T, storage *memsnap.Driver) {
		begin := time.Now()
		var states []string
		s := snapshot.New(storage, nil).Observed(func(st snapshot.Status) {
			states = append(states, map[bool]string{true: "cut", false: "asked"}[st.Cut()]+map[bool]string{true: " ready"}[st.Ready])
		})
		st, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.True(t, st.Ready)
		require.Equal(t, begin.Add(time.Second), st.CutAt)
		took := time.Since(begin) - time.Hour - time.Second
		require.True(t, took >= 0 && took <= 5*time.Second, "it looks at least every 5 seconds: %s", took)
		require.Equal(t, []string{"asked", "cut", "cut ready"}, states, "each change is told once")

		before := time.Now()
		again, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.Equal(t, st, again)
		require.Equal(t, before, time.Now())
		require.Len(t, storage.Stored(), 1)
	})
}

func TestAnObserverThatPanics(t *testing.T) {
	inBubble(t, memsnap.Options{}, func(t *testing.T, storage *memsnap.Driver) {
		_, err := snapshot.New(storage, nil).Observed(func(snapshot.Status) { panic("no terminal") }).Create(t.Context(), monday)
		require.ErrorContains(t, err, "tell the observer: panic of a string at snapshotter_test.go:")
		require.NotContains(t, err.Error(), "no terminal", "a panic's value may be a secret")
		requireEmpty(t, storage)
	})
}

func TestCreateWaitsOutItsOwnRemoval(t *testing.T) {
	inBubble(t, memsnap.Options{DeleteAfter: time.Minute}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		first, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.NoError(t, storage.Delete(t.Context(), monday.Ref, "", ""))
		second, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.NotEqual(t, first.Handle, second.Handle)
		require.False(t, second.Deleting)
		require.Equal(t, []string{second.Handle}, storage.Stored())
	})
}

func TestCreateFails(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		opts    snapshot.Options
		storage memsnap.Options
		change  func(r *snapshot.Request)
		problem string
		ctx     func(ctx context.Context) context.Context
		after   time.Duration
		is      error
		says    string
	}{
		"no volume":     {change: func(r *snapshot.Request) { r.Volume = "" }, is: snapshot.ErrInvalid, says: "the volume is required"},
		"no token":      {change: func(r *snapshot.Request) { r.Token = "" }, is: snapshot.ErrInvalid, says: "the token is required"},
		"no name":       {change: func(r *snapshot.Request) { r.Name = "" }, is: snapshot.ErrInvalid, says: `snapshot "ns/"`},
		"absent volume": {change: func(r *snapshot.Request) { r.Volume = "absent" }, is: fs.ErrNotExist, says: `ask for snapshot "ns/monday"`},
		"no class":      {change: func(r *snapshot.Request) { r.Class = "gold" }, is: snapshot.ErrNoClass, says: "gold"},
		"a problem": {problem: "pool is full", after: 2 * time.Minute, is: snapshot.ErrFailed,
			says: `snapshot "ns/monday": wait to see it ready: the storage reports a failure for 2m0s: "pool is full"; last seen: asked for, not cut`},
		"a short grace": {problem: "pool is full", opts: snapshot.Options{ErrorGrace: time.Second}, after: time.Second, is: snapshot.ErrFailed, says: "1s"},
		"timeout":       {storage: memsnap.Options{ReadyAfter: time.Hour}, opts: snapshot.Options{Timeout: time.Minute}, after: time.Minute, is: context.DeadlineExceeded, says: "the timeout of 1m0s is over; last seen: cut at 2000-01-01T00:00:00Z, not ready"},
		"cancel": {problem: "pool is full", after: 7 * time.Second, is: boom, says: `boom; last seen: asked for, not cut; the storage reports "pool is full"`, ctx: func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(7*time.Second, func() { cancel(boom) })
			return ctx
		}},
		"deadline on entry": {is: context.DeadlineExceeded, ctx: func(ctx context.Context) context.Context {
			ctx, cancel := context.WithDeadline(ctx, time.Now())
			cancel()
			return ctx
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, c.storage, func(t *testing.T, storage *memsnap.Driver) {
				req := monday
				if c.change != nil {
					c.change(&req)
				}
				ctx := t.Context()
				if c.ctx != nil {
					ctx = c.ctx(ctx)
				}
				storage.SetProblem(req.Ref, c.problem)
				begin := time.Now()
				_, err := snapshot.New(storage, &c.opts).Create(ctx, req)
				require.ErrorIs(t, err, c.is)
				require.ErrorContains(t, err, c.says)
				require.WithinDuration(t, begin.Add(c.after), time.Now(), 250*time.Millisecond)
				requireEmpty(t, storage)
			})
		})
	}
}

func TestAProblemThatPassesStartsTheGraceAgain(t *testing.T) {
	inBubble(t, memsnap.Options{CutAfter: 5 * time.Minute}, func(t *testing.T, storage *memsnap.Driver) {
		for i := range 3 {
			time.AfterFunc(time.Duration(i)*110*time.Second, func() { storage.SetProblem(monday.Ref, "the network is away") })
			time.AfterFunc(time.Duration(i)*110*time.Second+90*time.Second, func() { storage.SetProblem(monday.Ref, "") })
		}
		st, err := snapshot.New(storage, nil).Create(t.Context(), monday)
		require.NoError(t, err)
		require.True(t, st.Ready)
	})
}

func TestFailingLooksPass(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	inBubble(t, memsnap.Options{Call: func(_ context.Context, c memsnap.Call) error {
		if c.Method == "Get" && down.Load() {
			return errFault
		}
		return nil
	}}, func(t *testing.T, storage *memsnap.Driver) {
		time.AfterFunc(100*time.Second, func() { down.Store(false) })
		_, err := snapshot.New(storage, nil).Create(t.Context(), monday)
		require.NoError(t, err)
		down.Store(true)
		begin := time.Now()
		_, err = snapshot.New(storage, nil).Wait(t.Context(), monday.Ref)
		require.ErrorIs(t, err, errFault)
		require.Equal(t, 2*time.Minute, time.Since(begin))
	})
}

func TestWhatIsLeftBehindIsNamed(t *testing.T) {
	inBubble(t, memsnap.Options{ReadyAfter: time.Hour, Call: func(_ context.Context, c memsnap.Call) error {
		if c.Method == "Delete" {
			return snapshot.ErrDenied
		}
		return nil
	}}, func(t *testing.T, storage *memsnap.Driver) {
		_, err := snapshot.New(storage, &snapshot.Options{Timeout: time.Second}).Create(t.Context(), monday)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, snapshot.ErrDenied)
		require.ErrorIs(t, err, snapshot.ErrLeft)
		require.ErrorContains(t, err, `left behind, as the clean-up failed: remove snapshot "ns/monday"`)
	})
}

func TestTheCleanUpHasABound(t *testing.T) {
	inBubble(t, memsnap.Options{ReadyAfter: time.Hour, DeleteAfter: time.Hour}, func(t *testing.T, storage *memsnap.Driver) {
		begin := time.Now()
		_, err := snapshot.New(storage, &snapshot.Options{Timeout: time.Second, CleanUpTimeout: 30 * time.Second}).Create(t.Context(), monday)
		require.ErrorContains(t, err, "the clean-up's 30s are over; last seen: being deleted")
		require.Equal(t, 31*time.Second, time.Since(begin))
	})
}

func TestAnothersSnapshotIsNotTouched(t *testing.T) {
	inBubble(t, memsnap.Options{}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		st, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		other := monday
		other.Token = "other"
		_, err = s.Create(t.Context(), other)
		require.ErrorIs(t, err, snapshot.ErrExists)
		_, err = s.Import(t.Context(), snapshot.ImportRequest{Ref: monday.Ref, Driver: memsnap.Name, Handle: st.Handle, Token: "other"})
		require.ErrorIs(t, err, snapshot.ErrExists)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Create(cancelled, other)
		require.ErrorIs(t, err, context.Canceled)
		again, err := s.Get(t.Context(), monday.Ref)
		require.NoError(t, err)
		require.Equal(t, st, again)
		require.Equal(t, "ns/monday: ready", st.String())
	})
}

func TestASnapshotThatSomebodyRemovesOrReplaces(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, storage *memsnap.Driver)
		is        error
		says      string
		left      int
	}{
		"removed": {func(t *testing.T, storage *memsnap.Driver) {
			require.NoError(t, storage.Delete(context.Background(), monday.Ref, "", ""))
		}, nil, "somebody is deleting it", 0},
		"replaced": {func(t *testing.T, storage *memsnap.Driver) {
			require.NoError(t, storage.Delete(context.Background(), monday.Ref, "", ""))
			time.AfterFunc(10*time.Millisecond, func() {
				other := monday
				other.Token = "other"
				_ = storage.Create(context.Background(), other)
			})
		}, snapshot.ErrExists, "replaced by somebody else", 1},
	} {
		t.Run(name, func(t *testing.T) {
			opts := memsnap.Options{CutAfter: time.Minute, DeleteAfter: time.Minute}
			if c.left > 0 {
				opts.DeleteAfter = time.Millisecond
			}
			inBubble(t, opts, func(t *testing.T, storage *memsnap.Driver) {
				time.AfterFunc(10*time.Second, func() { c.meanwhile(t, storage) })
				_, err := snapshot.New(storage, nil).Create(t.Context(), monday)
				require.Error(t, err)
				require.ErrorContains(t, err, c.says)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				require.Len(t, storage.Snapshots(), c.left)
			})
		})
	}
}

func TestWait(t *testing.T) {
	inBubble(t, memsnap.Options{CutAfter: time.Second, ReadyAfter: time.Minute}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		_, err := s.Wait(t.Context(), monday.Ref)
		require.ErrorIs(t, err, snapshot.ErrNotFound)
		require.NoError(t, storage.Create(t.Context(), monday))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		st, err := s.Wait(ctx, monday.Ref)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, st.Cut(), "what was seen last")
		st, err = s.Wait(t.Context(), monday.Ref)
		require.NoError(t, err)
		require.True(t, st.Ready)
		require.Len(t, storage.Snapshots(), 1, "a wait removes nothing")
	})
}

func TestListAndGet(t *testing.T) {
	inBubble(t, memsnap.Options{}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(storage, nil)
		st, err := s.Create(t.Context(), monday)
		require.NoError(t, err)
		list, err := s.List(t.Context(), "ns", map[string]string{"day": "monday"})
		require.NoError(t, err)
		require.Equal(t, []snapshot.Status{st}, list)
		list, err = s.List(t.Context(), "ns", map[string]string{"day": "tuesday"})
		require.NoError(t, err)
		require.Empty(t, list)
		_, err = s.Get(t.Context(), snapshot.Ref{Namespace: "other", Name: "monday"})
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, `look at snapshot "other/monday"`)
	})
}

// A driver need not have any of the other abilities.
func TestAbilitiesThatADriverHasNot(t *testing.T) {
	inBubble(t, memsnap.Options{DeleteAfter: time.Minute}, func(t *testing.T, storage *memsnap.Driver) {
		s := snapshot.New(struct{ snapshot.Driver }{storage}, nil)
		_, err := s.List(t.Context(), "ns", nil)
		require.ErrorIs(t, err, snapshot.ErrUnsupported)
		_, err = s.Import(t.Context(), snapshot.ImportRequest{Ref: monday.Ref, Driver: "d", Handle: "h", Token: "t"})
		require.ErrorIs(t, err, snapshot.ErrUnsupported)
		_, err = s.Clone(t.Context(), monday.Ref, snapshot.ImportRequest{Ref: monday.Ref, Token: "t"})
		require.ErrorIs(t, err, snapshot.ErrUnsupported)
		_, err = s.Restore(t.Context(), snapshot.RestoreRequest{Ref: monday.Ref, Snapshot: "s", Size: "1Gi", Token: "t"})
		require.ErrorIs(t, err, snapshot.ErrUnsupported)
		require.ErrorIs(t, s.DeleteContent(t.Context(), "content"), snapshot.ErrUnsupported)
		_, err = s.Create(t.Context(), monday)
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), monday.Ref, snapshot.Delete))
		require.Empty(t, storage.Snapshots())
	})
}
