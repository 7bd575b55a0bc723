// Package controller makes a Davit run of each Backup.
//
// Three things are kept apart. The journal, a ConfigMap, is the truth about a run. An execution is a goroutine of the leader that carries the run on
// and appends to the journal. The status of the Backup is computed from the journal, whoever writes it: Reconcile looks at the Backup, its journal and
// its execution, and does what is missing. So there is nothing to recover after a crash: the next leader finds a journal without an execution.
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
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
	"github.com/davit-project/davit/examples/operator-embed/journal"
)

// finalizer is on a Backup from before its run begins until the run has ended, so that a Backup does not go while its run is under way.
const finalizer = "example.davit.io/run"

// queueAgain is how soon a Backup is looked at again that waits for its turn.
const queueAgain = 5 * time.Second

// Reconciler carries out Backups.
type Reconciler struct {
	client     client.Client
	connect    Connect
	executions *executions
	viewer     *engine.Engine
}

// New makes a Reconciler that executes at most limit runs at once. The client must not read ConfigMaps from a cache.
func New(c client.Client, connect Connect, limit int) *Reconciler {
	// an engine without functions and objects can still read journals
	return &Reconciler{client: c, connect: connect, executions: newExecutions(limit), viewer: engine.New(nil, nil, nil)}
}

// SetupWithManager registers the controller, and the executions for the manager to wait for.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.Add(r.executions); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Backup{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		// each append to a journal; only that it changed is watched, what it holds is read when it is needed
		Owns(&corev1.ConfigMap{}, builder.OnlyMetadata).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.waitingFor), builder.OnlyMetadata).
		WatchesRawSource(source.Channel(r.executions.wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
}

// waitingFor returns the Backups whose blueprint a ConfigMap is and that have not begun.
func (r *Reconciler) waitingFor(ctx context.Context, object client.Object) []ctrl.Request {
	var list v1alpha1.BackupList
	if err := r.client.List(ctx, &list, client.InNamespace(object.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "list the Backups")
		return nil
	}
	var requests []ctrl.Request
	for i := range list.Items {
		b := &list.Items[i]
		if b.Spec.Blueprint == object.GetName() && (b.Status.Phase == "" || b.Status.Phase == v1alpha1.Pending) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(b)})
		}
	}
	return requests
}

// Reconcile does what is missing for a Backup. Nothing here waits for a run.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	b := &v1alpha1.Backup{}
	if err := r.client.Get(ctx, req.NamespacedName, b); apierrors.IsNotFound(err) {
		r.executions.drop(req.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	running, note, failed := r.executions.look(b.UID)
	if b.Status.Phase.Ended() {
		r.executions.retry.Forget(b.UID)
		return ctrl.Result{}, r.release(ctx, b)
	}
	if done, err := r.hold(ctx, b); done || err != nil {
		return ctrl.Result{}, err
	}
	res, err := r.result(ctx, b)
	switch {
	case errors.Is(err, journal.ErrGone), errors.Is(err, journal.ErrDamaged):
		r.executions.cancel(b.UID, err)
		return ctrl.Result{}, r.lose(ctx, b, err)
	case err != nil:
		return ctrl.Result{}, err
	case res != nil && res.State.Ended():
		if err := r.update(ctx, b, func(b *v1alpha1.Backup) { setResult(b, res, "") }); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, r.release(ctx, b)
	case running:
		if !b.DeletionTimestamp.IsZero() {
			r.executions.cancel(b.UID, errDeleted)
		}
		if res == nil {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, r.update(ctx, b, func(b *v1alpha1.Backup) { setResult(b, res, note) })
	case res == nil && !b.DeletionTimestamp.IsZero():
		return ctrl.Result{}, r.forget(ctx, b)
	case res == nil:
		return r.begin(ctx, b, failed)
	default:
		return r.carryOn(ctx, b, res, failed)
	}
}

// hold puts the finalizer on the Backup. Done is true for one that is being deleted and had none.
func (r *Reconciler) hold(ctx context.Context, b *v1alpha1.Backup) (done bool, err error) {
	if controllerutil.ContainsFinalizer(b, finalizer) {
		return false, nil
	}
	if !b.DeletionTimestamp.IsZero() {
		return true, nil
	}
	before := b.DeepCopy()
	controllerutil.AddFinalizer(b, finalizer)
	return false, r.client.Patch(ctx, b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// release takes the finalizer away.
func (r *Reconciler) release(ctx context.Context, b *v1alpha1.Backup) error {
	before := b.DeepCopy()
	if !controllerutil.RemoveFinalizer(b, finalizer) {
		return nil
	}
	return client.IgnoreNotFound(r.client.Patch(ctx, b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}

// result is what the journal says; nil when the run has not begun.
func (r *Reconciler) result(ctx context.Context, b *v1alpha1.Backup) (*engine.Result, error) {
	if b.Status.RunID == "" {
		return nil, nil
	}
	view, err := journal.Read(ctx, r.client, journalKey(b))
	if err != nil {
		return nil, err
	}
	events, err := view.Events(ctx)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return r.viewer.Load(ctx, view)
}

func journalKey(b *v1alpha1.Backup) client.ObjectKey {
	return client.ObjectKey{Namespace: b.Namespace, Name: runID(b)}
}

// update writes the status if it changed. It fails with a conflict when the Backup is not the newest one, and is then tried again.
func (r *Reconciler) update(ctx context.Context, b *v1alpha1.Backup, change func(*v1alpha1.Backup)) error {
	before := b.DeepCopy()
	change(b)
	if equality.Semantic.DeepEqual(before.Status, b.Status) {
		return nil
	}
	return r.client.Status().Patch(ctx, b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// lose ends a Backup whose journal is gone. Executing the run anew could do something twice.
func (r *Reconciler) lose(ctx context.Context, b *v1alpha1.Backup, why error) error {
	err := r.update(ctx, b, func(b *v1alpha1.Backup) {
		message := fmt.Sprintf("%s; the run is not begun anew, because nobody knows how far it was: look for what it left (label %s=%s)", why, engine.RunLabel, runID(b))
		b.Status.Phase, b.Status.Message = v1alpha1.Failed, shorten(message)
		setCondition(b, v1alpha1.CompleteCondition, metav1.ConditionFalse, reasonJournalLost, message)
	})
	if err != nil {
		return err
	}
	return r.release(ctx, b)
}

// forget lets go of a Backup that is deleted before its run began. Taking the journal over makes sure that nobody begins it any more.
func (r *Reconciler) forget(ctx context.Context, b *v1alpha1.Backup) error {
	if b.Status.RunID != "" {
		j, err := journal.Open(ctx, r.client, journalKey(b), nil)
		if err != nil {
			return err
		}
		if events, err := j.Events(ctx); err != nil || len(events) > 0 {
			return errors.Join(err, errors.New("the run began meanwhile"))
		}
	}
	return r.release(ctx, b)
}

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
	if err := journal.Create(ctx, r.client, journalKey(planned), ownerReference(b)); err != nil {
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
	on, err := r.connect(b, logger)
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
		return nil
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
