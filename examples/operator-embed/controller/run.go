package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
	"github.com/davit-project/davit/examples/operator-embed/journal"
)

// begin begins the run. The order is what makes it safe: first the journal, then the id in the status, then the run. A Backup that has an id and
// no journal has lost it.
func (r *Reconciler) begin(ctx context.Context, b *v1alpha1.Backup, failed error) (ctrl.Result, error) {
	if failed != nil { // nothing was touched: the database is not there, say
		return r.later(ctx, b, failed, func(b *v1alpha1.Backup) { setWaiting(b, failed.Error()) })
	}
	planned := b.DeepCopy()
	planned.Status.RunID = runID(b)
	spec, err := newSpec(ctx, r.client, planned)
	if invalid := (*blueprintError)(nil); errors.As(err, &invalid) {
		return ctrl.Result{}, r.update(ctx, b, func(b *v1alpha1.Backup) {
			setCondition(b, v1alpha1.BlueprintValid, metav1.ConditionFalse, invalid.reason, invalid.message)
			setWaiting(b, "the blueprint cannot be run: "+invalid.message)
		})
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := journal.Create(ctx, r.client, journalKey(planned), map[string]string{backupAnnotation: b.Name}); err != nil {
		return ctrl.Result{}, err
	}
	err = r.update(ctx, b, func(b *v1alpha1.Backup) {
		b.Status.RunID = planned.Status.RunID
		if !meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.BlueprintValid) { // else it may say why the run did not begin the last time
			setCondition(b, v1alpha1.BlueprintValid, metav1.ConditionTrue, "Valid", "")
			setWaiting(b, "the run begins when its turn has come")
		}
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.execute(ctx, b, plan{spec: spec})
}

// carryOn resumes a run that nobody executes: the operator was restarted, or the journal could not be written for a while.
func (r *Reconciler) carryOn(ctx context.Context, b *v1alpha1.Backup, res *engine.Result, failed error) (ctrl.Result, error) {
	switch {
	case !b.DeletionTimestamp.IsZero():
		return r.execute(ctx, b, plan{cancel: errDeleted})
	case errors.Is(failed, journal.ErrFull):
		return r.execute(ctx, b, plan{cancel: failed})
	case failed != nil:
		return r.later(ctx, b, failed, func(b *v1alpha1.Backup) {
			setResult(b, res, "")
			setCondition(b, v1alpha1.CompleteCondition, metav1.ConditionUnknown, reasonInterrupted, failed.Error())
		})
	default:
		return r.execute(ctx, b, plan{})
	}
}

// later says in the status why the run does not go on, and comes back after a while.
func (r *Reconciler) later(ctx context.Context, b *v1alpha1.Backup, failed error, say func(*v1alpha1.Backup)) (ctrl.Result, error) {
	wait := r.executions.retry.When(b.UID)
	log.FromContext(ctx).Error(failed, "the run does not go on", "again in", wait)
	return ctrl.Result{RequeueAfter: wait}, r.update(ctx, b, say)
}

// plan is what an execution does: begin the run of spec, or resume, and end it first when cancel says why.
type plan struct {
	spec   *engine.Spec
	cancel error
}

func (r *Reconciler) execute(ctx context.Context, b *v1alpha1.Backup, p plan) (ctrl.Result, error) {
	begun := r.executions.begin(ctx, b, p.cancel == nil, func(ctx context.Context) error {
		// controller-runtime's logger, with the Backup's name in it, as the slog.Logger that Davit takes
		logger := slog.New(logr.ToSlogHandler(log.FromContext(ctx)))
		err := r.run(ctx, b.DeepCopy(), p, logger)
		if errors.Is(err, errDraining) {
			logger.InfoContext(ctx, "the run waits for the next operator")
		}
		return err
	})
	if !begun {
		return ctrl.Result{RequeueAfter: queueAgain}, nil
	}
	return ctrl.Result{}, nil
}

// run executes a run to its end. It returns nil when the journal says what became of it, good or bad, and an error when somebody has to carry on.
func (r *Reconciler) run(ctx context.Context, b *v1alpha1.Backup, p plan, logger *slog.Logger) error {
	j, err := journal.Open(ctx, r.client, journalKey(b), nil)
	if err != nil {
		return err
	}
	if err := askCancel(ctx, j, p.cancel); err != nil {
		return err
	}
	on, err := r.connect(b.Namespace, j.Reference(), logger)
	if err != nil {
		return err
	}
	e, err := newEngine(b, r.client, on, engine.Options{
		Logger: logger,
		Observe: func(e engine.Event) {
			logger.InfoContext(ctx, string(e.Kind), "run", runID(b), "phase", e.Name, "attempt", e.Attempt)
		},
		Progress: func(_ engine.PhaseRef, pr function.Progress) { r.executions.report(b, pr) },
	})
	if err != nil {
		return err
	}
	guarded := gate{j, r.executions.draining}
	var res *engine.Result
	if p.spec != nil {
		res, err = e.Run(ctx, p.spec, guarded)
	} else {
		res, err = e.Resume(ctx, guarded)
	}
	if res != nil && res.State.Ended() {
		// release does this too; but somebody may have taken the finalizer, and the Backup, away
		return journal.HandOver(ctx, r.client, journalKey(b), ownerReference(b))
	}
	return err
}

// askCancel writes into the journal that the run shall end, before anybody resumes it. Resuming it with a context that is cancelled already
// would not do: the engine needs the context to read what the deferred phase works on.
func askCancel(ctx context.Context, j *journal.Journal, why error) error {
	if why == nil {
		return nil
	}
	events, err := j.Events(ctx)
	if err != nil {
		return err
	}
	state, err := engine.Reduce(events)
	if err != nil || state.Cancel != nil || state.State.Ended() {
		return err
	}
	return j.Append(ctx, engine.Event{
		Seq: state.Seq + 1, Kind: engine.CancelAsked, Time: time.Now().UTC(),
		Error: &engine.Failure{Message: fmt.Sprintf("%s: %s", engine.ErrCancelled, why), Code: "cancelled"},
	})
}
