package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

// app is a database over several volumes. It writes the same number to all of them, one after the other, again and again; nothing but holding it keeps a number
// from being in some of the volumes only.
type app struct {
	t       *testing.T
	storage *memsnap.Driver
	volumes []snapshot.Ref
	// busy is full while the app writes or is held.
	busy chan struct{}
	// moment, when it is set, is called in Hold and Release.
	moment func(ctx context.Context, c memsnap.Call) error
	// loseAfter closes Lost that long after Hold; 0 never.
	loseAfter time.Duration

	holds, releases int
	lost            chan struct{}
	// letGo lets the app go on and tells whether it was held.
	letGo func() bool
}

// newApp starts the app. It must run in a bubble of synctest.
func newApp(t *testing.T, volumes int, opts *memsnap.Options) *app {
	a := &app{t: t, storage: memsnap.New(opts), busy: make(chan struct{}, 1)}
	for i := range volumes {
		a.volumes = append(a.volumes, snapshot.Ref{Namespace: "ns", Name: fmt.Sprintf("volume-%d", i)})
		a.storage.AddVolume(a.volumes[i], "0")
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 1; ctx.Err() == nil; n++ {
			a.busy <- struct{}{}
			for _, v := range a.volumes {
				time.Sleep(7 * time.Millisecond)
				if err := a.storage.Write(v, strconv.Itoa(n)); err != nil {
					t.Error(err)
				}
			}
			<-a.busy
			time.Sleep(7 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-stopped })
	return a
}

func (a *app) call(ctx context.Context, method string, after bool) error {
	if a.moment == nil {
		return nil
	}
	return a.moment(ctx, memsnap.Call{Method: method, After: after})
}

func (a *app) Hold(ctx context.Context) (snapshot.Held, error) {
	if err := a.call(ctx, "Hold", false); err != nil {
		return nil, err
	}
	select {
	case a.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a.holds++
	going, lost := make(chan struct{}), make(chan struct{})
	a.lost = lost
	once := make(chan struct{}, 1)
	once <- struct{}{}
	a.letGo = func() bool {
		select {
		case <-once:
			close(going)
			<-a.busy
			return true
		default:
			return false
		}
	}
	if a.loseAfter > 0 {
		letGo, after := a.letGo, time.After(a.loseAfter)
		go func() {
			select {
			case <-going:
			case <-after:
				letGo()
				close(lost)
			}
		}()
	}
	held := false
	defer func() {
		if !held {
			a.releases++
			a.letGo()
		}
	}()
	if err := a.call(ctx, "Hold", true); err != nil {
		return nil, err
	}
	held = true
	return a, nil
}

func (a *app) Lost() <-chan struct{} { return a.lost }

func (a *app) Release(ctx context.Context) error {
	a.releases++
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wasHeld := a.letGo()
	select {
	case <-a.lost:
		wasHeld = false
	default:
	}
	if !wasHeld {
		return errors.New("it was let go before")
	}
	return a.call(ctx, "Release", true)
}

// group is the request for snapshots of all volumes.
func (a *app) group() snapshot.GroupRequest {
	var g snapshot.GroupRequest
	for _, v := range a.volumes {
		g.Requests = append(g.Requests, snapshot.Request{Ref: snapshot.Ref{Namespace: v.Namespace, Name: "of-" + v.Name}, Volume: v.Name, Token: "token"})
	}
	return g
}

// requireFree tells that the app goes on.
func (a *app) requireFree() {
	a.t.Helper()
	require.Equal(a.t, a.holds, a.releases, "every hold is released exactly once")
	before, err := a.storage.Read(a.volumes[0])
	require.NoError(a.t, err)
	time.Sleep(time.Second)
	after, err := a.storage.Read(a.volumes[0])
	require.NoError(a.t, err)
	require.NotEqual(a.t, before, after, "the application writes")
}

func (a *app) requireNothing() {
	a.t.Helper()
	requireEmpty(a.t, a.storage)
}

// requireWhole tells that there is one snapshot for each volume, and whether all have the same number.
func (a *app) requireWhole(result *snapshot.GroupResult, same bool) {
	a.t.Helper()
	require.Len(a.t, a.storage.Snapshots(), len(a.volumes), "one snapshot for each name")
	require.Len(a.t, a.storage.Contents(), len(a.volumes))
	require.Len(a.t, a.storage.Stored(), len(a.volumes), "one snapshot in the storage for each name")
	require.Len(a.t, result.Snapshots, len(a.volumes))
	numbers := map[string]bool{}
	for i, st := range result.Snapshots {
		require.Equal(a.t, a.volumes[i].Name, st.Volume, "in the order of the requests")
		require.True(a.t, st.Cut())
		require.False(a.t, st.CutAt.Before(result.FirstCut))
		require.False(a.t, st.CutAt.After(result.LastCut))
		numbers[a.content(st.Ref)] = true
	}
	if same {
		require.Len(a.t, numbers, 1, "all snapshots are of one moment: %v", numbers)
	}
}

// content restores a snapshot and reads it.
func (a *app) content(of snapshot.Ref) string {
	a.t.Helper()
	volume := snapshot.Ref{Namespace: of.Namespace, Name: "again-" + of.Name}
	s := snapshot.New(a.storage, nil)
	_, err := s.Restore(a.t.Context(), snapshot.RestoreRequest{Ref: volume, Snapshot: of.Name, Size: memsnap.VolumeSize, Token: "check"})
	require.NoError(a.t, err)
	content, err := a.storage.Read(volume)
	require.NoError(a.t, err)
	a.storage.RemoveVolume(volume)
	return content
}
