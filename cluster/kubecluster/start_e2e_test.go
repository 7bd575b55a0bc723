//go:build e2e

package kubecluster

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// worldFolder is a folder of the node that any user may write.
func worldFolder(t *testing.T, c *testcluster.Client) string {
	t.Helper()
	dir := filepath.Join(c.Dir, "volumes", "runpod-"+rand.Text())
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.Chmod(dir, 0o777)) // whatever the umask
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func quick() Options {
	return Options{ScheduleGrace: 2 * time.Second, ImageGrace: 2 * time.Second, ConfigGrace: 2 * time.Second, StartTimeout: 5 * time.Minute}
}

func TestPodCannotStart(t *testing.T) {
	for name, tc := range map[string]struct {
		image, override string
		opts            func(*Options)
		want            []string
		invalid         bool
	}{
		"image that does not exist":    {image: "localhost/none:1", want: []string{"container container, image \"localhost/none:1\": ", "Pull", "its events:\n", "Failed"}},
		"image that may not be pulled": {override: container("image: localhost/none:2, imagePullPolicy: Never"), want: []string{"ErrImageNeverPull"}},
		"no image":                     {image: "a b", want: []string{"InvalidImageName"}, invalid: true},
		"config map that does not exist": {override: container("env: [{name: A, valueFrom: {configMapKeyRef: {name: none, key: k}}}]"),
			want: []string{"CreateContainerConfigError", `configmap "none" not found`}},
		"no node":                   {override: "nodeSelector: {none: such}", want: []string{"for 2s: unschedulable: Unschedulable: 0/1 nodes are available"}},
		"claim that does not exist": {override: "volumes: [{name: v, persistentVolumeClaim: {claimName: none}}]", want: []string{`persistentvolumeclaim "none" not found`}},
		"secret that does not exist": {override: "volumes: [{name: v, secret: {secretName: none}}]\n" + container("volumeMounts: [{name: v, mountPath: /v}]"),
			opts: func(o *Options) { o.StartTimeout = 10 * time.Second }, want: []string{"for 10s: it does not get on", `FailedMount: MountVolume.SetUp failed for volume "v" : secret "none" not found`}},
		"root":            {image: testcluster.RootImage, want: []string{"runAsNonRoot", "an image with a numeric USER", "securityContext.runAsUser in podOverride", "Policy.RunAsImage"}, invalid: true},
		"gated":           {override: "schedulingGates: [{name: example.org/wait}]", want: []string{"unschedulable: SchedulingGated"}},
		"too much memory": {override: container("resources: {requests: {memory: 100Ti}}"), want: []string{"unschedulable", "Insufficient memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := quick()
			if tc.opts != nil {
				tc.opts(&opts)
			}
			r := newRunner(t, opts, nil)
			pod := r.pod("true")
			if tc.image != "" {
				pod.Image = tc.image
			}
			r.override(&pod, tc.override)
			begun := time.Now()
			_, _, err := r.run(pod)
			t.Log(time.Since(begun).Round(100*time.Millisecond), err)
			require.ErrorContains(t, err, "pod "+r.namespace+"/"+pod.Name+" cannot start: ")
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
			require.Less(t, time.Since(begun), 90*time.Second)
			if tc.invalid {
				require.ErrorIs(t, err, cluster.ErrInvalid)
				r.gone(pod.Name)
				return
			}
			require.NotErrorIs(t, err, cluster.ErrInvalid)
			_, err = r.get(pod.Name)
			require.NoError(t, err, "it stays until RemovePod")
		})
	}
}

func TestPodOneOfWhoseContainersHasNoImage(t *testing.T) {
	r := newRunner(t, quick(), nil)
	pod := r.pod("mkfifo /share/pipe; cat /share/pipe")
	pod.Shared = &cluster.SharedVolume{Path: "/share"}
	pod.Others = []cluster.Container{{Name: "side", Image: "localhost/none:1", Command: []string{"sh", "-c", "echo x > /share/pipe"}}}
	_, _, err := r.run(pod)
	require.ErrorContains(t, err, `cannot start: for 2s: container side, image "localhost/none:1": `)
}

func TestPodIsRefused(t *testing.T) {
	t.Run("by a quota", func(t *testing.T) {
		r := newRunner(t, quick(), nil)
		quotas := r.CoreV1().ResourceQuotas(r.namespace)
		_, err := quotas.Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{
			Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")},
		}}, metav1.CreateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			q, err := quotas.Get(t.Context(), "none", metav1.GetOptions{})
			return err == nil && q.Status.Hard != nil
		}, 30*time.Second, 50*time.Millisecond)
		begun := time.Now()
		_, _, err = r.run(r.pod("true"))
		require.ErrorContains(t, err, "exceeded quota: none")
		require.NotErrorIs(t, err, cluster.ErrInvalid)
		require.NotErrorIs(t, err, cluster.ErrDenied)
		require.Less(t, time.Since(begun), time.Minute)
	})
	t.Run("by Pod Security", func(t *testing.T) {
		r := newRunner(t, quick(), map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
		pod := r.pod("true")
		r.override(&pod, security("runAsUser: 0"))
		_, _, err := r.run(pod)
		require.ErrorIs(t, err, cluster.ErrInvalid)
		require.ErrorContains(t, err, `violates PodSecurity "restricted:latest"`)
		require.ErrorContains(t, err, "podOverride")
	})
	t.Run("by the authorizer", func(t *testing.T) {
		r := newRunner(t, quick(), nil)
		for missing, resource := range map[string]string{"create": "pods", "get": "pods/log"} {
			rules := runnerRules()
			for i := range rules {
				if rules[i].Resources[0] == resource {
					rules[i].Verbs = []string{"get", "watch", "delete", "create"}
					for j, verb := range rules[i].Verbs {
						if verb == missing {
							rules[i].Verbs = append(rules[i].Verbs[:j:j], rules[i].Verbs[j+1:]...)
							break
						}
					}
				}
			}
			c := r.bound(r.As(t, r.namespace, rules))
			pod := r.pod("echo x; sleep 600")
			pod.Log = &shared{}
			begun := time.Now()
			err := c.RunPod(t.Context(), pod)
			require.ErrorIs(t, err, cluster.ErrDenied)
			require.ErrorContains(t, err, resource)
			require.Less(t, time.Since(begun), 90*time.Second)
		}
	})
	t.Run("by a namespace that does not exist", func(t *testing.T) {
		r := newRunner(t, quick(), nil)
		pod := r.pod("true")
		pod.Namespace = "none-" + r.namespace
		err := r.bound(r.Config).RunPod(t.Context(), pod)
		require.ErrorIs(t, err, cluster.ErrNotFound)
		require.ErrorContains(t, err, `namespaces "none-`+r.namespace+`" not found`)
	})
	t.Run("by a namespace that goes", func(t *testing.T) {
		r := newRunner(t, quick(), nil)
		hold := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "hold", Finalizers: []string{"example.org/hold"}}}
		maps := r.CoreV1().ConfigMaps(r.namespace)
		hold, err := maps.Create(t.Context(), hold, metav1.CreateOptions{})
		require.NoError(t, err)
		pod := r.pod("true")
		require.NoError(t, r.CoreV1().Namespaces().Delete(t.Context(), r.namespace, metav1.DeleteOptions{}))
		err = r.bound(r.Config).RunPod(t.Context(), pod)
		require.ErrorIs(t, err, cluster.ErrInvalid)
		require.ErrorContains(t, err, "is being terminated")
		require.Eventually(t, func() bool {
			if hold, err = maps.Get(context.Background(), "hold", metav1.GetOptions{}); err != nil {
				return true
			}
			hold.Finalizers = nil
			_, err = maps.Update(context.Background(), hold, metav1.UpdateOptions{})
			return err == nil
		}, time.Minute, 100*time.Millisecond)
	})
}

// bound is a Cluster with other rights.
func (r *runner) bound(config *rest.Config) *Cluster {
	r.t.Helper()
	clients, err := ForConfig(config)
	require.NoError(r.t, err)
	c, err := New(clients, &r.cluster.opts)
	require.NoError(r.t, err)
	return c
}

func TestPodStartsAfterAll(t *testing.T) {
	r := newRunner(t, Options{ConfigGrace: 4 * time.Minute}, nil)
	pod := r.pod("echo $A")
	r.override(&pod, container("env: [{name: A, valueFrom: {configMapKeyRef: {name: late, key: k}}}]"))
	out := &shared{}
	pod.Log = out
	done := make(chan error, 1)
	go func() { done <- r.cluster.RunPod(t.Context(), pod) }()
	r.eventually(pod.Name, "it waits", func(p *corev1.Pod) bool {
		o, _ := (&starting{own: []string{"container"}}).inTheWay(p)
		return o == configuring
	})
	_, err := r.CoreV1().ConfigMaps(r.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Data: map[string]string{"k": "there"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.Equal(t, "there\n", out.String())
}

func TestPodRunsAsRootWhereItMay(t *testing.T) {
	r := newRunner(t, Options{Policy: Policy{RunAsImage: true}}, nil)
	pod := r.pod("id -u")
	pod.Image = testcluster.RootImage
	log, _, err := r.run(pod)
	require.NoError(t, err)
	require.Equal(t, "0\n", log)

	r = newRunner(t, Options{}, nil)
	pod = r.pod("id -u; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status")
	r.override(&pod, security("runAsUser: 0"))
	log, _, err = r.run(pod)
	require.NoError(t, err)
	require.Equal(t, "0\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n", log)
}

func TestPodIsEndedByTheCluster(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	t.Run("memory", func(t *testing.T) {
		pod := r.pod("echo full; exec tail /dev/zero")
		r.override(&pod, container("resources: {limits: {memory: 32Mi}}"))
		log, _, err := r.run(pod)
		var exit *cluster.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 137, exit.Code)
		require.Regexp(t, `\((OOMKilled|killed by nobody known; perhaps it ran out of memory): its memory limit is 32Mi\)`, err.Error())
		require.Equal(t, "full\n", log)
	})
	for name, script := range map[string]string{"deadline": "echo on; sleep 1000", "deadline, and exit with 0": "trap 'exit 0' TERM; echo on; while :; do sleep 0.1; done"} {
		t.Run(name, func(t *testing.T) {
			pod := r.pod(script)
			r.override(&pod, "activeDeadlineSeconds: 1000")
			out := &shared{}
			pod.Log = out
			done := make(chan error, 1)
			go func() { done <- r.cluster.RunPod(within(t, 2*time.Minute), pod) }()
			require.Eventually(t, func() bool { return out.String() != "" }, time.Minute, 20*time.Millisecond)
			_, err := r.CoreV1().Pods(r.namespace).Patch(t.Context(), pod.Name, types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":1}}`), metav1.PatchOptions{})
			require.NoError(t, err)
			err = <-done
			t.Log(err)
			require.ErrorContains(t, err, "DeadlineExceeded: ")
			require.Equal(t, "on\n", out.String())
			live, err := r.get(pod.Name)
			require.NoError(t, err)
			t.Log(live.Status.Phase, live.Status.ContainerStatuses[0].State)
		})
	}
	t.Run("eviction", func(t *testing.T) {
		pod := r.pod("echo on; head -c 3000000 /dev/zero > /scratch/x; sleep 1000")
		r.override(&pod, "volumes: [{name: s, emptyDir: {sizeLimit: 1Mi}}]\n"+container("volumeMounts: [{name: s, mountPath: /scratch}]"))
		log, _, err := r.run(pod)
		t.Log(err)
		require.ErrorContains(t, err, "Evicted: ")
		require.Equal(t, "on\n", log)
	})
}
