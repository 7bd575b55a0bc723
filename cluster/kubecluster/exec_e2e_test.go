//go:build e2e

package kubecluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// execRules are all that Exec needs.
func execRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{rule("", "pods", "get"), rule("", "pods/exec", "get create")}
}

// transports are the ways to exec.
var transports = map[string]transport{"websocket": webSocketOnly, "spdy": spdyOnly, "default": webSocketFirst}

// sleeper is a pod whose containers sleep.
func sleeper(name string, containers ...string) map[string]any {
	var list []any
	for _, c := range containers {
		list = append(list, map[string]any{"name": c, "image": testcluster.BusyboxImage, "imagePullPolicy": "Never", "command": []any{"sleep", "3600"},
			"env": []any{map[string]any{"name": "WHERE", "value": c}}})
	}
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": list}}
}

// start creates a pod and waits until it runs.
func start(t *testing.T, tc *testcluster.Client, ns string, pod map[string]any) string {
	t.Helper()
	ref, err := bind(t, tc.Config).Create(t.Context(), pod, ns, "t")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p, err := tc.CoreV1().Pods(ns).Get(t.Context(), ref.Name, metav1.GetOptions{})
		require.NoError(t, err)
		return p.Status.Phase == "Running"
	}, time.Minute, 50*time.Millisecond, "pod runs")
	return ref.Name
}

// execs runs the test through each transport with no more permission than it needs.
func execs(t *testing.T, pod map[string]any, test func(t *testing.T, c *Cluster, at cluster.Command)) {
	t.Helper()
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	at := cluster.Command{Namespace: ns, Pod: start(t, tc, ns, pod)}
	config := tc.As(t, ns, execRules())
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			c := bind(t, config)
			c.exec.transport = transport
			test(t, c, at)
		})
	}
}

func shell(at cluster.Command, script string) cluster.Command {
	at.Args = []string{"sh", "-c", script}
	return at
}

func TestExecStreamsAndCodes(t *testing.T) {
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		var stdout, stderr bytes.Buffer
		cmd := shell(at, `echo "$0 in $WHERE"; cat; echo done >&2`)
		cmd.Args = append(cmd.Args, "a b 'c' \"d\" $e")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("typed"), &stdout, &stderr
		require.NoError(t, c.Exec(t.Context(), cmd))
		require.Equal(t, "a b 'c' \"d\" $e in main\ntyped", stdout.String())
		require.Equal(t, "done\n", stderr.String())

		// No input is the end of input; output that nobody wants is dropped.
		stdout.Reset()
		cmd = shell(at, "cat; echo end; echo dropped >&2")
		cmd.Stdout = &stdout
		require.NoError(t, c.Exec(t.Context(), cmd))
		require.Equal(t, "end\n", stdout.String())
		require.NoError(t, c.Exec(t.Context(), shell(at, "echo a; echo b >&2")))

		for script, code := range map[string]int{"exit 1": 1, "exit 42": 42, "exit 255": 255, "kill -9 $$": 137, "kill -15 $$": 143} {
			err := c.Exec(t.Context(), shell(at, "echo out; echo why >&2; "+script))
			exit, ok := errors.AsType[*cluster.ExitError](err)
			require.True(t, ok, "%s: %v", script, err)
			require.Equal(t, &cluster.ExitError{What: fmt.Sprintf("pod %s/p, container main", at.Namespace), Code: code, Tail: "why"}, exit)
		}
		err := c.Exec(t.Context(), shell(at, "seq 1 100000 >&2; exit 3"))
		exit, ok := errors.AsType[*cluster.ExitError](err)
		require.True(t, ok, "%v", err)
		require.LessOrEqual(t, len(exit.Tail), 4096)
		require.True(t, strings.HasSuffix(exit.Tail, "\n99999\n100000"), exit.Tail[len(exit.Tail)-20:])
		require.Regexp(t, `^\d{5}\n`, exit.Tail, "whole lines")

		at.Args = []string{"no-such-program"}
		err = c.Exec(t.Context(), at)
		require.Error(t, err)
		require.ErrorContains(t, err, "no-such-program")
		t.Log(err)
	})
}

func TestExecContainers(t *testing.T) {
	pod := sleeper("p", "one", "two")
	init := sleeper("", "init")["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	init["restartPolicy"] = "Always"
	pod["spec"].(map[string]any)["initContainers"] = []any{init}
	execs(t, pod, func(t *testing.T, c *Cluster, at cluster.Command) {
		cmd := shell(at, "echo $WHERE")
		err := c.Exec(t.Context(), cmd)
		require.ErrorIs(t, err, cluster.ErrAmbiguous)
		require.ErrorContains(t, err, "one, two")
		for _, name := range []string{"one", "two", "init"} {
			var stdout bytes.Buffer
			cmd.Container, cmd.Stdout = name, &stdout
			require.NoError(t, c.Exec(t.Context(), cmd))
			require.Equal(t, name+"\n", stdout.String())
		}
		cmd.Container = "three"
		err = c.Exec(t.Context(), cmd)
		require.ErrorIs(t, err, cluster.ErrNotFound)
		require.ErrorContains(t, err, "it has one, two, init")
		cmd.Container, cmd.Pod = "", "absent"
		err = c.Exec(t.Context(), cmd)
		require.ErrorIs(t, err, cluster.ErrNotFound)
		require.ErrorContains(t, err, at.Namespace+"/absent")
		for _, cmd := range []cluster.Command{at, {Pod: "p", Args: []string{"true"}}, {Namespace: at.Namespace, Args: []string{"true"}}} {
			require.ErrorIs(t, c.Exec(t.Context(), cmd), cluster.ErrInvalid)
		}
	})
}

func TestExecDefaultContainer(t *testing.T) {
	pod := sleeper("p", "one", "two")
	pod["metadata"].(map[string]any)["annotations"] = map[string]any{defaultContainer: "two"}
	execs(t, pod, func(t *testing.T, c *Cluster, at cluster.Command) {
		var stdout bytes.Buffer
		cmd := shell(at, "echo $WHERE")
		cmd.Stdout = &stdout
		require.NoError(t, c.Exec(t.Context(), cmd))
		require.Equal(t, "two\n", stdout.String())
	})
}

func TestExecInAnEphemeralContainer(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	start(t, tc, ns, sleeper("p", "main"))
	_, err := tc.CoreV1().Pods(ns).Patch(t.Context(), "p", "application/strategic-merge-patch+json", []byte(`{"spec":{"ephemeralContainers":[
		{"name":"debug","image":"`+testcluster.BusyboxImage+`","imagePullPolicy":"Never","command":["sleep","3600"]}]}}`), metav1.PatchOptions{}, "ephemeralcontainers")
	require.NoError(t, err)
	c := bind(t, tc.As(t, ns, execRules()))
	require.Eventually(t, func() bool {
		err := c.Exec(t.Context(), cluster.Command{Namespace: ns, Pod: "p", Container: "debug", Args: []string{"true"}})
		if err != nil {
			require.ErrorIs(t, err, cluster.ErrNotRunning)
		}
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	require.NoError(t, c.Exec(t.Context(), cluster.Command{Namespace: ns, Pod: "p", Args: []string{"true"}}), "the pod has one regular container")
}

func TestExecWhereNothingRuns(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, admin := bind(t, tc.As(t, ns, execRules())), bind(t, tc.Config)
	crash := sleeper("crash", "main")
	crash["spec"].(map[string]any)["restartPolicy"] = "Always"
	crash["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["command"] = []any{"sh", "-c", "exit 7"}
	ended := sleeper("ended", "main")
	ended["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["command"] = []any{"sh", "-c", "exit 8"}
	image := sleeper("image", "main")
	image["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "localhost/absent:1"
	nowhere := sleeper("nowhere", "main")
	nowhere["spec"].(map[string]any)["nodeSelector"] = map[string]any{"no": "such-node"}
	half := sleeper("half", "main", "gone")
	half["spec"].(map[string]any)["containers"].([]any)[1].(map[string]any)["command"] = []any{"true"}
	for _, pod := range []map[string]any{crash, ended, image, nowhere, half} {
		_, err := admin.Create(t.Context(), pod, ns, "t")
		require.NoError(t, err)
	}
	for pod, want := range map[string]string{
		"crash":   "is waiting: CrashLoopBackOff",
		"ended":   "it has terminated: Error, exit code 8",
		"image":   "is waiting: ErrImageNeverPull",
		"nowhere": "the pod is Pending: Unschedulable: 0/1 nodes are available",
	} {
		require.EventuallyWithT(t, func(check *assert.CollectT) {
			err := c.Exec(t.Context(), cluster.Command{Namespace: ns, Pod: pod, Args: []string{"sleep", "0.1"}})
			require.ErrorIs(check, err, cluster.ErrNotRunning)
			require.ErrorContains(check, err, want)
		}, time.Minute, 100*time.Millisecond, pod)
	}
	require.EventuallyWithT(t, func(check *assert.CollectT) {
		require.NoError(check, c.Exec(t.Context(), cluster.Command{Namespace: ns, Pod: "half", Container: "main", Args: []string{"true"}}))
		err := c.Exec(t.Context(), cluster.Command{Namespace: ns, Pod: "half", Container: "gone", Args: []string{"true"}})
		require.ErrorIs(check, err, cluster.ErrNotRunning)
		require.ErrorContains(check, err, "Completed, exit code 0")
	}, time.Minute, 100*time.Millisecond)
}

func TestExecDenied(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	at := cluster.Command{Namespace: ns, Pod: start(t, tc, ns, sleeper("p", "main")), Args: []string{"true"}}
	for name, tt := range map[string]struct {
		rules []rbacv1.PolicyRule
		want  string
	}{
		"nothing":         {nil, `cannot get resource "pods"`},
		"no exec":         {[]rbacv1.PolicyRule{rule("", "pods", "get")}, "pods/exec"},
		"create, not get": {[]rbacv1.PolicyRule{rule("", "pods", "get"), rule("", "pods/exec", "create")}, `cannot get resource "pods/exec"`},
		"get, not create": {[]rbacv1.PolicyRule{rule("", "pods", "get"), rule("", "pods/exec", "get")}, "get and create on pods/exec are needed"},
	} {
		config := tc.As(t, ns, tt.rules)
		for how, transport := range transports {
			c := bind(t, config)
			c.exec.transport = transport
			err := c.Exec(t.Context(), at)
			if name == "create, not get" && how == "spdy" {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, cluster.ErrDenied, "%s, %s", name, how)
			if how != "spdy" {
				require.ErrorContains(t, err, tt.want)
			}
			t.Log(name, how, err)
		}
	}
}

// throttled takes so many bytes a second.
type throttled struct {
	to    io.Writer
	rate  int
	n     int
	begin time.Time
}

func (s *throttled) Write(p []byte) (int, error) {
	if s.begin.IsZero() {
		s.begin = time.Now()
	}
	s.n += len(p)
	time.Sleep(time.Until(s.begin.Add(time.Duration(s.n) * time.Second / time.Duration(s.rate))))
	return s.to.Write(p)
}

// TestExecBigOutput moves 100 MiB, which are there at once, to a reader that takes 10 MiB/s. Nothing may be damaged or come twice; that the end is missing is known
// to happen (kubernetes#124571), and is what verified streams are for: how much there was is logged.
func TestExecBigOutput(t *testing.T) {
	const size = 100 << 20
	line := []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n")
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		require.NoError(t, c.Exec(t.Context(), shell(at, fmt.Sprintf("test -f /tmp/big || yes %s | head -c %d > /tmp/big", bytes.TrimSpace(line), size))))
		pattern := &repeated{line: line}
		c.exec.pulse.every = 100 * time.Millisecond // no ping may come between the end of the command and that of its output
		cmd := shell(at, "cat /tmp/big")
		cmd.Stdout = &throttled{to: pattern, rate: 10 << 20}
		begin := time.Now()
		require.NoError(t, c.Exec(t.Context(), cmd))
		require.NoError(t, pattern.err)
		t.Logf("%d of %d bytes in %s; missing at the end: %d", pattern.n, size, time.Since(begin), size-pattern.n)
		require.LessOrEqual(t, pattern.n, size)
		require.Greater(t, pattern.n, size*9/10)
	})
}

// repeated checks that what is written is a line again and again.
type repeated struct {
	line []byte
	n    int
	err  error
}

func (r *repeated) Write(p []byte) (int, error) {
	for i, b := range p {
		if want := r.line[(r.n+i)%len(r.line)]; b != want && r.err == nil {
			r.err = fmt.Errorf("byte %d is %q, want %q", r.n+i, b, want)
		}
	}
	r.n += len(p)
	return len(p), nil
}

func TestExecBigInput(t *testing.T) {
	data := make([]byte, 40<<20)
	source := rand.NewChaCha8([32]byte{7})
	_, _ = source.Read(data)
	sum := sha256.Sum256(data)
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		var stdout bytes.Buffer
		cmd := shell(at, "sleep 1; sha256sum")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(data), &stdout
		require.NoError(t, c.Exec(t.Context(), cmd))
		require.Equal(t, hex.EncodeToString(sum[:])+"  -\n", stdout.String())

		// Both directions at once.
		stdout.Reset()
		cmd = shell(at, "cat")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(data[:8<<20]), &stdout
		require.NoError(t, c.Exec(t.Context(), cmd))
		require.True(t, bytes.HasPrefix(data, stdout.Bytes()))
		t.Logf("%d of %d bytes came back", stdout.Len(), 8<<20)
		require.Greater(t, stdout.Len(), 7<<20)
	})
}

// A command that does not read its input ends all the same, when the input never comes or is not much. Much of it keeps the container runtime from
// reporting the end (seen in containerd 1.6, with kubectl as well): that lasts until ctx ends.
func TestExecInputThatNobodyReads(t *testing.T) {
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		never, _ := io.Pipe()
		for name, stdin := range map[string]io.Reader{"never comes": never, "100 KB, and no end": io.MultiReader(bytes.NewReader(make([]byte, 100_000)), never)} {
			cmd := shell(at, "sleep 0.3; exit 5")
			cmd.Stdin = stdin
			err := c.Exec(within(t, time.Minute), cmd)
			exit, ok := errors.AsType[*cluster.ExitError](err)
			require.True(t, ok, "%s: %v", name, err)
			require.Equal(t, 5, exit.Code)
		}
		begin := time.Now()
		cmd := shell(at, "sleep 0.3; exit 5")
		cmd.Stdin = unending{}
		err := c.Exec(within(t, 3*time.Second), cmd)
		t.Log(err)
		require.Error(t, err)
		require.Less(t, time.Since(begin), time.Minute)
	})
}

type unending struct{}

func (unending) Read(p []byte) (int, error) { return len(p), nil }

// writesSeen counts Writes that begin after the end.
type writesSeen struct {
	mu    sync.Mutex
	n     int
	after bool
	fail  error
	// first is called by the first Write.
	first func()
}

func (w *writesSeen) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.after {
		panic("a Write began after the end of Exec")
	}
	if w.first != nil && w.n == 0 {
		w.first()
	}
	if w.n += len(p); w.fail != nil {
		return 0, w.fail
	}
	return len(p), nil
}

func (w *writesSeen) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after = true
}

func TestExecCancelled(t *testing.T) {
	why := errors.New("the run was cancelled")
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		for _, script := range []string{"echo begun; sleep 600", "yes", "exec yes >&2"} {
			ctx, cancel := context.WithCancelCause(t.Context())
			out := &writesSeen{first: func() { time.AfterFunc(200*time.Millisecond, func() { cancel(why) }) }}
			cmd := shell(at, script)
			cmd.Stdout, cmd.Stderr = out, out
			begun := time.Now()
			err := c.Exec(ctx, cmd)
			out.end()
			require.ErrorIs(t, err, why)
			require.ErrorContains(t, err, "it may run on")
			require.Less(t, time.Since(begun), time.Minute, script)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		require.Equal(t, why, c.Exec(ctx, shell(at, "true")), "nothing was begun")

		// A writer that hangs does not hold it up either.
		ctx, cancel = context.WithCancelCause(t.Context())
		_, stuck := io.Pipe()
		cmd := shell(at, "yes")
		cmd.Stdout = io.MultiWriter(&writesSeen{first: func() { time.AfterFunc(200*time.Millisecond, func() { cancel(why) }) }}, stuck)
		begun := time.Now()
		require.ErrorIs(t, c.Exec(ctx, cmd), why)
		require.Less(t, time.Since(begun), time.Minute)
	})
}

// What becomes of the process: one that writes nothing runs on to its own end. One that writes ends, or (containerd) is held up by its output, which nobody takes any more.
func TestExecCancelledAndTheProcess(t *testing.T) {
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		count := func(args string) string {
			var out bytes.Buffer
			// Some programs of busybox are shown as those that began them.
			cmd := shell(at, fmt.Sprintf("ps -o args | grep -c '[%c]%s$' || true", args[0], args[1:]))
			cmd.Stdout = &out
			if err := c.Exec(t.Context(), cmd); err != nil {
				return err.Error()
			}
			return strings.TrimSpace(out.String())
		}
		mark := fmt.Sprint(10000 + rand.IntN(9000))
		for _, args := range []string{"sleep " + mark, "yes " + mark} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cmd := shell(at, "exec "+args)
			cmd.Stdout = &throttled{to: io.Discard, rate: 1 << 20} // so that the machine has time for others
			done := make(chan error, 1)
			go func() { done <- c.Exec(ctx, cmd) }()
			require.Eventually(t, func() bool { return count(args) == "1" }, time.Minute, 100*time.Millisecond)
			cancel()
			require.ErrorIs(t, <-done, context.Canceled)
		}
		require.Equal(t, "1", count("sleep "+mark))
		t.Log("of those that write, there are", count("yes "+mark))
	})
}

func TestExecWriterFails(t *testing.T) {
	full := errors.New("disk full")
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		for _, script := range []string{"yes", "yes >&2", "echo once; sleep 600", "echo once; exit 0"} {
			out := &writesSeen{fail: full}
			cmd := shell(at, script)
			cmd.Stdout, cmd.Stderr = out, out
			err := c.Exec(within(t, time.Minute), cmd)
			out.end()
			require.ErrorIs(t, err, full, script)
			require.ErrorContains(t, err, "pod "+at.Namespace+"/p, container main: take the command's output: disk full")
		}
	})
}

// faulty yields some bytes and then an error.
type faulty struct {
	r   io.Reader
	err error
}

func (f faulty) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func TestExecReaderFails(t *testing.T) {
	broken := errors.New("source broken")
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		cmd := shell(at, "cat >/dev/null; echo took the half for the whole")
		cmd.Stdin, cmd.Stdout = faulty{strings.NewReader("half"), broken}, io.Discard
		err := c.Exec(within(t, time.Minute), cmd)
		require.ErrorIs(t, err, broken)
	})
}
