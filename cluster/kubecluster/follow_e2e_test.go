//go:build e2e

package kubecluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-project/davit/cluster"
)

// crashEnv holds the request of a host that is going to be killed. Such a host is this test program once more.
const crashEnv = "DAVIT_TEST_CRASHING_HOST"

func TestMain(m *testing.M) {
	if text := os.Getenv(crashEnv); text != "" {
		fmt.Fprintln(os.Stderr, crashingHost(text))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashingHost runs a pod and copies its log to standard output until somebody kills it.
func crashingHost(text string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	clients, err := ForConfig(config)
	if err != nil {
		return err
	}
	c, err := New(clients, nil)
	if err != nil {
		return err
	}
	var pod cluster.Pod
	if err := json.Unmarshal([]byte(text), &pod); err != nil {
		return err
	}
	pod.Log = os.Stdout
	return c.RunPod(context.Background(), pod)
}

// killAfter runs a pod in a host of its own and kills that once the log has a line.
func (r *runner) killAfter(pod cluster.Pod, line string) {
	r.t.Helper()
	text, err := json.Marshal(pod)
	require.NoError(r.t, err)
	host := exec.CommandContext(r.t.Context(), os.Args[0], "-test.run=^$")
	host.Env = append(os.Environ(), crashEnv+"="+string(text), "KUBECONFIG="+r.Kubeconfig)
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	require.NoError(r.t, err)
	require.NoError(r.t, host.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != line {
	}
	require.Equal(r.t, line, lines.Text())
	require.NoError(r.t, host.Process.Kill())
	_ = host.Wait() // it was killed
}

func TestPodIsAdoptedAfterACrash(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("cat $DAVIT_PROFILE_FILE; for i in $(seq 60); do echo line $i; sleep 0.1; done; echo results > $DAVIT_RESULTS_FILE; exit 5")
	pod.Profile = []byte("profile\n")
	r.killAfter(pod, "line 5")
	first, err := r.get(pod.Name)
	require.NoError(t, err)
	r.killAfter(pod, "line 20")
	log, results, err := r.run(pod)
	var exit *cluster.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 5, exit.Code)
	want := "profile\n"
	for i := range 60 {
		want += fmt.Sprintf("line %d\n", i+1)
	}
	require.Equal(t, want, log, "complete, from the beginning")
	require.Equal(t, "results\n", results)
	live, err := r.get(pod.Name)
	require.NoError(t, err)
	require.Equal(t, first.UID, live.UID, "it was created once")
	log, _, err = r.run(pod)
	require.ErrorAs(t, err, &exit)
	require.Equal(t, want, log, "and once more after its end")
}

// cutting breaks off the logs that come through it, and fails one request in five.
type cutting struct {
	http.RoundTripper
	// most is how many bytes of a log pass at most.
	most int64
	cuts *atomic.Int64
}

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	if rand.IntN(5) == 0 {
		return nil, errors.New("connection refused")
	}
	answer, err := c.RoundTripper.RoundTrip(r)
	if rand.IntN(10) == 0 && err == nil { // it was done, and nobody knows
		_ = answer.Body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	if err == nil && strings.HasSuffix(r.URL.Path, "/log") && answer.StatusCode == http.StatusOK && r.URL.Query().Get("follow") != "" {
		answer.Body = &cut{answer.Body, rand.Int64N(c.most), rand.IntN(2) == 0, c}
	}
	return answer, err
}

type cut struct {
	io.ReadCloser
	left   int64
	silent bool
	c      *cutting
}

func (b *cut) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.c.cuts.Add(1)
		if b.silent {
			return 0, io.EOF
		}
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func TestPodOverBrokenConnections(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	config := rest.CopyConfig(r.Config)
	cuts := &atomic.Int64{}
	config.WrapTransport = func(rt http.RoundTripper) http.RoundTripper {
		return &cutting{RoundTripper: rt, most: 100 << 10, cuts: cuts}
	}
	c := r.bound(config)
	pod := r.pod(`
for i in $(seq 100); do
	echo "error $i" >&2
	echo "line $i"
	printf '%5000d' $i
	printf '%25000d\n' $i
	sleep 0.05
done
printf 'no end'`)
	out := &shared{}
	pod.Log = out
	pod.Profile = []byte("{}")
	require.NoError(t, c.RunPod(t.Context(), pod))
	want, err := r.CoreV1().Pods(r.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	require.NoError(t, err)
	require.Greater(t, len(want), 3_000_000)
	same := string(want) == out.String()
	require.True(t, same, "%d bytes, want %d", len(out.String()), len(want))
	require.GreaterOrEqual(t, cuts.Load(), int64(3), "connections were cut")
	require.NotContains(t, r.log.String(), "lost")
}

func TestLogOfALongLine(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	log, _, err := r.run(r.pod(`echo before; head -c 1048576 /dev/zero | tr '\0' x; echo; echo after; sleep 1`))
	require.NoError(t, err)
	same := log == "before\n"+strings.Repeat("x", 1<<20)+"\nafter\n"
	require.True(t, same, "%d bytes", len(log))
}

// rotated waits until the container's log is another file than it was.
func (r *runner) rotated(log string, was os.FileInfo) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		now, err := os.Stat(log)
		return err == nil && !os.SameFile(now, was)
	}, time.Minute, 50*time.Millisecond, "the kubelet rotates the log")
}

// A kubelet loses lines that are written while it rotates the log, so nothing is written then: the last line of each burst takes the log over the size at which this
// cluster rotates, 4 MiB, of which a line of the log takes up to 40 bytes more than were written; the next one waits for the rotation.
func TestLogOfFiftyMegabytes(t *testing.T) {
	const bursts, lines = 13, 4050
	r := newRunner(t, Options{}, nil)
	pod := r.pod(fmt.Sprintf(`
for burst in $(seq %d); do
	awk -v b=$burst 'BEGIN { for (i = 1; i <= %d; i++) printf "%%02d %%0990d\n", b, i; printf "%%02d %%09990d\n", b, 0 }'
	until [ -e /scratch/$burst ]; do sleep 0.1; done
done`, bursts, lines))
	r.override(&pod, "volumes: [{name: s, emptyDir: {}}]\n"+container("volumeMounts: [{name: s, mountPath: /scratch}]"))
	reader, writer := io.Pipe()
	pod.Log = writer
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	go func() {
		err := r.cluster.RunPod(ctx, pod)
		done <- err
		_ = writer.CloseWithError(errors.Join(err, io.EOF))
	}()
	in, size, n := bufio.NewReader(reader), 0, 0
	next := func(want string) {
		got, err := in.ReadString('\n')
		require.NoError(t, err, "line %d, log:\n%s", n, r.log)
		same := want == got
		require.True(t, same, "line %d: want %.20s..., got %.20s...; log:\n%s", n, want, got, r.log)
		size, n = size+len(got), n+1
	}
	admin := r.bound(r.Config)
	for burst := range bursts {
		next(fmt.Sprintf("%02d %0990d\n", burst+1, 1))
		live, err := r.get(pod.Name)
		require.NoError(t, err)
		log := filepath.Join(r.Dir, "podlogs", fmt.Sprintf("%s_%s_%s", r.namespace, pod.Name, live.UID), "container", "0.log")
		was, err := os.Stat(log)
		require.NoError(t, err)
		for line := range lines - 1 {
			next(fmt.Sprintf("%02d %0990d\n", burst+1, line+2))
		}
		next(fmt.Sprintf("%02d %09990d\n", burst+1, 0))
		r.rotated(log, was)
		require.NoError(t, admin.Exec(t.Context(), cluster.Command{Namespace: r.namespace, Pod: pod.Name, Args: []string{"touch", fmt.Sprintf("/scratch/%d", burst+1)}}))
	}
	require.NoError(t, <-done)
	require.Greater(t, size, 50_000_000)
	t.Log(size, "bytes")
	require.NotContains(t, r.log.String(), "lost")
}

// A proxy that admission puts beside the containers of a pod does not end by itself.
func TestPodWithAContainerThatIsNotItsOwn(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("echo done; exit 3")
	w, err := r.cluster.wanted(pod)
	require.NoError(t, err)
	proxy := w.pod.Spec.Containers[0]
	proxy.Name, proxy.Command = "proxy", []string{"sleep", "1000"}
	w.pod.Spec.Containers = append([]corev1.Container{proxy}, w.pod.Spec.Containers...)
	w.pod.Labels["injected"] = "yes"
	_, err = r.CoreV1().Pods(r.namespace).Create(t.Context(), w.pod, metav1.CreateOptions{})
	require.NoError(t, err)
	log, _, err := r.run(pod)
	require.EqualError(t, err, fmt.Sprintf("pod %s/%s, container container: exit code 3", r.namespace, pod.Name))
	require.Equal(t, "done\n", log)
	live, err := r.get(pod.Name)
	require.NoError(t, err)
	require.Equal(t, corev1.PodRunning, live.Status.Phase)
}

// Nobody waits for the log of a pod whose log is not asked for.
func TestPodWithoutALog(t *testing.T) {
	r := newRunner(t, Options{}, nil)
	pod := r.pod("head -c 1000000 /dev/zero")
	require.NoError(t, r.cluster.RunPod(t.Context(), pod))
}
