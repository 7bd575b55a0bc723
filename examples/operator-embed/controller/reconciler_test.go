package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
)

// condition is "status reason".
func condition(b *v1alpha1.Backup, kind string) string {
	c := meta.FindStatusCondition(b.Status.Conditions, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason
}

func dumping(w *world) func(*v1alpha1.Backup) bool {
	return func(b *v1alpha1.Backup) bool {
		return b.Status.Phase == v1alpha1.Running && strings.Contains(b.Status.Message, `"dump"`) && w.calls() == "dump\n"
	}
}

func TestABackup(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"))
	o := w.start(2)
	b := o.until("one", dumping(w))
	require.Equal(t, "True Valid", condition(b, v1alpha1.BlueprintValid))
	require.Equal(t, "Unknown Running", condition(b, v1alpha1.CompleteCondition))
	require.Equal(t, `phase 1 of 4, "dump" (KubeTask)`, b.Status.Message)
	require.Equal(t, "backup-uid-of-one", b.Status.RunID)
	require.Contains(t, b.Finalizers, finalizer)

	w.do("go")
	b = o.until("one", ended)
	require.Equal(t, v1alpha1.Complete, b.Status.Phase, b.Status.Message)
	require.Equal(t, "True Complete", condition(b, v1alpha1.CompleteCondition))
	require.Equal(t, map[string]v1alpha1.Artifact{"dump": {"path": "dump-1", "entry": "backup-uid-of-one"}}, b.Status.Artifacts)
	require.Empty(t, b.Status.Left)
	require.False(t, b.Status.CompletionTime.Before(b.Status.StartTime))
	require.Empty(t, b.Finalizers, "a Backup that has ended can go at any time")
	require.Equal(t, "dump\ncheck\nundo\n", w.calls())

	object := &corev1.ConfigMap{}
	require.NoError(t, w.Get(t.Context(), journalKey(b), object))
	require.Equal(t, b.UID, object.OwnerReferences[0].UID, "the journal goes with the Backup")
	require.Equal(t, []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(b)}}, o.concerned(t.Context(), object))
	require.NoError(t, w.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: catalogue}, object))
	require.Equal(t, map[string]string{"backup-uid-of-one": `{"path":"dump-1"}`}, object.Data)

	b, before := w.backup("one"), w.events("one")
	_, err := o.look("one")
	require.NoError(t, err)
	require.Equal(t, b, w.backup("one"))
	require.Equal(t, before, w.events("one"), "it is not executed again")
}

func TestABadBlueprintWaitsForAGoodOne(t *testing.T) {
	for name, tc := range map[string]struct{ text, reason, message string }{
		"unknown function": {strings.Replace(good, "KubeExec", "KubeExce", 1), "Invalid", "blueprint.yaml:13:13: error unknown-function: "},
		"no YAML":          {"a: [", "Invalid", "blueprint.yaml:1:"},
		"no blueprint":     {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "NotFound", "0 blueprints where one is wanted"},
		"another action":   {strings.Replace(good, "  backup:", "  restore:", 1), "NotRunnable", `has no action "backup"; it has "restore"`},
		"not built in":     {strings.Replace(good, "func: KubeExec", "func: KubeOps", 1), "Invalid", "unknown-function"},
		"too large":        {good + "#" + strings.Repeat("x", maxBlueprint), "TooLarge", "at most 262144 are taken"},
		"another key":      {"", "NotFound", `has no key "blueprint.yaml"`},
	} {
		t.Run(name, func(t *testing.T) {
			object := configMap(tc.text)
			if tc.text == "" {
				object.Data = nil
			}
			w := newWorld(t, object, backup("one"))
			w.do("go")
			o := w.start(1)
			_, err := o.look("one")
			require.NoError(t, err)
			b := w.backup("one")
			require.Equal(t, v1alpha1.Pending, b.Status.Phase)
			require.Equal(t, "False "+tc.reason, condition(b, v1alpha1.BlueprintValid))
			require.Equal(t, "Unknown Waiting", condition(b, v1alpha1.CompleteCondition))
			require.Contains(t, meta.FindStatusCondition(b.Status.Conditions, v1alpha1.BlueprintValid).Message, tc.message)
			require.Empty(t, w.calls())
			require.Equal(t, []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(b)}}, o.concerned(t.Context(), object))

			object.Data = map[string]string{blueprintKey: good}
			require.NoError(t, w.Update(t.Context(), object))
			b = o.until("one", ended)
			require.Equal(t, v1alpha1.Complete, b.Status.Phase, b.Status.Message)
			require.Equal(t, "True Valid", condition(b, v1alpha1.BlueprintValid))
			require.Empty(t, o.concerned(t.Context(), object), "a Backup that has begun does not care")
		})
	}
}

func TestAnAbsentDatabaseIsWaitedFor(t *testing.T) {
	other := backup("one")
	other.Spec.Database = "absent"
	w := newWorld(t, configMap(good), other)
	o := w.start(1)
	b := o.until("one", func(b *v1alpha1.Backup) bool { return strings.Contains(b.Status.Message, "absent") })
	require.Equal(t, v1alpha1.Pending, b.Status.Phase)
	require.Empty(t, w.events("one"))
	res, err := o.look("one")
	require.NoError(t, err)
	require.Zero(t, res)
	require.Eventually(t, func() bool {
		res, err = o.look("one")
		return err == nil && res.RequeueAfter >= 2*time.Second
	}, time.Minute, 10*time.Millisecond, "less and less often")
}

func TestBlueprintIsNotNeededOnceTheRunHasBegun(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"))
	first := w.start(1)
	first.until("one", dumping(w))
	require.NoError(t, w.Delete(t.Context(), configMap("")))
	second := w.start(1)
	w.do("go")
	require.Equal(t, v1alpha1.Complete, second.until("one", ended).Status.Phase)
}

// Another operator takes over while the first still runs, as after a lost lease: the pod is adopted and the run is executed once.
func TestTwoOperators(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"))
	first := w.start(1)
	first.until("one", dumping(w))
	second := w.start(1)
	second.until("one", dumping(w))
	w.do("go")
	b := second.until("one", ended)
	require.Equal(t, v1alpha1.Complete, b.Status.Phase, b.Status.Message)
	require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1, -1: 1}, w.started("one"))
	require.Equal(t, "dump\ncheck\nundo\n", w.calls())

	var failed error
	require.Eventually(t, func() bool {
		_, _, err := first.executions.look("uid-of-one")
		failed = errors.Join(failed, err)
		return failed != nil
	}, time.Minute, 10*time.Millisecond)
	require.ErrorIs(t, failed, engine.ErrBusy)
}

// An operator that is told to end finishes the phase it is in, begins no other, and cancels nothing.
func TestDrain(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"))
	first := w.start(2) // there is room for another
	first.until("one", dumping(w))
	first.end()
	<-first.executions.draining
	select {
	case <-first.ended:
		require.Fail(t, "it did not wait for the phase")
	case <-time.After(50 * time.Millisecond):
	}
	require.False(t, first.executions.begin(t.Context(), backup("two"), true, nil), "nothing new")
	w.do("go")
	<-first.ended
	require.Equal(t, map[int]int{0: 1}, w.started("one"))
	last := w.events("one")
	require.Equal(t, engine.PhaseComplete, last[len(last)-1].Kind)

	second := w.start(1)
	require.Equal(t, v1alpha1.Complete, second.until("one", ended).Status.Phase)
	require.Equal(t, "dump\ncheck\nundo\n", w.calls())
}

func TestDeletionCancels(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(map[bool]string{false: "by the same operator", true: "by the next one"}[restarted], func(t *testing.T) {
			w := newWorld(t, configMap(good), backup("one"))
			o := w.start(1)
			o.until("one", dumping(w))
			require.NoError(t, w.Delete(t.Context(), backup("one")))
			if restarted {
				o = w.start(1)
			}
			o.until("one", func(b *v1alpha1.Backup) bool { return b.Name == "" })
			require.Equal(t, "dump\nundo\n", w.calls())
			res, err := o.viewer.Load(t.Context(), memory(t, w.events("one")))
			require.NoError(t, err)
			require.Equal(t, engine.Cancelled, res.State)
			require.ErrorContains(t, res.Err(), "the Backup was deleted")
			require.Equal(t, []string{"db-0"}, w.pods())
			_, err = o.look("one")
			require.NoError(t, err)
			require.Empty(t, o.executions.all)
		})
	}
}

// Somebody takes the finalizer away and deletes the Backup. Its run is ended all the same.
func TestABackupThatVanishes(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"))
	o := w.start(1)
	b := o.until("one", dumping(w))
	b.Finalizers = nil
	require.NoError(t, w.Update(t.Context(), b))
	require.NoError(t, w.Delete(t.Context(), b))
	require.Eventually(t, func() bool {
		_, err := o.look("one")
		return err == nil && len(o.executions.all) == 0
	}, 4*time.Minute, 50*time.Millisecond)
	require.Equal(t, "dump\nundo\n", w.calls())
	require.Equal(t, []string{"db-0"}, w.pods())
}

func memory(t *testing.T, events []engine.Event) engine.Journal {
	j := &engine.MemoryJournal{}
	for _, e := range events {
		require.NoError(t, j.Append(t.Context(), e))
	}
	return j
}

func TestDeletionBeforeTheRun(t *testing.T) {
	w := newWorld(t, configMap("a: ["), backup("one"))
	o := w.start(1)
	o.until("one", func(b *v1alpha1.Backup) bool { return b.Status.Phase == v1alpha1.Pending })
	require.NoError(t, w.Delete(t.Context(), backup("one")))
	o.until("one", func(b *v1alpha1.Backup) bool { return b.Name == "" })
}

// A journal that cannot be written stops the run where it is; it goes on when it can.
func TestAJournalThatCannotBeWritten(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"))
	o := w.start(1)
	o.until("one", dumping(w))
	w.refuse = func() error { return apierrors.NewForbidden(corev1.Resource("configmaps"), "x", nil) }
	w.do("go")
	b := o.until("one", func(b *v1alpha1.Backup) bool {
		return condition(b, v1alpha1.CompleteCondition) == "Unknown Interrupted"
	})
	require.Equal(t, v1alpha1.Running, b.Status.Phase)
	w.refuse = nil
	require.Equal(t, v1alpha1.Complete, o.until("one", ended).Status.Phase)
	require.Equal(t, "dump\ncheck\nundo\n", w.calls(), "the pod that had ended was found again")
}

func TestALostJournalFailsTheBackup(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"))
	o := w.start(1)
	o.until("one", dumping(w))
	key := journalKey(backup("one"))
	require.NoError(t, w.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace}}))
	b := o.until("one", ended)
	require.Equal(t, v1alpha1.Failed, b.Status.Phase)
	require.Equal(t, "False JournalLost", condition(b, v1alpha1.CompleteCondition))
	require.Contains(t, b.Status.Message, "davit.io/run=backup-uid-of-one")
	require.Empty(t, w.backup("one").Finalizers)
	require.Eventually(t, func() bool {
		running, _, _ := o.executions.look("uid-of-one")
		return !running
	}, time.Minute, 10*time.Millisecond, "what still ran was ended")
	_, err := o.look("one")
	require.NoError(t, err)
	require.Equal(t, "dump\n", w.calls(), "and not begun anew")
}

// A run whose outputs fill the journal is cancelled before the phase that would not fit, and cleaned up after.
func TestAFullJournalEndsTheRun(t *testing.T) {
	var text strings.Builder
	text.WriteString("apiVersion: cr.kanister.io/v1alpha1\nkind: Blueprint\nmetadata: {name: db}\nactions:\n  backup:\n    phases:\n")
	for i := range 15 {
		fmt.Fprintf(&text, "    - {func: KubeTask, name: p%d, args: {image: none, command: [sh, -c, 'kando output big \"$(printf %%060000d 0)\"']}}\n", i)
	}
	text.WriteString("    deferPhase: {func: KubeTask, name: undo, args: {image: none, command: [sh, -ec, 'echo undo >>\"$WORLD/calls\"']}}\n")
	w := newWorld(t, configMap(text.String()), backup("one"))
	b := w.start(1).until("one", ended)
	require.Equal(t, v1alpha1.Cancelled, b.Status.Phase)
	require.Contains(t, b.Status.Message, "the journal is full")
	require.Equal(t, "undo\n", w.calls())
	require.Equal(t, 1, w.started("one")[-1])
	require.Len(t, w.started("one"), 12, "so many outputs of 60 KB fit, and the deferred phase")
}

func TestAtMostSoManyAtOnce(t *testing.T) {
	w := newWorld(t, configMap(good), backup("one"), backup("two"))
	o := w.start(1)
	o.until("one", dumping(w))
	res, err := o.look("two")
	require.NoError(t, err)
	require.Equal(t, queueAgain, res.RequeueAfter)
	require.Equal(t, v1alpha1.Pending, w.backup("two").Status.Phase)
	w.do("go")
	o.until("one", ended)
	require.Equal(t, v1alpha1.Complete, o.until("two", ended).Status.Phase)
}
