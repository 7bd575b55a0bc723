//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// What a verified stream is measured by.
const (
	streamSize = 1 << 30
	// streamRounds is how often the two that are compared run, in turns; the best time of each counts, as the machine may be busy with something else.
	streamRounds = 4
	// leastRatio is the throughput beside that of kubectl exec of the same bytes.
	leastRatio = 0.9
	// mostMemory is how much the host may grow above idle, whatever the stream's size, in bytes.
	mostMemory = 64 << 20
)

// TestPromiseVerifiedStream takes 1 GiB out of a pod through verified exec, and through kubectl exec beside it. It fails when a byte differs or the host
// grows too much; how long it took is reported only: the test's machine is also the cluster's.
func TestPromiseVerifiedStream(t *testing.T) {
	tc := testcluster.Open(t)
	namespace := tc.Namespace(t, nil)
	sleepingPod(t, tc, namespace)
	clients, err := kubecluster.ForConfig(tc.Config)
	require.NoError(t, err)
	c, err := kubecluster.New(clients, nil)
	require.NoError(t, err)
	sums := map[int64]string{}
	for _, size := range []int64{streamSize / 16, streamSize} {
		var out strings.Builder
		script := fmt.Sprintf("head -c %d /dev/urandom >/data/%d && sha256sum /data/%d", size, size, size)
		require.NoError(t, c.Exec(t.Context(), cluster.Command{Namespace: namespace, Pod: "db", Args: []string{"sh", "-c", script}, Stdout: &out}))
		sums[size], _, _ = strings.Cut(out.String(), " ")
	}
	verified := func(size int64, opts *execstream.Options) time.Duration {
		begin := time.Now()
		cmd := cluster.Command{Namespace: namespace, Pod: "db", Args: []string{"cat", fmt.Sprintf("/data/%d", size)}}
		res, err := execstream.Read(t.Context(), c, cmd, opts)
		require.NoError(t, err)
		require.Equal(t, execstream.Result{Bytes: size, SHA256: sums[size]}, res)
		return time.Since(begin)
	}
	shell, agent := (*execstream.Options)(nil), &execstream.Options{Agent: "davit"}

	most := int64(0)
	for _, size := range []int64{streamSize / 16, streamSize} {
		for far, opts := range map[string]*execstream.Options{"agent": agent, "shell": shell} {
			grown := growth(t, func() { verified(size, opts) })
			t.Logf("%s, %d MiB: the host grew by %.1f MiB", far, size>>20, float64(grown)/(1<<20))
			most = max(most, grown)
		}
	}

	best := map[string]float64{}
	measure := func(way string, run func() time.Duration) {
		took := run().Seconds()
		t.Logf("%s: 1 GiB in %.1f s, %.0f MB/s", way, took, streamSize/took/1e6)
		if best[way] == 0 || took < best[way] {
			best[way] = took
		}
	}
	for range streamRounds {
		measure("kubectl", func() time.Duration { return kubectlCat(t, tc, namespace) })
		measure("agent", func() time.Duration { return verified(streamSize, agent) })
	}
	measure("shell", func() time.Duration { return verified(streamSize, shell) }) // slower: busybox copies in small pieces
	ratio := best["kubectl"] / best["agent"]
	t.Logf("throughput beside kubectl exec cat: agent %.2f, shell %.2f", ratio, best["kubectl"]/best["shell"])
	promise("exec-verified-throughput-over-kubectl", ratio, fmt.Sprintf(">=%.1f", leastRatio), ratio >= leastRatio)
	promise("exec-verified-memory-MiB", float64(most)/(1<<20), fmt.Sprintf("<=%d", mostMemory>>20), most <= mostMemory)
	require.LessOrEqual(t, most, int64(mostMemory))
}

// promise prints a line of make bench.
func promise(name string, figure float64, bound string, holds bool) {
	verdict := "short"
	if holds {
		verdict = "holds"
	}
	fmt.Printf("promise %s %.2f %s %s\n", name, figure, bound, verdict) //nolint:forbidigo // the line is the measurement's result
}

// sleepingPod makes a pod that has davit and the folder /data.
func sleepingPod(t *testing.T, tc *testcluster.Client, namespace string) {
	t.Helper()
	pods := tc.CoreV1().Pods(namespace)
	_, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "server", Image: testcluster.AgentImage, ImagePullPolicy: corev1.PullNever, Command: []string{"sleep", "100000"},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		pod, err := pods.Get(t.Context(), "db", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	}, time.Minute, 50*time.Millisecond)
}

// growth is how much larger this process was at most, while f ran, than before.
func growth(t *testing.T, f func()) int64 {
	t.Helper()
	debug.FreeOSMemory()
	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600)) // begin with the present size, see proc(5)
	idle := peak("self")
	require.Positive(t, idle)
	f()
	return peak("self") - idle
}

// kubectlCat takes the file out of the pod with kubectl and drops it.
func kubectlCat(t *testing.T, tc *testcluster.Client, namespace string) time.Duration {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	cmd := exec.CommandContext(t.Context(), filepath.Join(tc.Dir, "bin", "kubectl"), "exec", "-n", namespace, "db", "--", "cat", fmt.Sprintf("/data/%d", streamSize))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+tc.Kubeconfig)
	cmd.Stdout, cmd.Stderr = null, os.Stderr
	begin := time.Now()
	require.NoError(t, cmd.Run())
	return time.Since(begin)
}
