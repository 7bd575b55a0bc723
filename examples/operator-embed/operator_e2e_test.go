//go:build e2e

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
	"github.com/davit-project/davit/examples/operator-embed/journal"
)

// document is a blueprint whose two commands wait for a file /dev/shm/go in their pods, and say in a file of the database what happened. It prints the
// password of the database, as tools do.
const document = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: db}
actions:
  backup:
    phases:
    - func: KubeTask
      name: dump
      args:
        image: IMAGE
        command:
        - sh
        - -ec
        - |
          until [ -e /dev/shm/go ]; do sleep 0.1; done
          echo '###Phase-output###: {"key": "path", "value": "dump-1"}'
    - func: KubeExec
      name: check
      args:
        namespace: "{{ .StatefulSet.Namespace }}"
        pod: "{{ index .StatefulSet.Pods 0 }}"
        command:
        - sh
        - -ec
        - |
          echo check >>/dev/shm/calls
          echo "using $password"
          until [ -e /dev/shm/go ]; do sleep 0.1; done
    - func: RecordBackup
      name: record
      args: {entry: {path: "{{ .Phases.dump.Output.path }}"}}
    deferPhase: UNDO
    outputArtifacts: {dump: {keyValue: {path: "{{ .Phases.dump.Output.path }}", entry: "{{ .Phases.record.Output.key }}"}}}
`

// The deferred phase of that blueprint, once in the database and once where it can still be read when the database and the Backup are gone.
const (
	undoInDatabase = `{func: KubeExec, name: undo, args: {namespace: "{{ .StatefulSet.Namespace }}", pod: db-0, command: [sh, -c, "echo undo >>/dev/shm/calls"]}}`
	undoOnRecord   = `{func: RecordBackup, name: undo, args: {entry: {undone: "yes"}}}`
)

func ended(b *v1alpha1.Backup) bool { return b.Status.Phase.Ended() }
func gone(b *v1alpha1.Backup) bool  { return b.Name == "" }
func in(phase string) func(*v1alpha1.Backup) bool {
	return func(b *v1alpha1.Backup) bool { return strings.Contains(b.Status.Message, `"`+phase+`"`) }
}

// Labels of the pods in which there are commands.
const (
	theDatabase = "app=db"
	theTask     = "davit.io/phase=dump"
)

// proceed lets the commands go on, those of the database's pod and those of the task's. It returns the task's pod.
func (p *place) proceed() corev1.Pod {
	p.t.Helper()
	p.inPod(theDatabase, "touch", "/dev/shm/go")
	return p.inPod(theTask, "touch", "/dev/shm/go")
}

// calls says that the database saw these calls and no others.
func (p *place) calls(want ...string) {
	p.t.Helper()
	script := `[ "$(cat /dev/shm/calls | tr '\n' ' ')" = "$1 " ] || { cat /dev/shm/calls; exit 1; }`
	p.inPod(theDatabase, "sh", "-c", script, "calls", strings.Join(want, " "))
}

// events are those in the journal of a Backup, in which no secret stands.
func (p *place) events(b *v1alpha1.Backup) []engine.Event {
	p.t.Helper()
	key := client.ObjectKey{Namespace: p.name, Name: b.Status.RunID}
	object := &corev1.ConfigMap{}
	require.NoError(p.t, p.Get(p.t.Context(), key, object))
	for _, text := range object.Data {
		require.NotContains(p.t, text, canary)
	}
	view, err := journal.Read(p.t.Context(), p, key)
	require.NoError(p.t, err)
	events, err := view.Events(p.t.Context())
	require.NoError(p.t, err)
	return events
}

// onceEach says that every phase of a complete run was begun once.
func (p *place) onceEach(b *v1alpha1.Backup) {
	p.t.Helper()
	begun := map[int]int{}
	for _, e := range p.events(b) {
		if e.Kind == engine.PhaseStarted {
			begun[e.Phase]++
		}
	}
	require.Equal(p.t, map[int]int{0: 1, 1: 1, 2: 1, -1: 1}, begun)
}

func (p *place) complete(name string) *v1alpha1.Backup {
	p.t.Helper()
	b := p.until(name, ended)
	require.Equal(p.t, v1alpha1.Complete, b.Status.Phase, b.Status.Message)
	require.Empty(p.t, b.Status.Left)
	require.Equal(p.t, v1alpha1.Artifact{"path": "dump-1", "entry": b.Status.RunID}, b.Status.Artifacts["dump"])
	require.JSONEq(p.t, `{"path":"dump-1"}`, p.catalogue()[b.Status.RunID])
	p.onceEach(b)
	return b
}

func TestOperatorBacksUp(t *testing.T) {
	p := newPlace(t)
	p.blueprint(document)
	p.start()
	p.ask("one")
	b := p.until("one", in("dump"))
	require.Equal(t, v1alpha1.Running, b.Status.Phase)
	require.True(t, meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.BlueprintValid))
	pod := p.proceed()
	require.Equal(t, b.Status.RunID, pod.OwnerReferences[0].Name)
	b = p.complete("one")
	p.calls("check", "undo")

	changed := b.DeepCopy()
	changed.Spec.Database = "other"
	require.ErrorContains(t, p.Patch(t.Context(), changed, client.MergeFrom(b)), "a backup cannot be changed")
	require.NoError(t, p.Delete(t.Context(), b))
	p.until("one", gone)
	require.True(t, waitFor(time.Minute, func() bool {
		err := p.Get(t.Context(), client.ObjectKey{Namespace: p.name, Name: b.Status.RunID}, &corev1.ConfigMap{})
		return client.IgnoreNotFound(err) == nil && err != nil
	}), "the journal goes with its Backup")
	require.Len(t, p.catalogue(), 1, "the catalogue stays")
}

// The process is killed while a pod works. The next one finds the pod, and the work is done once.
func TestOperatorIsKilled(t *testing.T) {
	p := newPlace(t)
	p.blueprint(document)
	first := p.start()
	p.ask("one")
	p.until("one", in("dump"))
	before := p.inPod(theTask, "true")
	first.kill()

	p.start()
	after := p.proceed()
	require.Equal(t, before.UID, after.UID, "the pod was adopted")
	p.complete("one")
	p.calls("check", "undo")
}

// A process that is asked to end lets a command finish that must not run twice, and the next one carries on.
func TestOperatorIsReplaced(t *testing.T) {
	p := newPlace(t)
	p.blueprint(document)
	first := p.start()
	p.ask("one")
	p.inPod(theTask, "touch", "/dev/shm/go")
	p.until("one", in("check"))
	p.inPod(theDatabase, "test", "-e", "/dev/shm/calls")
	first.term()
	require.False(t, waitFor(time.Second, func() bool {
		select {
		case <-first.done:
			return true
		default:
			return false
		}
	}), "it ended in the middle of a command")
	p.inPod(theDatabase, "touch", "/dev/shm/go")
	<-first.done
	require.Zero(t, first.cmd.ProcessState.ExitCode(), first.log)

	p.start()
	p.complete("one")
	p.calls("check", "undo")
}

// Deletion cancels: the deferred phase runs, the pod goes, and only then the Backup.
func TestDeletedWhileItRuns(t *testing.T) {
	for name, tc := range map[string]struct {
		killed bool
		how    metav1.DeletionPropagation
	}{
		"in the background": {how: metav1.DeletePropagationBackground},
		"in the foreground": {how: metav1.DeletePropagationForeground},
		"without operator":  {killed: true, how: metav1.DeletePropagationBackground},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.blueprint(strings.Replace(document, "UNDO", undoOnRecord, 1))
			o := p.start()
			p.ask("one")
			b := p.until("one", in("dump"))
			p.inPod(theTask, "true")
			if tc.killed {
				o.kill()
			}
			require.NoError(t, p.Delete(t.Context(), b, &client.DeleteOptions{PropagationPolicy: &tc.how}))
			if tc.killed {
				p.start()
			}
			p.until("one", gone)
			require.Equal(t, map[string]string{b.Status.RunID: `{"undone":"yes"}`}, p.catalogue(), "the deferred phase")
			require.Empty(t, p.left(t.Context()))
		})
	}
}

func TestABadBlueprintIsExplained(t *testing.T) {
	p := newPlace(t)
	p.blueprint(strings.Replace(document, "func: KubeTask", "func: KubeTsk", 1))
	p.start()
	p.ask("one")
	b := p.until("one", func(b *v1alpha1.Backup) bool {
		return meta.IsStatusConditionFalse(b.Status.Conditions, v1alpha1.BlueprintValid)
	})
	require.Equal(t, v1alpha1.Pending, b.Status.Phase)
	message := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.BlueprintValid).Message
	require.Contains(t, message, `blueprint.yaml:8:13: error unknown-function: unknown function "KubeTsk"; did you mean "KubeTask"?`)

	p.blueprint(document)
	p.proceed()
	p.complete("one")
}
