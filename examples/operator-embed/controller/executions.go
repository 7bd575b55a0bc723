package controller

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
)

const (
	// progressEvery is how often progress within a phase reaches the status.
	progressEvery = 5 * time.Second
	// firstRetry doubles up to maxRetry.
	firstRetry = time.Second
	maxRetry   = time.Minute
)

var (
	errDeleted  = errors.New("the Backup was deleted")
	errDraining = errors.New("the operator is ending; another one carries on")
)

// executions are the runs that this process executes, by the UID of their Backup. A run takes longer than a reconciliation may, so it has a
// goroutine of its own, and wakes the reconciler when there is something to see.
//
// Ending the process is no reason to cancel a run: the next leader carries on. But a phase that is in the middle of something, such as a command that must
// not be run twice, is given the time to finish: after the manager's context has ended no phase is begun any more, and Start returns when all
// executions have come to a stop. The manager holds the lease until then, at most for its GracefulShutdownTimeout.
type executions struct {
	limit    int
	wake     chan event.GenericEvent
	draining chan struct{}

	// retry says how long to wait before a run that came to a stop is carried on.
	retry workqueue.TypedRateLimiter[types.UID]

	mu   sync.Mutex
	all  map[types.UID]*execution
	busy sync.WaitGroup
}

// execution is one run that this process executes, or did, until the reconciler has seen that it came to a stop.
type execution struct {
	backup client.ObjectKey
	cancel context.CancelCauseFunc
	done   bool
	err    error
	note   string
	shown  time.Time
}

var (
	_ manager.Runnable               = (*executions)(nil)
	_ manager.LeaderElectionRunnable = (*executions)(nil)
)

func newExecutions(limit int) *executions {
	return &executions{
		limit: limit, wake: make(chan event.GenericEvent), draining: make(chan struct{}), all: map[types.UID]*execution{},
		retry: workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](firstRetry, maxRetry),
	}
}

// NeedLeaderElection makes the manager hold the lease until Start has returned.
func (x *executions) NeedLeaderElection() bool { return true }

// Start waits for the end of the manager, and then for the executions.
func (x *executions) Start(ctx context.Context) error {
	<-ctx.Done()
	x.mu.Lock()
	close(x.draining)
	x.mu.Unlock()
	x.busy.Wait()
	return nil
}

// begin executes run, unless too many are executed already or the process is ending. One that is not cancellable has the reason why it ends in its journal
// already.
func (x *executions) begin(ctx context.Context, b *v1alpha1.Backup, cancellable bool, run func(context.Context) error) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.draining:
		return false
	default:
	}
	running := 0
	for _, e := range x.all {
		if !e.done {
			running++
		}
	}
	if running >= x.limit {
		return false
	}
	// the reconciler's context has its logger, and ends with the reconciliation or the manager: neither is the run's end
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	e := &execution{backup: client.ObjectKeyFromObject(b), cancel: cancel}
	if !cancellable {
		e.cancel = func(error) {}
	}
	x.all[b.UID] = e
	x.busy.Go(func() {
		err := run(ctx)
		cancel(nil)
		x.mu.Lock()
		e.done, e.err = true, err
		x.mu.Unlock()
		x.tell(b)
	})
	return true
}

// tell wakes the reconciler.
func (x *executions) tell(b *v1alpha1.Backup) {
	select {
	case x.wake <- event.GenericEvent{Object: b}:
	case <-x.draining:
	}
}

// look returns what a phase said last while the run is executed. Of an execution that has come to a stop before the end of the run it returns the error, once.
func (x *executions) look(uid types.UID) (running bool, note string, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.all[uid]
	if e == nil {
		return false, "", nil
	}
	if e.done {
		delete(x.all, uid)
		return false, "", e.err
	}
	return true, e.note, nil
}

// drop cancels the runs of a Backup that does not exist any more: somebody took its finalizer away.
func (x *executions) drop(backup client.ObjectKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for uid, e := range x.all {
		switch {
		case e.backup != backup:
		case e.done:
			delete(x.all, uid)
			x.retry.Forget(uid)
		default:
			e.cancel(errDeleted)
		}
	}
}

// cancel asks the run to end. It goes on until its deferred phase has run.
func (x *executions) cancel(uid types.UID, reason error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.all[uid]; e != nil {
		e.cancel(reason)
	}
}

// report keeps what a phase says about its progress.
func (x *executions) report(b *v1alpha1.Backup, p function.Progress) {
	x.mu.Lock()
	e := x.all[b.UID]
	show := e != nil && time.Since(e.shown) >= progressEvery
	if e != nil {
		e.note = progressText(p)
	}
	if show {
		e.shown = time.Now()
	}
	x.mu.Unlock()
	if show {
		go x.tell(b) // a phase does not wait for the reconciler
	}
}

// gate is a journal that begins nothing while the process is ending. The engine has no way to pause a run; a journal that refuses the next
// beginning is one, because a run whose journal cannot be written stands still where it is.
type gate struct {
	engine.Journal
	draining <-chan struct{}
}

// Append stores the event unless it is a beginning that comes too late.
func (g gate) Append(ctx context.Context, e engine.Event) error {
	if e.Kind == engine.RunStarted || e.Kind == engine.PhaseStarted {
		select {
		case <-g.draining:
			return errDraining
		default:
		}
	}
	return g.Journal.Append(ctx, e)
}
