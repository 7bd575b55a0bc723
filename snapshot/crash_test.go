package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

var errFault = errors.New("no route to host")

// faults breaks one of the moments of a call, and what comes after it in some modes.
type faults struct {
	mode string
	at   int
	// cancel ends the call.
	cancel context.CancelCauseFunc
	// died is what happens at once when the host dies.
	died func()

	mu    sync.Mutex
	count int
	off   bool
}

var modes = []string{"once", "for ever", "dead", "panic", "cancel", "hang"}

func (f *faults) moment(ctx context.Context, _ memsnap.Call) error {
	f.mu.Lock()
	f.count++
	hit := !f.off && (f.count == f.at || (f.mode == "for ever" || f.mode == "dead") && f.count > f.at)
	f.mu.Unlock()
	if !hit {
		return nil
	}
	switch f.mode {
	case "dead":
		f.died()
	case "panic":
		panic("a driver's fault")
	case "cancel":
		f.cancel(errFault)
		return ctx.Err()
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	}
	return errFault
}

// end heals everything and tells whether the moment came.
func (f *faults) end() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
	return f.count >= f.at
}

var slowStorage = memsnap.Options{OneByOne: true, CutAfter: 131 * time.Millisecond, ReadyAfter: 400 * time.Millisecond, DeleteAfter: 300 * time.Millisecond}

// quick keeps a hanging call from lasting for ever.
var quick = &snapshot.Options{ErrorGrace: 5 * time.Second, CleanUpTimeout: 8 * time.Second, Timeout: 15 * time.Second, ReleaseTimeout: 3 * time.Second}

// everyMoment runs f with a fault at the first moment, the second and so on until f has no more of them.
func everyMoment(t *testing.T, f func(t *testing.T, fault *faults) (reached bool)) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			at := 1
			for reached := true; reached; at++ {
				synctest.Test(t, func(t *testing.T) {
					reached = f(t, &faults{mode: mode, at: at})
					if t.Failed() {
						reached = false
						t.Logf("the fault was at moment %d", at)
					}
				})
			}
			require.Greater(t, at, 8, "the fault was at many moments")
		})
	}
}

func TestGroupSurvivesAFaultAtEveryMoment(t *testing.T) {
	for _, held := range []bool{true, false} {
		t.Run(fmt.Sprintf("held %v", held), func(t *testing.T) {
			everyMoment(t, func(t *testing.T, fault *faults) bool {
				opts := slowStorage
				opts.Call = fault.moment
				a := newApp(t, 3, &opts)
				a.moment = fault.moment
				var h snapshot.Holder
				if held {
					h = a
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				fault.cancel = cancel
				fault.died = func() {
					if a.letGo != nil {
						a.letGo()
					}
				}
				if fault.mode == "hang" {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, 15*time.Second)
					defer stop()
				}
				s := snapshot.New(a.storage, quick)
				req := a.group()
				req.MaxHold = 10 * time.Second
				result, err := s.CreateGroup(ctx, req, h)
				reached := fault.end()
				a.requireFree()
				switch {
				case err == nil:
					a.requireWhole(result, held)
				case fault.mode != "for ever" && fault.mode != "dead" && fault.mode != "hang":
					a.requireNothing()
				case len(a.storage.Snapshots()) > 0:
					require.ErrorContains(t, err, "left behind")
				}
				again, err := s.CreateGroup(t.Context(), req, h)
				require.NoError(t, err)
				a.requireFree()
				a.requireWhole(again, held)
				return reached
			})
		})
	}
}

// Every other call too removes what it made or says what is left, and the next call with the same token finishes the work.
func TestCallsSurviveAFaultAtEveryMoment(t *testing.T) {
	target := snapshot.Ref{Namespace: "other", Name: "target"}
	source := snapshot.Ref{Namespace: "ns", Name: "source"}
	for name, c := range map[string]struct {
		call func(ctx context.Context, s *snapshot.Snapshotter, source snapshot.Status) error
		left func(ctx context.Context, storage *memsnap.Driver) error
	}{
		"create": {
			func(ctx context.Context, s *snapshot.Snapshotter, _ snapshot.Status) error {
				_, err := s.Create(ctx, snapshot.Request{Ref: target, Volume: "volume", Token: "token"})
				return err
			},
			func(ctx context.Context, storage *memsnap.Driver) error {
				_, err := storage.Get(ctx, target)
				return err
			},
		},
		"import": {
			func(ctx context.Context, s *snapshot.Snapshotter, source snapshot.Status) error {
				_, err := s.Import(ctx, snapshot.ImportRequest{Ref: target, Driver: source.Driver, Handle: source.Handle, Token: "token"})
				return err
			},
			func(ctx context.Context, storage *memsnap.Driver) error {
				_, err := storage.Get(ctx, target)
				return err
			},
		},
		"clone": {
			func(ctx context.Context, s *snapshot.Snapshotter, source snapshot.Status) error {
				_, err := s.Clone(ctx, source.Ref, snapshot.ImportRequest{Ref: target, Token: "token"})
				return err
			},
			func(ctx context.Context, storage *memsnap.Driver) error {
				_, err := storage.Get(ctx, target)
				return err
			},
		},
		"restore": {
			func(ctx context.Context, s *snapshot.Snapshotter, source snapshot.Status) error {
				_, err := s.Restore(ctx, snapshot.RestoreRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "target"}, Snapshot: "source", Size: "1Gi", Token: "token"})
				return err
			},
			func(ctx context.Context, storage *memsnap.Driver) error {
				_, err := storage.Volume(ctx, snapshot.Ref{Namespace: "ns", Name: "target"})
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			everyMoment(t, func(t *testing.T, fault *faults) bool {
				fault.died = func() {}
				opts := slowStorage
				opts.BindAfter = time.Second
				armed := false
				opts.Call = func(ctx context.Context, c memsnap.Call) error {
					if !armed {
						return nil
					}
					return fault.moment(ctx, c)
				}
				storage := memsnap.New(&opts)
				storage.AddVolume(snapshot.Ref{Namespace: "ns", Name: "volume"}, "content")
				storage.AddVolume(snapshot.Ref{Namespace: "other", Name: "volume"}, "content")
				s := snapshot.New(storage, quick)
				from, err := s.Create(t.Context(), snapshot.Request{Ref: source, Volume: "volume", Token: "source"})
				require.NoError(t, err)

				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				fault.cancel = cancel
				if fault.mode == "hang" {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, 15*time.Second)
					defer stop()
				}
				armed = true
				failure := c.call(ctx, s, from)
				reached := fault.end()
				armed = false
				left := c.left(t.Context(), storage)
				switch {
				case failure == nil:
					require.NoError(t, left)
				case fault.mode != "for ever" && fault.mode != "dead" && fault.mode != "hang":
					require.ErrorIs(t, left, snapshot.ErrNotFound)
					require.Equal(t, []string{from.Content}, storage.Contents())
					require.Equal(t, []string{from.Handle}, storage.Stored())
				case left == nil:
					require.ErrorContains(t, failure, "left behind")
				}
				require.NoError(t, c.call(t.Context(), s, from))
				require.NoError(t, c.left(t.Context(), storage))
				_, err = s.Wait(t.Context(), source)
				require.NoError(t, err, "the source is as it was")
				return reached
			})
		})
	}
}
