//go:build unix

package localcluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

// begin runs a pod in the background and returns when its main container runs.
func begin(t *testing.T, c *Cluster, pod cluster.Pod) (p *podDir, end func() error) {
	t.Helper()
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { err = c.RunPod(t.Context(), pod) })
	require.Eventually(t, func() bool {
		var err error
		p, err = c.findPod(pod.Namespace, pod.Name)
		return err == nil && p.status().running
	}, patience, time.Millisecond)
	return p, func() error { wg.Wait(); return err }
}

func TestPodRemovedBySomebodyElseIsLost(t *testing.T) {
	c := open(t)
	_, end := begin(t, c, task("gone", "sleep 1000", nil))
	require.NoError(t, c.RemovePod(t.Context(), "app", "gone"))
	require.ErrorIs(t, end(), cluster.ErrLost)
}

// A supervisor that is ended alone leaves a command behind, which must not go on once the pod is reported lost.
func TestLostPodGoesOnNoMore(t *testing.T) {
	c := open(t)
	p, end := begin(t, c, task("orphan", "exec env -i sleep 1000", nil))
	require.NoError(t, syscall.Kill(p.session(), syscall.SIGTERM))
	require.ErrorIs(t, end(), cluster.ErrLost)
	pids, err := processes(p.session(), p.mark())
	require.NoError(t, err)
	require.Empty(t, pids)
}

func TestPodsOfWorkloadsAreNotRemovedByName(t *testing.T) {
	c, w := database(t)
	require.ErrorIs(t, c.RemovePod(t.Context(), "app", "db-0"), cluster.ErrInvalid)
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
}

// Folders that a pod has made read-only are removed with it. (The superuser may remove them anyway.)
func TestReadOnlyFoldersAreRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a", "b", "file"), nil, 0o400))
	require.NoError(t, os.Chmod(filepath.Join(dir, "a", "b"), 0o500))
	require.NoError(t, os.Chmod(filepath.Join(dir, "a"), 0))
	require.NoError(t, removeAll(dir))
	require.NoDirExists(t, dir)
}

// A host that dies before a pod is made leaves no credential to stay for ever.
func TestOpenDropsWhatWasNeverMade(t *testing.T) {
	c := open(t)
	dir := c.podPath("app", "half")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "profile.json"), []byte("canary"), 0o600))
	lock, err := tryLock(filepath.Join(dir, "lock"), os.O_CREATE)
	require.NoError(t, err)
	_, err = Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	require.DirExists(t, dir, "another host is making it")
	require.NoError(t, lock.Close())
	_, err = Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	require.NoDirExists(t, dir)
}

// The lock of a file that is no longer there keeps nobody out.
func TestLockOfARemovedFileIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.True(t, names(path, f))
	require.NoError(t, os.Remove(path))
	require.False(t, names(path, f))
	other, err := os.Create(path)
	require.NoError(t, err)
	defer other.Close()
	require.False(t, names(path, f))
}

// Who looks at a lock for a moment does not keep a pod from being removed.
func TestRemovalWaitsForALook(t *testing.T) {
	c := open(t)
	require.NoError(t, c.RunPod(t.Context(), task("seen", "true", nil)))
	p, err := c.findPod("app", "seen")
	require.NoError(t, err)
	var look *os.File
	require.Eventually(t, func() bool { // the supervisor has finished, but may not have ended
		look, err = tryLock(p.file("lock"), 0)
		return err == nil && look != nil
	}, patience, time.Millisecond)
	done := make(chan error, 1)
	go func() { done <- c.RemovePod(t.Context(), "app", "seen") }()
	require.Never(t, func() bool { return len(done) > 0 }, 100*time.Millisecond, 10*time.Millisecond)
	require.NoError(t, look.Close())
	require.NoError(t, <-done)
}

func TestPodsNeedNoPathOfTheCaller(t *testing.T) {
	env := map[string]string{"FOO": "bar"}
	c, err := Open(t.Context(), t.TempDir(), &Options{Env: env})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, c.RunPod(t.Context(), task("path", "echo $FOO; ls / >/dev/null", &out)))
	require.Equal(t, "bar\n", out.String())
	require.Equal(t, map[string]string{"FOO": "bar"}, env)
}

// An object that got another name by a patch would keep the folder from being opened.
func TestPatchKeepsTheIdentity(t *testing.T) {
	c, w := database(t)
	for _, patch := range []string{`{"metadata":{"name":"other"}}`, `{"metadata":{"namespace":"x"}}`, `{"metadata":null}`, `{"kind":"Deployment"}`, `{"metadata":{"uid":"1"}}`} {
		_, err := c.Patch(t.Context(), cluster.Ref{Group: "apps", Resource: "statefulsets", Namespace: "app", Name: "db"}, []byte(patch))
		require.ErrorIs(t, err, cluster.ErrInvalid, patch)
	}
	_, err := Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	_, err = c.Scale(t.Context(), w, maxReplicas+1, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
}

func TestYAMLThatJSONDoesNotHave(t *testing.T) {
	c := open(t)
	require.NoError(t, c.Apply(t.Context(), "x.yaml", []byte(`
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: app, annotations: {day: 2024-01-02, time: 2024-01-02T03:04:05+01:00}}
data: {1: one, true: yes it is, 2024-01-02: day}
`)))
	obj, err := c.Get(t.Context(), cluster.Ref{Kind: "ConfigMap", Namespace: "app", Name: "conf"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"1": "one", "true": "yes it is", "2024-01-02": "day"}, obj["data"])
	annotations := metadata(obj)["annotations"].(map[string]any)
	require.Equal(t, "2024-01-02", annotations["day"])
	require.Equal(t, "2024-01-02T03:04:05+01:00", annotations["time"])
	require.NoError(t, c.Apply(t.Context(), "merge.yaml", []byte(`
apiVersion: v1
kind: ConfigMap
metadata: {name: merged, namespace: app}
data: {<<: &base {a: b}, c: d}
`)))
}

// A workload's pod whose main process has ended is started again, also when it left something in the background.
func TestEndedPodWithABackgroundIsStartedAgain(t *testing.T) {
	c := open(t)
	require.NoError(t, c.Apply(t.Context(), "x.yaml", []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec: {template: {spec: {containers: [{name: c, command: [sh, -c, "sleep 1000 & [ -e $(DAVIT_ROOT)/../../../../again ] && exec sleep 1000"]}]}}}
`)))
	pods, err := c.podsIn("app")
	require.NoError(t, err)
	require.Len(t, pods, 1)
	require.Eventually(t, func() bool { return pods[0].status().ended }, patience, time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "again"), nil, 0o600))
	again, err := Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, again.AwaitScaled(ctx, cluster.Workload{Kind: "Deployment", Namespace: "app", Name: "web"}, 1))
}

// A command that is started while its pod ends does not outlive it.
func TestExecInAPodThatEnds(t *testing.T) {
	c := open(t)
	p, end := begin(t, c, task("ending", "trap '' TERM; while :; do sleep 0.05; done", nil))
	status := p.status()
	require.True(t, status.running)
	done := make(chan error, 1)
	go func() {
		done <- c.Exec(t.Context(), cluster.Command{Namespace: "app", Pod: "ending", Args: []string{"sleep", "1000"}})
	}()
	require.NoError(t, c.RemovePod(t.Context(), "app", "ending"))
	require.Error(t, <-done)
	require.ErrorIs(t, end(), cluster.ErrLost)
	pids, err := processes(0, p.mark())
	require.NoError(t, err)
	require.Empty(t, pids)
}

// After a restart of the machine, locks are free and the numbers in the files are strangers'.
func TestMachineRestarts(t *testing.T) {
	c, w := database(t)
	pod := task("task", "sleep 1000", nil)
	want, err := podFor(pod)
	require.NoError(t, err)
	p, err := c.start(t.Context(), want, nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.status().running }, patience, time.Millisecond)
	pods, err := c.allPods()
	require.NoError(t, err)
	stranger := []byte("1\n")
	for _, p := range pods {
		require.NoError(t, syscall.Kill(-p.session(), syscall.SIGKILL))
		require.Eventually(t, func() bool { pids, err := processes(p.session(), p.mark()); return err == nil && len(pids) == 0 }, patience, time.Millisecond)
		require.NoError(t, os.WriteFile(p.file("pid"), stranger, 0o600))
	}
	again, err := Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	require.NoError(t, again.AwaitScaled(t.Context(), w, 2))
	require.ErrorIs(t, again.RunPod(t.Context(), pod), cluster.ErrLost)
	require.NoError(t, again.RemovePod(t.Context(), "app", "task"))
}

// Two hosts that run one pod at the same time run its command once, and both get its log.
func TestTwoHostsOneCommand(t *testing.T) {
	c := open(t)
	other, err := Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	calls := filepath.Join(t.TempDir(), "calls")
	var wg sync.WaitGroup
	logs := make([]bytes.Buffer, 4)
	errs := make([]error, 4)
	for i := range logs {
		host := []*Cluster{c, other}[i%2]
		wg.Go(func() {
			errs[i] = host.RunPod(t.Context(), task("once", "echo call >> '"+calls+"'; echo out", &logs[i]))
		})
	}
	wg.Wait()
	for i := range logs {
		require.NoError(t, errs[i])
		require.Equal(t, "out\n", logs[i].String())
	}
	data, err := os.ReadFile(calls)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(data), "call"))
}

// What ignores the request to end is killed, also by a host that stalled until all the time for that was over.
func TestCancelledCommandIsKilledLate(t *testing.T) {
	c, _ := database(t)
	c.opts.Grace = 1
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		pid := make(chan string, 1)
		log := writerFunc(func(p []byte) (int, error) {
			pid <- strings.TrimSpace(string(p))
			cancel()
			return len(p), nil
		})
		script := "trap '' TERM; echo $$; sleep 1000; sleep 1000"
		err := c.Exec(ctx, cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"sh", "-c", script}, Stdout: log})
		require.ErrorIs(t, err, context.Canceled)
		_, alive := sessionOf(atoi(t, <-pid))
		require.False(t, alive)
	}
}

func TestCancelledCommandIsAskedOnce(t *testing.T) {
	c, _ := database(t)
	c.opts.Grace = patience
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	log := writerFunc(func(p []byte) (int, error) {
		out.Write(p)
		cancel()
		return len(p), nil
	})
	// it goes on for a while after it was asked, in which it could be asked again
	script := `trap 'echo asked; asked=1' TERM; echo ready; n=0; while [ $n -lt 30 ]; do sleep 0.01; [ "$asked" ] && n=$((n + 1)); done`
	err := c.Exec(ctx, cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"sh", "-c", script}, Stdout: log})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "ready\nasked\n", out.String())
}
