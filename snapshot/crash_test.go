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
var quick = &snapshot.Options{ErrorGrace: 5 * time.Second, CleanUpTimeout: 20 * time.Second, Timeout: time.Minute, ReleaseTimeout: 3 * time.Second}

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
			require.Greater(t, at, 20, "the fault was at many moments")
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
					ctx, stop = context.WithTimeout(ctx, time.Minute)
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
