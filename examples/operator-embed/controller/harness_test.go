package controller

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/examples/operator-embed/api/v1alpha1"
	"github.com/davit-project/davit/examples/operator-embed/journal"
)

const namespace = "shop"

const database = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - {name: db, image: none, command: [sh, -c, "while :; do sleep 1; done"]}
`

// good is a blueprint whose first phase waits for a file named go, in a folder that stands for the database's world.
const good = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: db}
actions:
  backup:
    phases:
    - func: KubeTask
      name: dump
      args:
        image: none
        command: [sh, -ec, 'echo dump >>"$WORLD/calls"; until [ -e "$WORLD/go" ]; do sleep 0.01; done; kando output path dump-1']
    - func: KubeExec
      name: check
      args:
        namespace: "{{ .StatefulSet.Namespace }}"
        pod: "{{ index .StatefulSet.Pods 0 }}"
        command: [sh, -ec, 'echo check >>"$WORLD/calls"']
    - func: RecordBackup
      name: record
      args: {entry: {path: "{{ .Phases.dump.Output.path }}"}}
    deferPhase:
      func: KubeTask
      name: undo
      args: {image: none, command: [sh, -ec, 'echo undo >>"$WORLD/calls"']}
    outputArtifacts: {dump: {keyValue: {path: "{{ .Phases.dump.Output.path }}", entry: "{{ .Phases.record.Output.key }}"}}}
`

// world is what outlives an operator: the API server and the database.
type world struct {
	t   *testing.T
	dir string
	client.Client
	cluster *localcluster.Cluster
	// refuse, where it is set, is asked about every patch of a ConfigMap: an error is the server's answer.
	refuse func() error
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	w.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.Backup{}).
		WithInterceptorFuncs(interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, ok := o.(*metav1.PartialObjectMetadata); ok && w.refuse != nil {
				if err := w.refuse(); err != nil {
					return err
				}
			}
			return c.Patch(ctx, o, p, opts...)
		}}).Build()
	kando := filepath.Join(w.dir, "kando") // prints an output as kando does
	require.NoError(t, os.WriteFile(kando, []byte("#!/bin/sh\nprintf '###Phase-output###: {\"key\":\"%s\",\"value\":\"%s\"}\\n' \"$2\" \"$3\"\n"), 0o700))
	local, err := localcluster.Open(t.Context(), filepath.Join(w.dir, "cluster"), &localcluster.Options{
		Programs: map[string]string{"kando": kando}, Env: map[string]string{"PATH": os.Getenv("PATH"), "WORLD": w.dir},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, local.Down(context.Background())) })
	require.NoError(t, local.Apply(t.Context(), "db.yaml", []byte(database)))
	require.NoError(t, local.AwaitScaled(t.Context(), cluster.Workload{Kind: "StatefulSet", Namespace: namespace, Name: "db"}, 1))
	w.cluster = local
	return w
}

func configMap(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "blueprint", Namespace: namespace}, Data: map[string]string{blueprintKey: text}}
}

func backup(name string) *v1alpha1.Backup {
	return &v1alpha1.Backup{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: types.UID("uid-of-" + name), Generation: 1},
		Spec:       v1alpha1.BackupSpec{Database: "db", Blueprint: "blueprint"},
	}
}

// operator is one process.
type operator struct {
	*Reconciler
	w   *world
	end context.CancelFunc
	// ended is closed when the executions have come to a stop.
	ended chan struct{}
}

func (w *world) start(limit int) *operator {
	ctx, end := context.WithCancel(context.Background())
	o := &operator{w: w, end: end, ended: make(chan struct{})}
	o.Reconciler = New(w.Client, func(string, metav1.OwnerReference, *slog.Logger) (Cluster, error) { return w.cluster, nil }, limit)
	go func() {
		defer close(o.ended)
		_ = o.executions.Start(ctx)
	}()
	go func() { // until polls instead
		for {
			select {
			case <-o.executions.wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	w.t.Cleanup(func() {
		w.do("go")
		end()
		<-o.ended
	})
	return o
}

// look looks at a Backup once.
func (o *operator) look(name string) (ctrl.Result, error) {
	return o.Reconcile(o.w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}})
}

// until reconciles a Backup again and again until it is as the test wants.
func (o *operator) until(name string, holds func(*v1alpha1.Backup) bool) *v1alpha1.Backup {
	o.w.t.Helper()
	var b *v1alpha1.Backup
	require.Eventually(o.w.t, func() bool {
		_, err := o.look(name)
		b = o.w.backup(name)
		return err == nil && holds(b)
	}, 4*time.Minute, 50*time.Millisecond)
	return b
}

func ended(b *v1alpha1.Backup) bool { return b.Status.Phase.Ended() }

// backup returns the Backup; an empty one when it does not exist.
func (w *world) backup(name string) *v1alpha1.Backup {
	w.t.Helper()
	b := &v1alpha1.Backup{}
	require.NoError(w.t, client.IgnoreNotFound(w.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, b)))
	return b
}

// do makes a file of that name.
func (w *world) do(name string) {
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, name), nil, 0o600))
}

// calls are the commands that ran, in order, a line each.
func (w *world) calls() string {
	data, err := os.ReadFile(filepath.Join(w.dir, "calls"))
	if !os.IsNotExist(err) {
		require.NoError(w.t, err)
	}
	return string(data)
}

// pods are the names of those there are.
func (w *world) pods() (names []string) {
	entries, err := os.ReadDir(filepath.Join(w.dir, "cluster", "pods", namespace))
	require.NoError(w.t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// events are those in the journal of a Backup.
func (w *world) events(name string) []engine.Event {
	w.t.Helper()
	view, err := journal.Read(w.t.Context(), w, journalKey(backup(name)))
	require.NoError(w.t, err)
	events, err := view.Events(w.t.Context())
	require.NoError(w.t, err)
	return events
}

// started says how often each phase was begun.
func (w *world) started(name string) map[int]int {
	n := map[int]int{}
	for _, e := range w.events(name) {
		if e.Kind == engine.PhaseStarted {
			n[e.Phase]++
		}
	}
	return n
}
