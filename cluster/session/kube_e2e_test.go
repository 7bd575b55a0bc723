//go:build e2e && linux

package session_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/cluster/session"
	"github.com/davit-project/davit/internal/testcluster"
)

// hostEnv makes the test binary a host that holds a session and does nothing more: "kubeconfig namespace longest".
const hostEnv = "DAVIT_SESSION_HOST"

func TestMain(m *testing.M) {
	if args := os.Getenv(hostEnv); args != "" {
		if err := beHost(strings.Fields(args)); err != nil {
			fmt.Fprintln(os.Stdout, "failed:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func beHost(args []string) error {
	longest, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	e, err := bind(args[0])
	if err != nil {
		return err
	}
	s, err := session.New(e, kubeSpec(args[1], longest))
	if err != nil {
		return err
	}
	if _, err := s.Open(context.Background()); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "held")
	select {}
}

func bind(kubeconfig string) (*kubecluster.Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	clients, err := kubecluster.ForConfig(config)
	if err != nil {
		return nil, err
	}
	return kubecluster.New(clients, nil)
}

// kubeSpec stops a process of the container, as a database is stopped that writes to several volumes. What the command says is on its volume.
func kubeSpec(namespace string, longest time.Duration) session.Spec {
	return session.Spec{
		Namespace: namespace, Pod: "db", MaxHold: longest, Grace: 2 * time.Second,
		Command: []string{"sh", "-c", `pid=$(cat /data/pid); trap 'kill -CONT $pid' EXIT; kill -STOP $pid && echo held && cat; kill -CONT $pid; echo "let go"`},
	}
}

// kubePod counts ten times a second, in a container whose first process waits for nobody but that.
func kubePod(t *testing.T) (*testcluster.Client, string) {
	t.Helper()
	tc := testcluster.Open(t)
	namespace := tc.Namespace(t, nil)
	pods := tc.CoreV1().Pods(namespace)
	_, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64),
		Volumes:                       []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		Containers: []corev1.Container{{
			Name: "server", Image: testcluster.BusyboxImage, ImagePullPolicy: corev1.PullNever,
			Command:      []string{"sh", "-c", `sh -c 'echo $$$$ >/data/pid; n=0; while :; do n=$((n + 1)); echo $n >/data/n; sleep 0.1; done' & exec sleep 100000`},
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
		}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		pod, err := pods.Get(t.Context(), "db", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	}, time.Minute, 50*time.Millisecond)
	e, err := bind(tc.Kubeconfig)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return counts(t, e, namespace) }, time.Minute, 50*time.Millisecond)
	return tc, namespace
}

// shell runs a script in the pod.
func shell(t *testing.T, e cluster.Executor, namespace, script string) string {
	t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, e.Exec(ctx, cluster.Command{Namespace: namespace, Pod: "db", Args: []string{"sh", "-c", script}, Stdout: &out}))
	return strings.TrimSpace(out.String())
}

// counts tells whether the process counts: whether it is not held.
func counts(t *testing.T, e cluster.Executor, namespace string) bool {
	t.Helper()
	both := strings.Fields(shell(t, e, namespace, "cat /data/n; sleep 0.4; cat /data/n"))
	return len(both) == 2 && both[0] != both[1]
}

// goesOn waits until the application counts.
func goesOn(t *testing.T, e cluster.Executor, namespace string) {
	t.Helper()
	require.Eventually(t, func() bool { return counts(t, e, namespace) }, time.Minute, 100*time.Millisecond, "the application goes on")
}

// nothingLeft waits until no process of a session is in the pod, not even one that has ended and nobody has waited for.
func nothingLeft(t *testing.T, e cluster.Executor, namespace string) {
	t.Helper()
	left := ""
	require.Eventually(t, func() bool {
		left = shell(t, e, namespace, `ps -o pid,ppid,args | grep -vE ' (COMMAND|sleep 100000|sleep 0.1|ps |grep |sh -c (ps |echo \$\$)|\[sleep\])' || :`)
		return left == ""
	}, time.Minute, 100*time.Millisecond, "%s", &left)
}

// openFor holds the application, for longer where that is not long enough to hear of it.
func openFor(t *testing.T, e cluster.Executor, namespace string, longest time.Duration) (*session.Open, time.Duration) {
	t.Helper()
	for ; ; longest *= 2 {
		s, err := session.New(e, kubeSpec(namespace, longest))
		require.NoError(t, err)
		o, err := s.Open(t.Context())
		if err == nil {
			return o, longest
		}
		require.ErrorIs(t, err, session.ErrStartTimeout)
		require.Less(t, longest, time.Minute)
	}
}

func TestKubeSession(t *testing.T) {
	t.Parallel()
	tc, namespace := kubePod(t)
	config := tc.As(t, namespace, []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get", "create"}},
	})
	clients, err := kubecluster.ForConfig(config)
	require.NoError(t, err)
	e, err := kubecluster.New(clients, nil)
	require.NoError(t, err)

	s, err := session.New(e, kubeSpec(namespace, time.Hour))
	require.NoError(t, err)
	for range 3 {
		o, err := s.Open(t.Context())
		require.NoError(t, err)
		require.False(t, counts(t, e, namespace))
		begin := time.Now()
		require.NoError(t, o.Release(t.Context()))
		t.Logf("released in %s", time.Since(begin).Round(time.Millisecond))
		require.Equal(t, "let go\n", written(t, o))
		goesOn(t, e, namespace)
	}
	nothingLeft(t, e, namespace)

	// The longest hold, without a word of the host.
	begin := time.Now()
	o, longest := openFor(t, e, namespace, 2*time.Second)
	<-o.Lost()
	took := time.Since(begin)
	require.GreaterOrEqual(t, took, longest)
	require.Less(t, took, 2*longest+time.Minute)
	require.Error(t, o.Release(t.Context()))
	goesOn(t, e, namespace)

	// What a container has not.
	spec := kubeSpec(namespace, time.Hour)
	spec.Command = []string{"no-such-program"}
	s, err = session.New(e, spec)
	require.NoError(t, err)
	_, err = s.Open(t.Context())
	require.ErrorIs(t, err, session.ErrNotHeld)
	require.ErrorContains(t, err, "exit code 127")
	spec.Pod = "none"
	s, err = session.New(e, spec)
	require.NoError(t, err)
	_, err = s.Open(t.Context())
	require.ErrorIs(t, err, cluster.ErrNotFound)
	nothingLeft(t, e, namespace)
}

// A host that is killed, and one that is stopped: its connection stays, and nobody reads. The application goes on.
func TestKubeHostGone(t *testing.T) {
	for name, c := range map[string]struct {
		signal  syscall.Signal
		longest time.Duration
	}{
		"killed":  {syscall.SIGKILL, time.Hour},
		"stopped": {syscall.SIGSTOP, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc, namespace := kubePod(t)
			e, err := bind(tc.Kubeconfig)
			require.NoError(t, err)
			host := exec.Command(os.Args[0]) //nolint:gosec // the test itself
			host.Env = append(os.Environ(), hostEnv+"="+strings.Join([]string{tc.Kubeconfig, namespace, c.longest.String()}, " "))
			out, err := host.StdoutPipe()
			require.NoError(t, err)
			begin := time.Now()
			require.NoError(t, host.Start())
			t.Cleanup(func() {
				_ = host.Process.Kill()
				_ = host.Wait()
			})
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "held\n", line)
			if goesOn := counts(t, e, namespace); time.Since(begin) < c.longest {
				require.False(t, goesOn)
			}

			signalled := time.Now()
			require.NoError(t, host.Process.Signal(c.signal))
			require.Eventually(t, func() bool { return counts(t, e, namespace) }, time.Minute, 10*time.Millisecond)
			t.Logf("%s: it counts again %s after the signal, %s after the host began", name, time.Since(signalled).Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
			if c.signal == syscall.SIGSTOP {
				require.Greater(t, time.Since(begin), c.longest-time.Second, "not before")
			}
			nothingLeft(t, e, namespace)
		})
	}
}
