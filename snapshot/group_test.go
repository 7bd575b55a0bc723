package snapshot_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// stubHolder holds nothing; it notes when it is released.
type stubHolder struct {
	holdFor, releaseFor time.Duration
	holdErr, releaseErr error
	lost                chan struct{}
	none                bool

	holds, releases atomic.Int32
	released        time.Time
	ctx             context.Context
}

func (h *stubHolder) Hold(ctx context.Context) (snapshot.Held, error) {
	h.ctx = ctx
	h.holds.Add(1)
	time.Sleep(h.holdFor)
	if h.holdErr != nil || h.none {
		return nil, h.holdErr
	}
	return h, nil
}

func (h *stubHolder) Lost() <-chan struct{} { return h.lost }

func (h *stubHolder) Release(context.Context) error {
	h.releases.Add(1)
	time.Sleep(h.releaseFor)
	h.released = time.Now()
	if h.releaseErr == nil && h.ctx.Err() != nil {
		return context.Cause(h.ctx)
	}
	return h.releaseErr
}

func TestGroupHoldsOnlyUntilItIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		a := newApp(t, 2, &memsnap.Options{CutAfter: 3 * time.Second, ReadyAfter: 5 * time.Minute})
		h := &stubHolder{holdFor: time.Second, releaseFor: 2 * time.Second}
		req := a.group()
		req.MaxHold = 5 * time.Second
		result, err := snapshot.New(a.storage, nil).CreateGroup(t.Context(), req, h)
		require.NoError(t, err, "the longest time counts until all is cut, and what Hold was given lasts until Release has returned")
		require.Equal(t, 6*time.Second, h.released.Sub(begin), "released long before the snapshots are ready")
		require.Equal(t, 6*time.Second, result.Held, "the time of Hold and Release counts")
		require.Equal(t, begin.Add(4*time.Second), result.FirstCut)
		require.Equal(t, result.FirstCut, result.LastCut)
		require.GreaterOrEqual(t, time.Since(begin), 5*time.Minute)
		require.False(t, result.Adopted)
		for _, st := range result.Snapshots {
			require.True(t, st.Ready && st.Confirmed)
		}
	})
}

func TestGroupUntilCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		a := newApp(t, 2, &memsnap.Options{CutAfter: 3 * time.Second, ReadyAfter: 5 * time.Minute})
		req := a.group()
		req.UntilCut = true
		result, err := snapshot.New(a.storage, nil).CreateGroup(t.Context(), req, a)
		require.NoError(t, err)
		require.Less(t, time.Since(begin), 4*time.Second)
		for _, st := range result.Snapshots {
			require.True(t, st.Cut() && st.Confirmed && !st.Ready)
		}
		a.requireFree()
	})
}

// While an application is held, every failure lets it go on as soon as it can be known.
func TestGroupLetsGoEarly(t *testing.T) {
	boom := errors.New("boom")
	first := snapshot.Ref{Namespace: "ns", Name: "of-volume-0"}
	ends := func(after time.Duration, cause error) func(t *testing.T) context.Context {
		return func(t *testing.T) context.Context {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(after, func() { cancel(cause) })
			return ctx
		}
	}
	for name, c := range map[string]struct {
		storage memsnap.Options
		holder  *stubHolder
		ctx     func(t *testing.T) context.Context
		maxHold time.Duration
		problem string
		lose    time.Duration
		held    time.Duration
		is      error
		says    string
	}{
		"the longest time": {storage: memsnap.Options{CutAfter: time.Hour}, held: time.Minute, is: snapshot.ErrMaxHold, says: "1m0s; last seen: asked for, not cut"},
		"a longest time":   {storage: memsnap.Options{CutAfter: time.Hour}, maxHold: 7 * time.Second, held: 7 * time.Second, is: snapshot.ErrMaxHold, says: `snapshot "ns/of-volume-`},
		"slow to hold":     {holder: &stubHolder{holdFor: 5 * time.Second}, maxHold: time.Second, held: 5 * time.Second, is: snapshot.ErrMaxHold},
		"lost":             {storage: memsnap.Options{CutAfter: time.Hour}, lose: 3 * time.Second, held: 3 * time.Second, is: snapshot.ErrHoldLost},
		"cancelled":        {storage: memsnap.Options{CutAfter: time.Hour}, ctx: ends(4*time.Second, boom), held: 4 * time.Second, is: boom},
		"a problem":        {problem: "pool is full", maxHold: time.Hour, held: 10 * time.Second, is: snapshot.ErrFailed, says: `"pool is full"`},
		"release fails":    {holder: &stubHolder{releaseErr: boom}, is: snapshot.ErrHoldLost, says: "may still be held: boom"},
		"both fail":        {holder: &stubHolder{releaseErr: boom}, problem: "pool is full", held: 10 * time.Second, is: snapshot.ErrFailed, says: "may still be held: boom"},
		"lost at once":     {lose: -1, is: snapshot.ErrHoldLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, 2, &c.storage)
				if c.problem != "" {
					a.storage.SetProblem(first, c.problem)
				}
				ctx := t.Context()
				if c.ctx != nil {
					ctx = c.ctx(t)
				}
				h := &stubHolder{}
				if c.holder != nil {
					h = c.holder
				}
				h.lost = make(chan struct{})
				if c.lose > 0 {
					time.AfterFunc(c.lose, func() { close(h.lost) })
				} else if c.lose < 0 {
					close(h.lost)
				}
				req := a.group()
				req.MaxHold = c.maxHold
				result, err := snapshot.New(a.storage, nil).CreateGroup(ctx, req, h)
				require.ErrorIs(t, err, c.is)
				require.ErrorContains(t, err, c.says)
				if h.releaseErr != nil {
					require.ErrorIs(t, err, snapshot.ErrHoldLost, "whatever failed before: the application may still be held")
					require.ErrorIs(t, err, h.releaseErr)
				}
				require.Equal(t, c.held, result.Held)
				require.EqualValues(t, 1, h.releases.Load())
				a.requireNothing()
			})
		})
	}
}

func TestGroupWaitsForAProblemThatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, nil)
		ref := a.group().Requests[0].Ref
		a.storage.SetProblem(ref, "the object has been modified")
		time.AfterFunc(8*time.Second, func() { a.storage.SetProblem(ref, "") })
		result, err := snapshot.New(a.storage, nil).CreateGroup(t.Context(), a.group(), a)
		require.NoError(t, err)
		a.requireFree()
		a.requireWhole(result, true)
	})
}

// slowDriver takes no notice of its context.
type slowDriver struct {
	snapshot.Driver
	slow snapshot.Ref
}

func (d slowDriver) Create(ctx context.Context, req snapshot.Request) error {
	if req.Ref == d.slow {
		time.Sleep(time.Minute)
	}
	return d.Driver.Create(ctx, req)
}

func TestGroupLetsGoBeforeAHangingRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, nil)
		req := a.group()
		req.Requests[0].Class = "gold"
		h := &stubHolder{}
		begin := time.Now()
		_, err := snapshot.New(slowDriver{a.storage, req.Requests[1].Ref}, nil).CreateGroup(t.Context(), req, h)
		require.ErrorIs(t, err, snapshot.ErrNoClass)
		require.Equal(t, begin, h.released)
		require.GreaterOrEqual(t, time.Since(begin), time.Minute, "what a request that is still under way makes is removed too")
		a.requireNothing()
	})
}

func TestGroupFindsWhatFailsBeforeItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, nil)
		s := snapshot.New(a.storage, nil)
		for name, c := range map[string]struct {
			change func(*snapshot.GroupRequest)
			is     error
		}{
			"class":    {func(g *snapshot.GroupRequest) { g.Requests[1].Class = "gold" }, snapshot.ErrNoClass},
			"volume":   {func(g *snapshot.GroupRequest) { g.Requests[1].Volume = "absent" }, snapshot.ErrNotFound},
			"unnamed":  {func(g *snapshot.GroupRequest) { g.Requests[1].Volume = "" }, snapshot.ErrInvalid},
			"token":    {func(g *snapshot.GroupRequest) { g.Requests[1].Token = "other" }, snapshot.ErrInvalid},
			"no token": {func(g *snapshot.GroupRequest) { g.Requests[0].Token, g.Requests[1].Token = "", "" }, snapshot.ErrInvalid},
			"twice":    {func(g *snapshot.GroupRequest) { g.Requests[1].Ref = g.Requests[0].Ref }, snapshot.ErrInvalid},
			"empty":    {func(g *snapshot.GroupRequest) { g.Requests = nil }, snapshot.ErrInvalid},
			"hold":     {func(g *snapshot.GroupRequest) { g.MaxHold = -1 }, snapshot.ErrInvalid},
		} {
			req := a.group()
			c.change(&req)
			h := &stubHolder{}
			result, err := s.CreateGroup(t.Context(), req, h)
			require.ErrorIs(t, err, c.is, name)
			require.Zero(t, *result, name)
			require.Zero(t, h.holds.Load(), name)
			a.requireNothing()
		}
	})
}

func TestGroupLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, nil)
		s := snapshot.New(a.storage, nil)
		req := a.group()
		other := req.Requests[1]
		other.Token = "other"
		_, err := s.Create(t.Context(), other)
		require.NoError(t, err)
		h := &stubHolder{}
		_, err = s.CreateGroup(t.Context(), req, h)
		require.ErrorIs(t, err, snapshot.ErrExists)
		require.Zero(t, h.holds.Load())
		require.Equal(t, []string{other.String()}, a.storage.Snapshots())

		other.Volume = a.volumes[0].Name
		_, err = s.Create(t.Context(), other)
		require.ErrorIs(t, err, snapshot.ErrExists, "the same name and token for another volume")
	})
}

func TestGroupIsMadeAnewWhereThatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, held := range []bool{true, false} {
			a := newApp(t, 2, &slowStorage)
			var h snapshot.Holder
			if held {
				h = a
			}
			s := snapshot.New(a.storage, nil)
			first, err := s.CreateGroup(t.Context(), a.group(), h)
			require.NoError(t, err)
			req := a.group()
			req.Anew = true
			second, err := s.CreateGroup(t.Context(), req, h)
			require.NoError(t, err)
			require.False(t, second.Adopted)
			for i := range second.Snapshots {
				require.NotEqual(t, first.Snapshots[i].Handle, second.Snapshots[i].Handle)
			}
			require.Len(t, a.storage.Stored(), 2)
			if held {
				a.requireWhole(second, true)
			}
			a.requireFree()
		}
	})
}

func TestGroupIsAdoptedOnlyWhenItWasFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, &slowStorage)
		s := snapshot.New(a.storage, nil)
		first, err := s.CreateGroup(t.Context(), a.group(), a)
		require.NoError(t, err)

		h := &stubHolder{}
		again, err := s.CreateGroup(t.Context(), a.group(), h)
		require.NoError(t, err)
		require.Zero(t, h.holds.Load())
		require.True(t, again.Adopted)
		require.Zero(t, again.Held)
		require.Equal(t, first.Snapshots, again.Snapshots)
		require.Equal(t, first.LastCut, again.LastCut)

		require.NoError(t, s.Delete(t.Context(), first.Snapshots[0].Ref, ""))
		third, err := s.CreateGroup(t.Context(), a.group(), a)
		require.NoError(t, err)
		require.False(t, third.Adopted)
		require.Equal(t, 2, a.holds)
		require.NotEqual(t, first.Snapshots[1].Handle, third.Snapshots[1].Handle, "what is left of a group is not part of the next")
		a.requireWhole(third, true)

		require.NoError(t, a.storage.Delete(t.Context(), third.Snapshots[0].Ref, "", ""))
		fourth, err := s.CreateGroup(t.Context(), a.group(), a)
		require.NoError(t, err, "a group that is on its way out is not adopted")
		require.False(t, fourth.Adopted)
		a.requireWhole(fourth, true)
		a.requireFree()
	})
}

func TestGroupWithoutHolderTakesOverWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 3, &slowStorage)
		s := snapshot.New(a.storage, nil)
		req := a.group()
		for _, q := range req.Requests[:2] {
			require.NoError(t, a.storage.Create(t.Context(), q))
		}
		time.Sleep(time.Minute)
		require.NoError(t, a.storage.Delete(t.Context(), req.Requests[1].Ref, "", ""))
		before, err := s.Get(t.Context(), req.Requests[0].Ref)
		require.NoError(t, err)
		result, err := s.CreateGroup(t.Context(), req, nil)
		require.NoError(t, err)
		require.Equal(t, before, result.Snapshots[0])
		require.True(t, result.Snapshots[1].CutAt.After(before.CutAt), "the one that was being deleted is made anew")
		require.False(t, result.Adopted)
		require.Equal(t, before.CutAt, result.FirstCut)
		a.requireWhole(result, false)
		again, err := s.CreateGroup(t.Context(), req, nil)
		require.NoError(t, err)
		require.True(t, again.Adopted)
	})
}

func TestGroupOfAnEndedContextIsRemoved(t *testing.T) {
	for _, held := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			a := newApp(t, 2, &slowStorage)
			s := snapshot.New(a.storage, nil)
			var h snapshot.Holder
			if held {
				h = a
			}
			_, err := s.CreateGroup(t.Context(), a.group(), h)
			require.NoError(t, err)
			boom := errors.New("boom")
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(boom)
			_, err = s.CreateGroup(ctx, a.group(), h)
			require.ErrorIs(t, err, boom)
			a.requireNothing()
			a.requireFree()
		})
	}
}

func TestGroupOfAHolderThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 1, nil)
		_, err := snapshot.New(a.storage, nil).CreateGroup(t.Context(), a.group(), &stubHolder{none: true})
		require.ErrorContains(t, err, "neither that it is held nor why not")
		a.requireNothing()
	})
}

// exitDriver ends the goroutine it is called from, as a failing test's driver does.
type exitDriver struct {
	snapshot.Driver
	exit snapshot.Ref
}

func (d exitDriver) Create(ctx context.Context, req snapshot.Request) error {
	if req.Ref == d.exit {
		runtime.Goexit()
	}
	return d.Driver.Create(ctx, req)
}

func TestGroupOfADriverThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, nil)
		_, err := snapshot.New(exitDriver{a.storage, a.group().Requests[1].Ref}, nil).CreateGroup(t.Context(), a.group(), a)
		require.ErrorContains(t, err, "ended its goroutine")
		a.requireNothing()
		a.requireFree()
	})
}

// lateDriver carries a request out after its caller has given up.
type lateDriver struct{ *memsnap.Driver }

func (d lateDriver) Create(ctx context.Context, req snapshot.Request) error {
	time.AfterFunc(time.Second, func() { _ = d.Driver.Create(context.WithoutCancel(ctx), req) })
	return errors.New("connection reset")
}

func (d lateDriver) Restore(ctx context.Context, req snapshot.RestoreRequest) error {
	time.AfterFunc(time.Second, func() { _ = d.Driver.Restore(context.WithoutCancel(ctx), req) })
	return errors.New("connection reset")
}

func TestARequestThatIsCarriedOutLateIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, 2, nil)
		s := snapshot.New(lateDriver{a.storage}, nil)
		_, err := s.CreateGroup(t.Context(), a.group(), a)
		require.ErrorContains(t, err, "connection reset")
		a.requireNothing()
		_, err = s.Create(t.Context(), a.group().Requests[0])
		require.ErrorContains(t, err, "connection reset")
		time.Sleep(time.Minute)
		a.requireNothing()
		a.requireFree()

		from := a.group().Requests[0]
		require.NoError(t, a.storage.Create(t.Context(), from))
		_, err = s.Restore(t.Context(), snapshot.RestoreRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "copy"}, Snapshot: from.Name, Size: "1Gi", Token: "token"})
		require.ErrorContains(t, err, "connection reset")
		time.Sleep(time.Minute)
		require.Len(t, a.storage.Volumes(), len(a.volumes))
	})
}
