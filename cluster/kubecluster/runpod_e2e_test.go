//go:build e2e

package kubecluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// runnerRules are all the verbs that RunPod, RemovePod and, in one namespace, Sweep may use.
func runnerRules() []rbacv1.PolicyRule {
	rule := func(resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resource}, Verbs: verbs}
	}
	return []rbacv1.PolicyRule{
		rule("pods", "create", "get", "list", "watch", "delete"), rule("pods/log", "get"), rule("events", "list"), rule("secrets", "create"),
	}
}

// shared is a buffer that is read while it is written.
type shared struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// runner runs pods in a namespace of its own, with the rights of runnerRules and no others.
type runner struct {
	*testcluster.Client
	t         *testing.T
	namespace string
	cluster   *Cluster
	log       *shared
}

func newRunner(t *testing.T, opts Options, labels map[string]string) *runner {
	t.Helper()
	r := &runner{Client: testcluster.Open(t), t: t, log: &shared{}}
	r.namespace = r.Namespace(t, labels)
	opts.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	opts.Namespaces = []string{r.namespace}
	clients, err := ForConfig(r.As(t, r.namespace, runnerRules()))
	require.NoError(t, err)
	r.cluster, err = New(clients, &opts)
	require.NoError(t, err)
	return r
}

// pod is a request for a shell script. It is removed at the end of the test.
func (r *runner) pod(script string) cluster.Pod {
	name := "task-" + strings.ToLower(rand.Text()[:8])
	r.t.Cleanup(func() { require.NoError(r.t, r.cluster.RemovePod(context.Background(), r.namespace, name)) })
	return cluster.Pod{
		Name: name, Namespace: r.namespace, Image: testcluster.BusyboxImage, Command: []string{"sh", "-c", script},
		Labels: map[string]string{"davit.io/run": r.namespace}, Override: map[string]any{"terminationGracePeriodSeconds": 1},
	}
}

// override merges YAML into the request's override.
func (r *runner) override(pod *cluster.Pod, text string) {
	r.t.Helper()
	require.NoError(r.t, yaml.Unmarshal([]byte(text), &pod.Override))
}

// run runs a pod within a bound and returns its log, its results and its error.
func (r *runner) run(pod cluster.Pod) (log, results string, err error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeoutCause(r.t.Context(), 2*time.Minute, errors.New("the test's patience has ended"))
	defer cancel()
	out, left := &shared{}, &shared{}
	pod.Log, pod.Results = out, left
	err = r.cluster.RunPod(ctx, pod)
	return out.String(), left.String(), err
}

// get returns a pod as it is.
func (r *runner) get(name string) (*corev1.Pod, error) {
	return r.CoreV1().Pods(r.namespace).Get(context.Background(), name, metav1.GetOptions{})
}

// gone asserts that a pod does not exist.
func (r *runner) gone(name string) {
	r.t.Helper()
	_, err := r.get(name)
	require.ErrorContains(r.t, err, "not found")
}

// eventually waits for a state of a pod.
func (r *runner) eventually(name, what string, is func(*corev1.Pod) bool) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		pod, err := r.get(name)
		return err == nil && is(pod)
	}, time.Minute, 20*time.Millisecond, what)
}

func TestPodSucceeds(t *testing.T) {
	r := newRunner(t, Options{}, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	pod := r.pod(`echo out; sleep 0.3; echo err >&2; sleep 0.3; id -u; printf results > $DAVIT_RESULTS_FILE; echo $DAVIT_PROGRESS; ls /var/run/secrets 2>&1; printf 'no end'`)
	log, results, err := r.run(pod)
	require.NoError(t, err)
	require.Equal(t, "out\nerr\n1000\n1\nls: /var/run/secrets: No such file or directory\nno end", log)
	require.Equal(t, "results", results)

	again, results, err := r.run(pod)
	require.NoError(t, err, "a pod that has ended stays, and is found again")
	require.Equal(t, log, again)
	require.Equal(t, "results", results)
	require.Contains(t, r.log.String(), "the pod of an earlier call goes on")
	require.NoError(t, r.cluster.RemovePod(t.Context(), r.namespace, pod.Name))
	r.gone(pod.Name)
	require.NoError(t, r.cluster.RemovePod(t.Context(), r.namespace, pod.Name), "an absent one is no error")
}

func TestPodFails(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	log, results, err := r.run(r.pod("echo before; echo '{}' > /dev/termination-log; exit 7"))
	var exit *cluster.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.Code)
	require.Regexp(t, "^pod "+r.namespace+"/task-[a-z0-9]+, container container$", exit.What)
	require.Equal(t, "before\n", log)
	require.Equal(t, "{}\n", results)

	pod := r.pod("exit 0")
	pod.Command = []string{"/no/such/command"}
	_, results, err = r.run(pod)
	require.ErrorAs(t, err, &exit)
	require.ErrorContains(t, err, "could not be started")
	require.ErrorContains(t, err, "/no/such/command")
	require.Empty(t, results, "what the runtime says is no result")

	pod = r.pod("sleep 1")
	pod.Others = []cluster.Container{{Name: "side", Image: testcluster.BusyboxImage, Command: []string{"sh", "-c", "exit 3"}}}
	_, _, err = r.run(pod)
	require.EqualError(t, err, fmt.Sprintf("pod %s/%s, container side: exit code 3", r.namespace, pod.Name))

	pod = r.pod("echo never")
	pod.Init = []cluster.Container{{Name: "first", Image: testcluster.BusyboxImage, Command: []string{"sh", "-c", "exit 4"}}}
	log, _, err = r.run(pod)
	require.EqualError(t, err, fmt.Sprintf("pod %s/%s, container first: exit code 4", r.namespace, pod.Name))
	require.Empty(t, log)
}

func TestPodOfSeveralContainers(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("cat /share/pipe; cat /share/made; mount | grep -c ' /share '")
	pod.Container = "output"
	pod.Init = []cluster.Container{{Name: "first", Image: testcluster.BusyboxImage, Command: []string{"sh", "-c", "mkfifo /share/pipe; echo made > /share/made"}}}
	pod.Others = []cluster.Container{{Name: "side", Image: testcluster.BusyboxImage, Command: []string{"sh", "-c", "echo through the pipe > /share/pipe"}}}
	pod.Shared = &cluster.SharedVolume{Path: "/share", Medium: "Memory", SizeLimit: "1Mi"}
	log, _, err := r.run(pod)
	require.NoError(t, err)
	require.Equal(t, "through the pipe\nmade\n1\n", log)
}

func TestPodReadsItsProfile(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	show := `cat "$DAVIT_PROFILE_FILE"; touch /var/run/davit/profile/x 2>/dev/null || echo read-only`
	pod := r.pod(show)
	pod.Profile = []byte("key: value\n")
	pod.Init = []cluster.Container{{Name: "first", Image: testcluster.BusyboxImage, Command: []string{"sh", "-c", "grep -q value $DAVIT_PROFILE_FILE"}}}
	pod.Others = []cluster.Container{{Name: "side", Image: testcluster.BusyboxImage, Command: []string{"sh", "-c", "grep -q value $DAVIT_PROFILE_FILE"}}}
	begun := time.Now()
	log, _, err := r.run(pod)
	require.NoError(t, err)
	require.Equal(t, "key: value\nread-only\n", log)
	t.Log("with a secret in", time.Since(begun))
	live, err := r.get(pod.Name)
	require.NoError(t, err)
	secret, err := r.CoreV1().Secrets(r.namespace).Get(t.Context(), profileSecret(live), metav1.GetOptions{})
	require.NoError(t, err)
	require.True(t, *secret.Immutable)
	require.Equal(t, pod.Labels, secret.Labels)
	require.Equal(t, live.UID, secret.OwnerReferences[0].UID)
	text, err := yaml.Marshal(live)
	require.NoError(t, err)
	require.NotContains(t, string(text), "key: value", "the pod itself holds none of it")
	require.NoError(t, r.cluster.RemovePod(t.Context(), r.namespace, pod.Name))
	require.Eventually(t, func() bool {
		_, err := r.CoreV1().Secrets(r.namespace).Get(t.Context(), secret.Name, metav1.GetOptions{})
		return err != nil
	}, 2*time.Minute, 100*time.Millisecond, "the secret goes with the pod")
}

func TestPodIsAdoptedWithoutItsSecret(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("cat $DAVIT_PROFILE_FILE")
	pod.Profile = []byte("late")
	w, err := r.cluster.wanted(pod)
	require.NoError(t, err)
	_, err = r.CoreV1().Pods(r.namespace).Create(t.Context(), w.pod, metav1.CreateOptions{}) // as far as a host came that died
	require.NoError(t, err)
	log, _, err := r.run(pod)
	require.NoError(t, err)
	require.Equal(t, "late", log)
}

func TestPodOfSomebodyElse(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("true")
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: map[string]string{"app": "db"}}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64),
		Containers:                    []corev1.Container{{Name: "c", Image: testcluster.BusyboxImage, Command: []string{"sleep", "1000"}}},
	}}
	_, err := r.CoreV1().Pods(r.namespace).Create(t.Context(), other, metav1.CreateOptions{})
	require.NoError(t, err)
	pod.Name = "other"
	_, _, err = r.run(pod)
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorIs(t, err, cluster.ErrExists)
	require.ErrorContains(t, err, "is not ours")
	require.ErrorIs(t, r.cluster.RemovePod(t.Context(), r.namespace, "other"), cluster.ErrInvalid)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	require.Equal(t, cause, r.cluster.RunPod(ctx, pod))
	live, err := r.get("other")
	require.NoError(t, err)
	require.Nil(t, live.DeletionTimestamp)
}

func TestPodIsDeletedBySomebody(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	for name, tc := range map[string]struct {
		script string
		grace  int64
	}{
		"at once":                  {"echo on; sleep 1000", 0},
		"and exits with 0 on TERM": {"trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.1; done", 5},
	} {
		t.Run(name, func(t *testing.T) {
			pod := r.pod(tc.script)
			out := &shared{}
			pod.Log = out
			done := make(chan error, 1)
			go func() { done <- r.cluster.RunPod(t.Context(), pod) }()
			require.Eventually(t, func() bool { return out.String() != "" }, time.Minute, 20*time.Millisecond)
			require.NoError(t, r.CoreV1().Pods(r.namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &tc.grace}))
			err := <-done
			require.ErrorIs(t, err, cluster.ErrLost)
			require.ErrorContains(t, err, "somebody deleted it")
			r.gone(pod.Name)
		})
	}
}

func TestPodThatIsBeingDeletedIsNotMadeAgain(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("trap 'sleep 3; exit 0' TERM; while :; do sleep 0.1; done")
	w, err := r.cluster.wanted(pod)
	require.NoError(t, err)
	live, err := r.CoreV1().Pods(r.namespace).Create(t.Context(), w.pod, metav1.CreateOptions{})
	require.NoError(t, err)
	r.eventually(pod.Name, "it runs", func(p *corev1.Pod) bool { return hasRun(p, "container") })
	require.NoError(t, r.CoreV1().Pods(r.namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(10))}))
	_, _, err = r.run(pod)
	require.ErrorIs(t, err, cluster.ErrLost)
	r.gone(pod.Name)
	require.NotEmpty(t, live.UID)
}

func TestPodIsCancelled(t *testing.T) {
	cause := errors.New("enough")
	for name, tc := range map[string]struct {
		script, override string
		when             func(*corev1.Pod) bool
	}{
		"pending":                      {"sleep 1000", "nodeSelector: {none: such}", func(p *corev1.Pod) bool { return len(p.Status.Conditions) > 0 }},
		"running":                      {"sleep 1000", "", func(p *corev1.Pod) bool { return hasRun(p, "container") }},
		"running, and deaf to signals": {"trap '' TERM; while :; do sleep 1; done", "terminationGracePeriodSeconds: 600", func(p *corev1.Pod) bool { return hasRun(p, "container") }},
		"ended":                        {"true", "", isTerminal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRunner(t, Options{RemoveTimeout: 20 * time.Second}, nil)
			pod := r.pod(tc.script)
			r.override(&pod, tc.override)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			done := make(chan error, 1)
			if name == "ended" { // an earlier call has left it
				_, _, err := r.run(pod)
				require.NoError(t, err)
				cancel(cause)
			}
			go func() { done <- r.cluster.RunPod(ctx, pod) }()
			if name != "ended" {
				r.eventually(pod.Name, name, tc.when)
			}
			cancel(cause)
			require.Equal(t, cause, <-done)
			r.gone(pod.Name)
		})
	}
}

func TestPodIsRemovedWhenItsLogIsRefused(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("echo x; sleep 1000")
	disk := errors.New("disk full")
	pod.Log = badWriter{disk}
	err := r.cluster.RunPod(t.Context(), pod)
	require.Equal(t, disk, err)
	r.gone(pod.Name)
}

func TestPodIsHeldByAFinalizer(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("true")
	w, err := r.cluster.wanted(pod)
	require.NoError(t, err)
	w.pod.Finalizers = []string{"example.org/hold"}
	_, err = r.CoreV1().Pods(r.namespace).Create(t.Context(), w.pod, metav1.CreateOptions{})
	require.NoError(t, err)
	longer := func(says func() string) { // a busy machine may see little in the first time
		for r.cluster.opts.RemoveTimeout = 2 * time.Second; !strings.Contains(says(), "example.org/hold"); r.cluster.opts.RemoveTimeout *= 2 {
			require.Less(t, r.cluster.opts.RemoveTimeout, time.Minute)
		}
	}
	longer(func() string {
		err := r.cluster.RemovePod(t.Context(), r.namespace, pod.Name)
		require.ErrorContains(t, err, "pod "+r.namespace+"/"+pod.Name+" could not be removed")
		return err.Error()
	})
	longer(func() string {
		left, err := r.cluster.Sweep(t.Context(), pod.Labels)
		require.NoError(t, err)
		require.Len(t, left, 1)
		return left[0]
	})
	live, err := r.get(pod.Name)
	require.NoError(t, err)
	live.Finalizers = nil
	_, err = r.CoreV1().Pods(r.namespace).Update(t.Context(), live, metav1.UpdateOptions{})
	require.NoError(t, err)
}

func TestSweep(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	var names []string
	for i := range 3 {
		pod := r.pod("sleep 1000")
		if i == 2 {
			pod.Labels = map[string]string{"davit.io/run": "another-" + r.namespace}
		}
		w, err := r.cluster.wanted(pod)
		require.NoError(t, err)
		_, err = r.CoreV1().Pods(r.namespace).Create(t.Context(), w.pod, metav1.CreateOptions{})
		require.NoError(t, err)
		names = append(names, pod.Name)
	}
	left, err := r.cluster.Sweep(t.Context(), map[string]string{"davit.io/run": r.namespace})
	require.NoError(t, err)
	require.Empty(t, left)
	r.gone(names[0])
	r.gone(names[1])
	live, err := r.get(names[2])
	require.NoError(t, err)
	require.Nil(t, live.DeletionTimestamp, "the pod of another run")

	other := r.CoreV1().Namespaces()
	_, err = other.Get(t.Context(), r.namespace, metav1.GetOptions{})
	require.NoError(t, err)
	r.cluster.opts.Namespaces = []string{r.namespace, "kube-system", r.namespace}
	left, err = r.cluster.Sweep(t.Context(), map[string]string{"davit.io/run": "another-" + r.namespace})
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Contains(t, left[0], "pods of namespace kube-system: ")
	r.gone(names[2])
	r.cluster.opts.Namespaces = nil
	left, err = r.cluster.Sweep(t.Context(), map[string]string{"davit.io/run": r.namespace})
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Contains(t, left[0], "pods of all namespaces: ")
	_, err = r.cluster.Sweep(t.Context(), nil)
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = r.cluster.Sweep(t.Context(), map[string]string{"a b": ""})
	require.ErrorIs(t, err, cluster.ErrInvalid)

	clients, err := ForConfig(r.Config)
	require.NoError(t, err)
	admin, err := New(clients, nil)
	require.NoError(t, err)
	left, err = admin.Sweep(t.Context(), map[string]string{"davit.io/run": "nobody-" + r.namespace})
	require.NoError(t, err)
	require.Empty(t, left, "all namespaces may be listed")
}

func TestPodMountsAClaim(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	volume := r.volume()
	for i, script := range []string{"echo kept > /data/file && sync", "cat /data/file"} {
		pod := r.pod(script)
		pod.Claims = map[string]string{volume: "/data"}
		log, _, err := r.run(pod)
		require.NoError(t, err)
		require.Equal(t, map[int]string{0: "", 1: "kept\n"}[i], log)
	}
	pod := r.pod("echo x > /data/file")
	pod.Claims = map[string]string{volume: "/data"}
	w, err := r.cluster.wanted(pod)
	require.NoError(t, err)
	r.override(&pod, fmt.Sprintf("containers: [{name: container, volumeMounts: [{mountPath: /data, name: %s, readOnly: true}]}]", w.pod.Spec.Volumes[0].Name))
	log, _, err := r.run(pod)
	require.Error(t, err)
	require.Contains(t, log, "Read-only file system")
}

// volume makes a volume on the node and a claim of the same name that has it.
func (r *runner) volume() string {
	r.t.Helper()
	name := "v-" + strings.ToLower(rand.Text()[:8])
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	_, err := r.CoreV1().PersistentVolumes().Create(r.t.Context(), &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: modes, StorageClassName: name,
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: worldFolder(r.t, r.Client)}},
	}}, metav1.CreateOptions{})
	require.NoError(r.t, err)
	r.t.Cleanup(func() {
		require.NoError(r.t, r.CoreV1().PersistentVolumes().Delete(context.Background(), name, metav1.DeleteOptions{}))
	})
	_, err = r.CoreV1().PersistentVolumeClaims(r.namespace).Create(r.t.Context(), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: &name, AccessModes: modes, VolumeName: name, Resources: corev1.VolumeResourceRequirements{Requests: size},
	}}, metav1.CreateOptions{})
	require.NoError(r.t, err)
	return name
}
