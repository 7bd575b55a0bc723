//go:build unix

package localcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

const manifests = `
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: app}
stringData: {password: "it's a secret"}
data: {user: cm9vdA==}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: app}
data: {mode: fast}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared, namespace: app}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app, labels: {app: db}}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: db}}
    spec:
      initContainers:
      - {name: init, command: [sh, -c, "echo made by init > data/init"], volumeMounts: [{name: data, mountPath: /data}]}
      containers:
      - name: server
        command: [sh, -c, 'echo "$PASSWORD" > data/pw; exec sleep 1000']
        env:
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
        - {name: SELF, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        envFrom: [{configMapRef: {name: conf}}]
        volumeMounts: [{name: data, mountPath: /data}, {name: secret, mountPath: /etc/db}]
      volumes: [{name: secret, secret: {secretName: db}}]
  volumeClaimTemplates: [{metadata: {name: data}}]
`

// patience is how long a test waits for what happens at once on a machine that has time. What these tests run lasts much longer by itself.
const patience = 2 * time.Minute

func open(t *testing.T) *Cluster {
	t.Helper()
	c, err := Open(t.Context(), t.TempDir(), &Options{Grace: 300 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() {
		pods, err := c.allPods()
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, c.Down(ctx))
		for _, p := range pods {
			pids, err := processes(0, markName+"="+p.uid())
			require.NoError(t, err)
			require.Empty(t, pids, "processes left behind")
		}
	})
	return c
}

func database(t *testing.T) (*Cluster, cluster.Workload) {
	c := open(t)
	require.NoError(t, c.Apply(t.Context(), "db.yaml", []byte(manifests)))
	w := cluster.Workload{Kind: "statefulset", Namespace: "app", Name: "db"}
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
	return c, w
}

func run(c *Cluster, pod, script string, args ...string) (string, string, error) {
	var out, errs bytes.Buffer
	err := c.Exec(context.Background(), cluster.Command{Namespace: "app", Pod: pod, Args: append([]string{"sh", "-c", script, "sh"}, args...), Stdout: &out, Stderr: &errs})
	return out.String(), errs.String(), err
}

func TestWorkloadRunsWithItsVolumesAndEnvironment(t *testing.T) {
	c, w := database(t)
	require.Eventually(t, func() bool {
		out, _, err := run(c, "db-1", "cat data/pw")
		return err == nil && out == "it's a secret\n"
	}, patience, 10*time.Millisecond)
	out, errs, err := run(c, "db-1", `cat data/init etc/db/user; echo " $SELF $mode $HOSTNAME $1"; cat "$DAVIT_ROOT/data/init"; echo oops >&2; exit 3`, "a 'b'")
	var exit *cluster.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 3, exit.Code)
	require.Equal(t, "made by init\nroot db-1 fast db-1 a 'b'\nmade by init\n", out)
	require.Equal(t, "oops\n", errs)

	pods, err := c.WorkloadPods(t.Context(), w)
	require.NoError(t, err)
	require.Len(t, pods, 2)
	require.Equal(t, "db-0", pods[0].Name)
	require.Equal(t, []string{"server"}, pods[0].Containers)
	require.Equal(t, map[string]string{"data-db-0": "/data"}, pods[0].Claims)
	require.False(t, pods[0].Started.IsZero())
}

func TestHostEnvironmentStaysOutside(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	c, _ := database(t)
	out, _, err := run(c, "db-0", "env")
	require.NoError(t, err)
	require.NotContains(t, out, "canary")
}

func TestExecStreamsAndErrors(t *testing.T) {
	c, _ := database(t)
	ctx := t.Context()
	var out bytes.Buffer
	require.NoError(t, c.Exec(ctx, cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"cat"}, Stdin: strings.NewReader("hello"), Stdout: &out}))
	require.Equal(t, "hello", out.String())
	// a command that does not read its input does not hang on it
	pr, pw := io.Pipe()
	defer pw.Close()
	require.NoError(t, c.Exec(ctx, cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"true"}, Stdin: pr}))

	for want, cmd := range map[error]cluster.Command{
		cluster.ErrNotFound: {Namespace: "app", Pod: "nope", Args: []string{"true"}},
		cluster.ErrInvalid:  {Namespace: "app", Pod: "db-0"},
	} {
		require.ErrorIs(t, c.Exec(ctx, cmd), want)
	}
	err := c.Exec(ctx, cluster.Command{Namespace: "app", Pod: "db-0", Container: "web", Args: []string{"true"}})
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorContains(t, err, `pod app/db-0 has no container "web"; it has server`)
	require.ErrorIs(t, c.Exec(ctx, cluster.Command{Namespace: "../..", Pod: "x", Args: []string{"true"}}), cluster.ErrNotFound)

	failing := errors.New("reader is full")
	err = c.Exec(ctx, cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"yes"}, Stdout: failingWriter{failing}})
	require.Error(t, err)

	cancelled, cancel := context.WithCancelCause(ctx)
	stop := errors.New("stop it")
	go cancel(stop)
	require.ErrorIs(t, c.Exec(cancelled, cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"sh", "-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"}}), stop)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestScaleRemembersTheOriginal(t *testing.T) {
	c, w := database(t)
	ctx := t.Context()
	for range 2 { // the second call is that of a host that took over
		original, err := c.Scale(ctx, w, 0, "run-1-down")
		require.NoError(t, err)
		require.Equal(t, int32(2), original)
		require.NoError(t, c.AwaitScaled(ctx, w, 0))
	}
	original, err := c.Scale(ctx, w, 1, "run-1-up")
	require.NoError(t, err)
	require.Zero(t, original)
	require.NoError(t, c.AwaitScaled(ctx, w, 1))
	obj, err := c.Get(ctx, cluster.Ref{Kind: "StatefulSet", Namespace: "app", Name: "db"})
	require.NoError(t, err)
	require.InEpsilon(t, 1, obj["status"].(map[string]any)["readyReplicas"], 0)
	_, err = c.Scale(ctx, cluster.Workload{Kind: "StatefulSet", Namespace: "app", Name: "x"}, 1, "t")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	_, err = c.Scale(ctx, cluster.Workload{Kind: "DaemonSet", Namespace: "app", Name: "db"}, 1, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
}

func TestReopenFindsWhatRuns(t *testing.T) {
	c, w := database(t)
	before, err := c.WorkloadPods(t.Context(), w)
	require.NoError(t, err)
	again, err := Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	after, err := again.WorkloadPods(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, before, after)
	// what was killed is started again
	p, err := c.findPod("app", "db-0")
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(-p.session(), syscall.SIGKILL))
	require.Eventually(t, func() bool { return p.status().lost }, patience, time.Millisecond)
	_, err = Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
}

func task(name, script string, log io.Writer) cluster.Pod {
	return cluster.Pod{Name: name, Namespace: "app", Command: []string{"sh", "-c", script}, Labels: map[string]string{"run": "r1"}, Log: log}
}

func TestRunPod(t *testing.T) {
	c, _ := database(t)
	var out bytes.Buffer
	pod := task("ok", `echo out; echo err >&2; cat "$DAVIT_PROFILE_FILE"; echo; stat -c %a "$DAVIT_PROFILE_FILE"; ls shared; echo $EXTRA`, &out)
	pod.Profile = []byte(`{"Location":{}}`)
	pod.Claims = map[string]string{"shared": "/shared"}
	pod.Override = map[string]any{"containers": []any{map[string]any{"name": "container", "env": []any{map[string]any{"name": "EXTRA", "value": "more"}}}}}
	require.NoError(t, c.RunPod(t.Context(), pod))
	require.Equal(t, "out\nerr\n{\"Location\":{}}\n600\nmore\n", out.String())
	out.Reset()
	require.NoError(t, c.RunPod(t.Context(), pod), "a host that comes next gets the result again")
	require.Equal(t, "out\nerr\n{\"Location\":{}}\n600\nmore\n", out.String())
	require.NoError(t, c.RemovePod(t.Context(), "app", "ok"))
	require.NoError(t, c.RemovePod(t.Context(), "app", "ok"))
	require.NoDirExists(t, c.podPath("app", "ok"))

	err := c.RunPod(t.Context(), task("bad", "echo last words; exit 7", nil))
	var exit *cluster.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, cluster.ExitError{What: "pod app/bad, container container", Code: 7, Tail: "last words\n"}, *exit)

	err = c.RunPod(t.Context(), task("killed", "kill -9 $$$$", nil)) // $$ is $ in a command, as in Kubernetes
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 137, exit.Code)

	pod = task("mounts", "true", nil)
	pod.Claims = map[string]string{"absent": "/x"}
	require.ErrorIs(t, c.RunPod(t.Context(), pod), cluster.ErrNotFound)
	for name, override := range map[string]map[string]any{
		"hostPath":    {"volumes": []any{map[string]any{"name": "h", "hostPath": map[string]any{"path": "/"}}}},
		"hostNetwork": {"hostNetwork": true},
		"privileged":  {"containers": []any{map[string]any{"name": "container", "securityContext": map[string]any{"privileged": true}}}},
		"nonsense":    {"containers": "x"},
		"outside":     {"containers": []any{map[string]any{"name": "container", "workingDir": "../.."}}},
	} {
		pod := task("refused", "true", nil)
		pod.Override = override
		require.ErrorIs(t, c.RunPod(t.Context(), pod), cluster.ErrInvalid, name)
	}
	for _, name := range []string{"", "../x", "a/b", "UPPER", strings.Repeat("x", 64)} {
		require.ErrorIs(t, c.RunPod(t.Context(), task(name, "true", nil)), cluster.ErrInvalid)
	}
	pods, err := c.podsIn("app")
	require.NoError(t, err)
	require.Len(t, pods, 4, "the database, and two that have ended and were not removed")
}

// The supervisor's command line holds no secret of the command.
func TestCommandsStayOffOtherCommandLines(t *testing.T) {
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		pod := task("secret", "", nil)
		pod.Command = []string{"sh", "-c", "sleep 1000; :", "canary"}
		_ = c.RunPod(ctx, pod)
	})
	require.Eventually(t, func() bool { p, err := c.findPod("app", "secret"); return err == nil && p.has("pid") }, patience, time.Millisecond)
	p, err := c.findPod("app", "secret")
	require.NoError(t, err)
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.session()))
	require.NoError(t, err)
	require.NotContains(t, string(line), "canary")
	cancel()
	wg.Wait()
}

func TestCancelEndsEverythingThePodStarted(t *testing.T) {
	c := open(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.ReadAtLeast(pr, make([]byte, 6), 6)
		cancel(stop)
	}()
	// one child ignores the request, one leaves the session
	err := c.RunPod(ctx, task("stubborn", "trap '' TERM; setsid sleep 1000 & (trap '' TERM; sleep 1000) & echo ready; wait; sleep 1000", pw))
	require.ErrorIs(t, err, stop)
	require.NoDirExists(t, c.podPath("app", "stubborn"))

	failing := errors.New("log is full")
	require.ErrorIs(t, c.RunPod(t.Context(), task("chatty", "yes", failingWriter{failing})), failing)
	require.NoDirExists(t, c.podPath("app", "chatty"))
}

func TestCancelledCallRemovesWhatAnEarlierHostLeft(t *testing.T) {
	c := open(t)
	pod := task("left", "sleep 1000", nil)
	want, err := podFor(pod)
	require.NoError(t, err)
	_, err = c.start(t.Context(), want, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.RunPod(ctx, pod), context.Canceled)
	require.NoDirExists(t, c.podPath("app", "left"))
}

func TestForeignPodIsNotAdopted(t *testing.T) {
	c := open(t)
	other := task("same", "sleep 1000", nil)
	other.Labels = map[string]string{"run": "r2"}
	want, err := podFor(other)
	require.NoError(t, err)
	_, err = c.start(t.Context(), want, nil)
	require.NoError(t, err)
	err = c.RunPod(t.Context(), task("same", "true", nil))
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, "its labels are map[run:r2]")
	left, err := c.Sweep(t.Context(), map[string]string{"run": "r1"})
	require.NoError(t, err)
	require.Empty(t, left)
	require.DirExists(t, c.podPath("app", "same"))
	_, err = c.Sweep(t.Context(), map[string]string{"run": "r2"})
	require.NoError(t, err)
	require.NoDirExists(t, c.podPath("app", "same"))
}

func TestLostPod(t *testing.T) {
	c := open(t)
	var wg sync.WaitGroup
	var got error
	wg.Go(func() { got = c.RunPod(t.Context(), task("lost", "sleep 1000", nil)) })
	require.Eventually(t, func() bool { p, err := c.findPod("app", "lost"); return err == nil && p.has("pid") }, patience, time.Millisecond)
	p, err := c.findPod("app", "lost")
	require.NoError(t, err)
	pids, err := processes(p.session(), p.mark())
	require.NoError(t, err)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	wg.Wait()
	require.ErrorIs(t, got, cluster.ErrLost)
}

// A log of any length is copied whole, in bounded memory, at the reader's pace.
func TestLongLog(t *testing.T) {
	c := open(t)
	var n int64
	require.NoError(t, c.RunPod(t.Context(), task("long", "head -c 67108864 /dev/zero", writerFunc(func(p []byte) (int, error) {
		if len(p) > copyBuffer {
			return 0, fmt.Errorf("%d bytes at once", len(p))
		}
		n += int64(len(p))
		return len(p), nil
	}))))
	require.Equal(t, int64(64<<20), n)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestGetAndPatch(t *testing.T) {
	c, w := database(t)
	ctx := t.Context()
	secret, err := c.Get(ctx, cluster.Ref{APIVersion: "v1", Resource: "secrets", Namespace: "app", Name: "db"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"user": "cm9vdA==", "password": "aXQncyBhIHNlY3JldA=="}, secret["data"])
	claim, err := c.Get(ctx, cluster.Ref{Kind: "PersistentVolumeClaim", Namespace: "app", Name: "data-db-1"})
	require.NoError(t, err)
	require.Equal(t, "Bound", claim["status"].(map[string]any)["phase"])
	pod, err := c.Get(ctx, cluster.Ref{APIVersion: "v1", Resource: "pods", Namespace: "app", Name: "db-0"})
	require.NoError(t, err)
	require.Equal(t, "Running", pod["status"].(map[string]any)["phase"])
	_, err = c.Get(ctx, cluster.Ref{Resource: "secrets", Namespace: "app", Name: "nope"})
	require.ErrorIs(t, err, cluster.ErrNotFound)
	_, err = c.Get(ctx, cluster.Ref{Resource: "secrets", Namespace: "../../..", Name: "db"})
	require.ErrorIs(t, err, cluster.ErrNotFound)

	ref := cluster.Ref{Group: "apps", Resource: "statefulsets", Namespace: "app", Name: "db"}
	before, err := c.Get(ctx, ref)
	require.NoError(t, err)
	after, err := c.Patch(ctx, ref, []byte(`{"spec":{"replicas":1},"metadata":{"labels":{"app":null,"tier":"gold"}}}`))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"tier": "gold"}, metadata(after)["labels"])
	require.Equal(t, metadata(before)["uid"], metadata(after)["uid"])
	require.NoError(t, c.AwaitScaled(ctx, w, 1))
	_, err = c.Patch(ctx, ref, []byte(`[]`))
	require.ErrorIs(t, err, cluster.ErrInvalid)
}

func TestApplyReportsAllFaultsAndStoresNothing(t *testing.T) {
	c := open(t)
	err := c.Apply(t.Context(), "bad.yaml", []byte(`
apiVersion: v1
kind: ConfigMap
metadata: {name: good, namespace: app}
---
kind: Secret
metadata: {name: x}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec: {template: {spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: "../p", namespace: app}
`))
	require.ErrorIs(t, err, cluster.ErrInvalid)
	for _, want := range []string{"bad.yaml:6: apiVersion and kind are required", `bad.yaml:9: `, "images are not used here", `bad.yaml:14: Pod "../p"`} {
		require.ErrorContains(t, err, want)
	}
	_, err = c.Get(t.Context(), cluster.Ref{Kind: "ConfigMap", Namespace: "app", Name: "good"})
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorIs(t, c.Apply(t.Context(), "x", []byte("a: [")), cluster.ErrInvalid)
}

// Hosts are killed at every point of a pod's life; the command runs once and its log and result are whole.
func TestKilledHostsLoseNothing(t *testing.T) {
	for _, delay := range []time.Duration{0, 3 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			c := open(t)
			calls := filepath.Join(t.TempDir(), "calls")
			host := exec.Command(os.Args[0])
			host.Env = append(os.Environ(), "LOCALCLUSTER_HOST="+c.dir, "CALLS="+calls)
			require.NoError(t, host.Start())
			time.Sleep(delay) // the point of the kill, not a wait for something
			require.NoError(t, host.Process.Kill())
			_ = host.Wait()
			var out bytes.Buffer
			err := c.RunPod(t.Context(), hostTask(calls, &out))
			lines, rerr := os.ReadFile(calls)
			require.NoError(t, rerr)
			var exit *cluster.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 5, exit.Code)
			require.Equal(t, "call\n", string(lines))
			require.Equal(t, "begin\n"+strings.Repeat("x", 100000)+"\nend\n", out.String())
		})
	}
}

func hostTask(calls string, log io.Writer) cluster.Pod {
	return task("task", fmt.Sprintf(`echo call >> '%s'; echo begin; head -c 100000 /dev/zero | tr '\0' x; echo; sleep 0.8; echo end; exit 5`, calls), log)
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("LOCALCLUSTER_HOST"); dir != "" {
		c, err := Open(context.Background(), dir, nil)
		if err == nil {
			err = c.RunPod(context.Background(), hostTask(os.Getenv("CALLS"), io.Discard))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}
