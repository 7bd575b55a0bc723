//go:build e2e

package execstream_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// kubePod is a pod with a container of each image that share the folder /data.
type kubePod struct {
	tc        *testcluster.Client
	namespace string
	// transports are hosts that may exec in the namespace and nothing else.
	transports map[string]cluster.Executor
}

// sides are the containers and the far ends that run in them. Those called busybox and agent run as user 1000.
var sides = map[string]struct {
	container string
	opts      *execstream.Options
}{
	"shell":         {"busybox", nil},
	"shell as root": {"root", nil},
	"agent":         {"agent", &execstream.Options{Agent: "davit"}},
}

func newKubePod(t *testing.T) *kubePod {
	t.Helper()
	tc := testcluster.Open(t)
	p := &kubePod{tc: tc, namespace: tc.Namespace(t, nil)}
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64),
		Volumes:                       []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
	for name, image := range map[string]string{"busybox": testcluster.BusyboxImage, "root": testcluster.RootImage, "agent": testcluster.AgentImage} {
		spec.Containers = append(spec.Containers, corev1.Container{
			Name: name, Image: image, ImagePullPolicy: corev1.PullNever, Command: []string{"sleep", "100000"},
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
		})
	}
	pods := tc.CoreV1().Pods(p.namespace)
	_, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: spec}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		pod, err := pods.Get(t.Context(), "db", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	}, time.Minute, 50*time.Millisecond)

	config := tc.As(t, p.namespace, []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get", "create"}},
	})
	p.transports = map[string]cluster.Executor{"websocket": bind(t, config), "spdy": bind(t, withoutWebSocket(t, config))}
	return p
}

func bind(t *testing.T, config *rest.Config) cluster.Executor {
	t.Helper()
	clients, err := kubecluster.ForConfig(config)
	require.NoError(t, err)
	c, err := kubecluster.New(clients, nil)
	require.NoError(t, err)
	return c
}

// withoutWebSocket is a way to the server through a proxy that knows no WebSocket, so that hosts take SPDY.
func withoutWebSocket(t *testing.T, config *rest.Config) *rest.Config {
	t.Helper()
	server, err := url.Parse(config.Host)
	require.NoError(t, err)
	upstream := rest.CopyConfig(config)
	upstream.NextProtos = []string{"http/1.1"}
	proxy := httputil.NewSingleHostReverseProxy(server)
	proxy.Transport, err = rest.TransportFor(upstream)
	require.NoError(t, err)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "websocket" {
			http.Error(w, "no such upgrade", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return &rest.Config{Host: front.URL}
}

func (p *kubePod) command(container string, args ...string) cluster.Command {
	return cluster.Command{Namespace: p.namespace, Pod: "db", Container: container, Args: args}
}

// run runs a shell script by plain exec.
func (p *kubePod) run(t *testing.T, container, script string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := p.command(container, "sh", "-c", script)
	cmd.Stdout = &out
	require.NoError(t, p.transports["websocket"].Exec(t.Context(), cmd))
	return out.String()
}

// file makes a file of random bytes in the pod and returns its checksum.
func (p *kubePod) file(t *testing.T, path string, size int) string {
	t.Helper()
	sum, _, _ := strings.Cut(p.run(t, "root", fmt.Sprintf("head -c %d /dev/urandom >%s; sha256sum %s", size, path, path)), " ")
	return sum
}

// counter counts what it takes, at no more than rate bytes a second where there is one.
type counter struct {
	bytes int
	rate  float64
	begin time.Time
}

func (c *counter) Write(p []byte) (int, error) {
	if c.begin.IsZero() {
		c.begin = time.Now()
	}
	c.bytes += len(p)
	if c.rate > 0 {
		time.Sleep(time.Until(c.begin.Add(time.Duration(float64(c.bytes) / c.rate * float64(time.Second)))))
	}
	return len(p), nil
}

// TestKubeSlowReader takes a file out of a pod at a tenth of the speed that its transport has: plain exec can lose the end of it and say nothing.
func TestKubeSlowReader(t *testing.T) {
	const size = 64 << 20
	p := newKubePod(t)
	sum := p.file(t, "/data/big", size)
	for transport, e := range p.transports {
		fast := &counter{}
		cmd := p.command("busybox", "cat", "/data/big")
		cmd.Stdout = fast
		begin := time.Now()
		require.NoError(t, e.Exec(t.Context(), cmd))
		rate := size / time.Since(begin).Seconds() / 10

		cases := map[string]*execstream.Options{"plain": nil}
		for name, side := range sides {
			cases[name] = side.opts
		}
		together(t, cases, func(t *testing.T, name string, opts *execstream.Options) {
			slow := &counter{rate: rate}
			cmd := p.command("busybox", "cat", "/data/big")
			cmd.Stdout = slow
			if name == "plain" {
				err := e.Exec(t.Context(), cmd)
				t.Logf("%s, plain exec at %.1f MB/s: %d of %d bytes are missing, error %v", transport, rate/1e6, size-slow.bytes, size, err)
				return
			}
			cmd.Container = sides[name].container
			res, err := execstream.Read(t.Context(), e, cmd, opts)
			t.Logf("%s, %s: %d bytes, error %v", transport, name, slow.bytes, err)
			require.NoError(t, err)
			require.Equal(t, execstream.Result{Bytes: size, SHA256: sum}, res)
			require.Equal(t, size, slow.bytes)
		})
	}
}

// TestKubeEveryByte moves 256 MiB out of a pod and back into it.
func TestKubeEveryByte(t *testing.T) {
	const size = 256 << 20
	p := newKubePod(t)
	sum := p.file(t, "/data/big", size)
	want := execstream.Result{Bytes: size, SHA256: sum}
	for transport, e := range p.transports {
		for name, side := range sides {
			cmd := p.command(side.container, "cat", "/data/big")
			r, w := io.Pipe()
			cmd.Stdout = w
			done := make(chan error, 1)
			go func() {
				res, err := execstream.Read(t.Context(), e, cmd, side.opts)
				if err == nil && res != want {
					err = fmt.Errorf("%v is not %v", res, want)
				}
				_ = w.CloseWithError(err)
				done <- err
			}()
			back := p.command(side.container, "sh", "-c", "cat >/data/back."+side.container)
			back.Stdin = r
			res, err := execstream.Write(t.Context(), e, back, side.opts)
			require.NoError(t, err, "%s %s", transport, name)
			require.Equal(t, want, res)
			require.NoError(t, <-done)
			there, _, _ := strings.Cut(p.run(t, "root", "sha256sum /data/back."+side.container+"; rm /data/back."+side.container), " ")
			require.Equal(t, sum, there)
		}
	}
}

func TestKubeErrors(t *testing.T) {
	p := newKubePod(t)
	for transport, e := range p.transports {
		for name, side := range sides {
			var out, errs bytes.Buffer
			cmd := p.command(side.container, "sh", "-c", "echo all of it; echo why >&2; exit 3")
			cmd.Stdout, cmd.Stderr = &out, &errs
			_, err := execstream.Read(soon(t), e, cmd, side.opts)
			var exit *cluster.ExitError
			require.ErrorAs(t, err, &exit, "%s %s", transport, name)
			require.Equal(t, cluster.ExitError{What: "pod " + p.namespace + "/db, container " + side.container, Code: 3, Tail: "why"}, *exit)
			require.Equal(t, "all of it\n", out.String())
			require.Equal(t, "why\n", errs.String())

			cmd = p.command(side.container, "head", "-c", "10")
			cmd.Stdin = zeros{}
			_, err = execstream.Write(soon(t), e, cmd, side.opts)
			require.ErrorIs(t, err, execstream.ErrTruncated)

			cmd = p.command(side.container, "nosuchprogram")
			_, err = execstream.Read(soon(t), e, cmd, side.opts)
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 127, exit.Code)
		}
		_, err := execstream.Read(soon(t), e, p.command("busybox", "true"), &execstream.Options{Agent: "davit"})
		require.ErrorContains(t, err, "executable file not found", transport)
		cmd := p.command("none", "true")
		_, err = execstream.Read(soon(t), e, cmd, nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, execstream.ErrTruncated)
	}
}

// TestKubeHostGoesAway breaks the connection under commands that would go on: Kubernetes ends none, the far end does.
func TestKubeHostGoesAway(t *testing.T) {
	p := newKubePod(t)
	for transport, e := range p.transports {
		for name, side := range sides {
			for what, text := range unending {
				ctx, cancel := context.WithCancelCause(soon(t))
				cmd := p.command(side.container, "sh", "-c", text)
				cmd.Stderr = &on{f: func() { cancel(errEnough) }}
				_, err := execstream.Read(ctx, e, cmd, side.opts)
				require.ErrorIs(t, err, errEnough, "%s %s %s", transport, name, what)
			}
			ctx, cancel := context.WithCancelCause(soon(t))
			file := "/data/" + filepath.Base(side.container) + "." + transport
			cmd := p.command(side.container, "sh", "-c", "trap '' TERM; echo begun >&2; cat >"+file+".part; : >"+file+".whole")
			cmd.Stdin = io.MultiReader(bytes.NewReader(random(3<<20)), zeros{})
			cmd.Stderr = &on{f: func() { cancel(errEnough) }}
			_, err := execstream.Write(ctx, e, cmd, side.opts)
			require.ErrorIs(t, err, errEnough)
		}
	}
	for _, side := range sides {
		left := ""
		if !waitFor(func() bool { left = p.processes(t, side.container); return left == "" }) {
			require.Empty(t, left, side.container)
		}
	}
	require.Empty(t, p.run(t, "root", "ls /data | grep whole || :"), "a command saw an end of its input")
}

// processes lists those of a container that are neither its own nor those that list them. What was killed and nobody has waited for, since sleep
// is no init, is shown in brackets and left out.
func (p *kubePod) processes(t *testing.T, container string) string {
	t.Helper()
	return p.run(t, container, "ps -o pid,ppid,pgid,args | grep -vE ' (COMMAND|sleep 100000|ps |grep |sh -c ps |\\[)' || :")
}
