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
	"time"

	"github.com/davit-project/davit/engine"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

const (
	// finalizer is on a Backup from before its run begins until the run has ended, so that a Backup does not go while its run is under way.
	finalizer = "example.davit.io/run"
	// backupAnnotation is on a journal and has the name of the Backup.
	backupAnnotation = "example.davit.io/backup"
)

const (
	// queueAgain is how soon a Backup is looked at again that waits for its turn.
	queueAgain = 5 * time.Second
	// lookAgain is how soon one is looked at again that was not the newest.
	lookAgain = 100 * time.Millisecond
)

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
		// journals and blueprints; only that they changed is watched, what they hold is read when it is needed
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.concerned), builder.OnlyMetadata).
		WatchesRawSource(source.Channel(r.executions.wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
}

// concerned returns the Backups that a ConfigMap is for: the one whose journal it is, or those whose blueprint it is and that have not begun.
func (r *Reconciler) concerned(ctx context.Context, object client.Object) []ctrl.Request {
	if name := object.GetAnnotations()[backupAnnotation]; name != "" {
		return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: object.GetNamespace(), Name: name}}}
	}
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
	result, err := r.reconcile(ctx, req)
	if apierrors.IsConflict(err) { // the cache is behind what was written last
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
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

// release hands the journal over to the Backup and takes the finalizer away.
func (r *Reconciler) release(ctx context.Context, b *v1alpha1.Backup) error {
	before := b.DeepCopy()
	if !controllerutil.RemoveFinalizer(b, finalizer) {
		return nil
	}
	if err := journal.HandOver(ctx, r.client, journalKey(b), ownerReference(b)); err != nil {
		return err
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

func ownerReference(b *v1alpha1.Backup) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion().String(), Kind: "Backup", Name: b.Name, UID: b.UID}
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
