//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/template/kubedata"
)

// task is a run of one phase on the test cluster.
type task struct {
	t         *testing.T
	client    *testcluster.Client
	namespace string
	cluster   *kubecluster.Cluster
	log       *lockedBuffer
	done      chan struct{}
	result    *engine.Result
	err       error
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newTask(t *testing.T, opts *kubecluster.Options) *task {
	c := testcluster.Open(t)
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	k := &task{t: t, client: c, namespace: c.Namespace(t, nil), log: &lockedBuffer{}, done: make(chan struct{})}
	k.cluster, err = kubecluster.New(clients, opts)
	require.NoError(t, err)
	return k
}

// start begins a run of one phase.
func (k *task) start(ctx context.Context, phase string) {
	k.t.Helper()
	text := "apiVersion: cr.kanister.io/v1alpha1\nkind: Blueprint\nmetadata: {name: one}\nactions:\n  go:\n    phases:\n    - name: one\n"
	for line := range strings.Lines(strings.ReplaceAll(phase, "NAMESPACE", k.namespace)) {
		text += "      " + line
	}
	f := blueprint.Parse("one.yaml", []byte(text))
	require.NoError(k.t, f.Err())
	c := k.cluster
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: c, Pods: c, Scaler: c, Objects: c, Namespace: k.namespace})...)
	require.NoError(k.t, err)
	e := engine.New(reg, kubedata.New(c, c), &engine.Options{Sweep: c, Logger: slog.New(slog.NewTextHandler(k.log, nil))})
	go func() {
		defer close(k.done)
		k.result, k.err = e.Run(ctx, &engine.Spec{ID: "one-" + k.namespace, Blueprints: f.Blueprints, Actions: []blueprint.ActionSpec{{
			Name: "go", Blueprint: "one", Object: engineSubject(k.namespace),
		}}}, &engine.MemoryJournal{})
	}()
}

// wait returns when the run has ended, which it must within this time.
func (k *task) wait(within time.Duration) {
	k.t.Helper()
	select {
	case <-k.done:
	case <-time.After(within):
		require.Fail(k.t, "the run did not end in time", "log:\n%s", k.log)
	}
}

// logged waits until the log has a text.
func (k *task) logged(text string) {
	k.t.Helper()
	require.Eventually(k.t, func() bool { return strings.Contains(k.log.String(), text) }, time.Minute, 10*time.Millisecond, "%q in the log:\n%s", text, k.log)
}

// counting is a task that writes 200 lines, about 20 a second, and an output.
const counting = `
func: KubeTask
args:
  namespace: NAMESPACE
  image: ` + testcluster.BusyboxImage + `
  command:
  - sh
  - -c
  - |
    for i in $(seq 200); do echo "line $i."; sleep 0.05; done
    echo '###Phase-output###: {"key":"k","value":"v"}'
`

// counted asserts that every line is in the log once, and the output is there.
func (k *task) counted() {
	k.t.Helper()
	require.NoError(k.t, k.err)
	text := k.log.String()
	for i := 1; i <= 200; i++ {
		require.Equal(k.t, 1, strings.Count(text, fmt.Sprintf("line %d.", i)), "line %d in the log:\n%s", i, text)
	}
	require.Equal(k.t, "v", k.result.Actions[0].Phases[0].Outputs["k"])
}

func TestServerGoneDuringATask(t *testing.T) {
	k := newTask(t, nil)
	k.start(t.Context(), counting)
	k.logged("line 30.")
	k.client.Stop(t, testcluster.APIServer)
	time.Sleep(2 * time.Second) // how long the server is away
	k.client.Start(t, testcluster.APIServer)
	k.wait(time.Minute)
	k.counted()
}

func TestKubeletGoneDuringATask(t *testing.T) {
	k := newTask(t, nil)
	k.start(t.Context(), counting)
	k.logged("line 30.")
	k.client.Stop(t, testcluster.Kubelet)
	time.Sleep(2 * time.Second) // how long the kubelet is away
	k.client.Start(t, testcluster.Kubelet)
	k.wait(time.Minute)
	k.counted()
}

// Nobody can know whether a command has ended whose connection is lost: the phase fails, and says so.
func TestServerGoneDuringExec(t *testing.T) {
	k := newTask(t, nil)
	k.sleeper("db")
	k.start(t.Context(), "func: KubeExec\nargs: {namespace: NAMESPACE, pod: db, command: [sh, -c, 'echo begun; sleep 8; echo ended']}\n")
	k.logged("begun")
	k.client.Stop(t, testcluster.APIServer)
	time.Sleep(2 * time.Second) // how long the server is away
	k.client.Start(t, testcluster.APIServer)
	k.wait(20 * time.Second)
	require.Error(t, k.err)
	require.ErrorContains(t, k.err, "pod "+k.namespace+"/db")
	require.NotContains(t, k.log.String(), "ended")
	t.Log(k.err)
}

func TestServerGoneDuringAWait(t *testing.T) {
	k := newTask(t, nil)
	maps := k.client.CoreV1().ConfigMaps(k.namespace)
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "state"}, Data: map[string]string{"ready": "no"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	k.start(t.Context(), `
func: WaitV2
args:
  timeout: 2m
  conditions:
    anyOf:
    - condition: '{{ eq .data.ready "yes" }}'
      objectReference: {apiVersion: v1, resource: configmaps, name: state, namespace: NAMESPACE}
`)
	time.Sleep(time.Second) // it waits by now
	k.client.Stop(t, testcluster.APIServer)
	time.Sleep(2 * time.Second) // how long the server is away
	k.client.Start(t, testcluster.APIServer)
	_, err = maps.Patch(t.Context(), "state", types.MergePatchType, []byte(`{"data":{"ready":"yes"}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	k.wait(30 * time.Second)
	require.NoError(t, k.err)
}

func TestPodDeletedBySomebody(t *testing.T) {
	k := newTask(t, nil)
	k.start(t.Context(), counting)
	k.logged("line 10.")
	pods, err := k.client.CoreV1().Pods(k.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, pods.Items, 1)
	none := int64(0)
	require.NoError(t, k.client.CoreV1().Pods(k.namespace).Delete(t.Context(), pods.Items[0].Name, metav1.DeleteOptions{GracePeriodSeconds: &none}))
	k.wait(20 * time.Second)
	require.ErrorIs(t, k.err, cluster.ErrLost)
	require.ErrorContains(t, k.err, pods.Items[0].Name)
	t.Log(k.err)
}

func (k *task) cordon(on bool) {
	k.t.Helper()
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, on)
	_, err := k.client.CoreV1().Nodes().Patch(context.Background(), "127.0.0.1", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(k.t, err)
}

func TestNodeCordoned(t *testing.T) {
	for _, heals := range []bool{false, true} {
		t.Run(fmt.Sprint("heals ", heals), func(t *testing.T) {
			k := newTask(t, &kubecluster.Options{ScheduleGrace: map[bool]time.Duration{false: 2 * time.Second, true: time.Minute}[heals]})
			k.cordon(true)
			defer k.cordon(false)
			k.start(t.Context(), counting)
			if heals {
				time.Sleep(3 * time.Second) // how long the node is cordoned
				k.cordon(false)
				k.wait(time.Minute)
				k.counted()
				return
			}
			k.wait(30 * time.Second)
			require.ErrorContains(t, k.err, "unschedulable")
			t.Log(k.err)
		})
	}
}

func TestQuotaHit(t *testing.T) {
	k := newTask(t, nil)
	quotas := k.client.CoreV1().ResourceQuotas(k.namespace)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")},
	}}
	_, err := quotas.Create(t.Context(), quota, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		q, err := quotas.Get(t.Context(), "none", metav1.GetOptions{})
		return err == nil && q.Status.Hard != nil
	}, 30*time.Second, 50*time.Millisecond)
	k.start(t.Context(), counting)
	k.wait(20 * time.Second)
	require.ErrorContains(t, k.err, "exceeded quota: none")
	t.Log(k.err)

	// A phase with retry gets over a quota that is lifted.
	k.done, k.log = make(chan struct{}), &lockedBuffer{}
	k.start(t.Context(), "retry: {attempts: 5, backoff: 2s}\n"+strings.TrimPrefix(counting, "\n"))
	time.Sleep(time.Second) // the first attempt has failed by then, or fails soon
	require.NoError(t, quotas.Delete(t.Context(), "none", metav1.DeleteOptions{}))
	k.wait(time.Minute)
	k.counted()
}

// sleeper is a pod that does nothing.
func (k *task) sleeper(name string) {
	k.t.Helper()
	none := int64(0)
	_, err := k.client.CoreV1().Pods(k.namespace).Create(k.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &none, Containers: []corev1.Container{{
			Name: "c", Image: testcluster.BusyboxImage, ImagePullPolicy: corev1.PullNever, Command: []string{"sleep", "100000"},
		}}},
	}, metav1.CreateOptions{})
	require.NoError(k.t, err)
	require.Eventually(k.t, func() bool {
		pod, err := k.client.CoreV1().Pods(k.namespace).Get(k.t.Context(), name, metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	}, time.Minute, 50*time.Millisecond)
}
