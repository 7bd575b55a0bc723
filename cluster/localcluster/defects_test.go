//go:build unix

package localcluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

// A folder is removed in one step: what is left after a crash is a whole pod or none.
func TestRemovalIsOneStep(t *testing.T) {
	c := open(t)
	require.NoError(t, os.MkdirAll(filepath.Join(c.dir, "trash", "half", "c"), 0o700))
	_, err := Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	entries, err := os.ReadDir(filepath.Join(c.dir, "trash"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestFailingInputIsNoEndOfInput(t *testing.T) {
	c, _ := database(t)
	broken := errors.New("source is gone")
	input := io.MultiReader(strings.NewReader("half"), errReader{broken})
	var out bytes.Buffer
	err := c.Exec(t.Context(), cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"sh", "-c", "cat; echo end"}, Stdin: input, Stdout: &out})
	require.ErrorIs(t, err, broken)
	require.NotContains(t, out.String(), "end")
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestFailingWriterEndsAQuietCommand(t *testing.T) {
	c, _ := database(t)
	full := errors.New("writer is full")
	begin := time.Now()
	err := c.Exec(t.Context(), cluster.Command{Namespace: "app", Pod: "db-0", Args: []string{"sh", "-c", "echo one; sleep 1000"}, Stdout: failingWriter{full}})
	require.ErrorIs(t, err, full)
	require.Less(t, time.Since(begin), patience)
}

func TestPodsOfWorkloadsAreNotAdopted(t *testing.T) {
	c, w := database(t)
	pod := task("db-0", "true", nil)
	for _, labels := range []map[string]string{nil, {"app": "db"}} {
		pod.Labels = labels
		require.ErrorIs(t, c.RunPod(t.Context(), pod), cluster.ErrInvalid)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, c.RunPod(ctx, pod))
	}
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
}

// A process that hides its environment and ignores the request to end does not outlive its pod.
func TestNobodyOutlivesCancel(t *testing.T) {
	c := open(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.ReadAtLeast(pr, make([]byte, 6), 6)
		cancel()
	}()
	script := `env -i sh -c 'trap "" TERM; echo $$$$ > ` + pidFile + `; while :; do sleep 0.05; done' & while [ ! -s ` + pidFile + ` ]; do sleep 0.01; done; echo ready; wait`
	require.ErrorIs(t, c.RunPod(ctx, task("hidden", script, pw)), context.Canceled)
	data, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	_, alive := sessionOf(atoi(t, strings.TrimSpace(string(data))))
	require.False(t, alive)
}

func atoi(t *testing.T, s string) int {
	n := 0
	for _, c := range s {
		require.True(t, c >= '0' && c <= '9', s)
		n = n*10 + int(c-'0')
	}
	return n
}

func TestCancelDoesNotWaitForABlockedLog(t *testing.T) {
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan struct{})
	defer close(blocked)
	begin := time.Now()
	err := c.RunPod(ctx, task("blocked", "echo one; sleep 1000", writerFunc(func(p []byte) (int, error) {
		cancel()
		<-blocked
		return len(p), nil
	})))
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(begin), patience)
	require.NoDirExists(t, c.podPath("app", "blocked"))
}

// What the main process leaves in the background ends with it, as in a container.
func TestBackgroundEndsWithTheMainProcess(t *testing.T) {
	c := open(t)
	var out bytes.Buffer
	begin := time.Now()
	require.NoError(t, c.RunPod(t.Context(), task("background", "sleep 1000 & echo done", &out)))
	require.Equal(t, "done\n", out.String())
	require.Less(t, time.Since(begin), patience)
}

func TestPatchIsValidated(t *testing.T) {
	c, w := database(t)
	ref := cluster.Ref{Group: "apps", Resource: "statefulsets", Namespace: "app", Name: "db"}
	for _, patch := range []string{
		`{"spec":{"template":{"spec":{"containers":[{"name":"$(touch pwned)","command":["true"]}]}}}}`,
		`{"spec":{"template":{"spec":{"hostNetwork":true}}}}`,
		`{"spec":{"replica":3}}`,
		`{"spec":{"replicas":-1}}`,
	} {
		_, err := c.Patch(t.Context(), ref, []byte(patch))
		require.ErrorIs(t, err, cluster.ErrInvalid, patch)
	}
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
}

func TestAppliedChangeReplacesPods(t *testing.T) {
	c, w := database(t)
	require.NoError(t, c.Apply(t.Context(), "db.yaml", []byte(strings.Replace(manifests, "exec sleep 1000", "echo new > data/new; exec sleep 1000", 1))))
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
	require.Eventually(t, func() bool { _, _, err := run(c, "db-1", "cat data/new"); return err == nil }, patience, 10*time.Millisecond)
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	c := open(t)
	err := c.Apply(t.Context(), "x.yaml", []byte(strings.Replace(manifests, "replicas: 2", "replica: 2", 1)))
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, `unknown field "replica"`)
}

func TestSubPathOfAFileAndExpansion(t *testing.T) {
	c := open(t)
	require.NoError(t, c.Apply(t.Context(), "x.yaml", []byte(`
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: app}
data: {my.cnf: "mode=fast"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  template:
    spec:
      containers:
      - name: c
        command: [sh, -c, "echo $(A) $(NOPE) $$(A) > out; exec sleep 1000"]
        env: [{name: A, value: one}, {name: B, value: "$(A) two"}]
        volumeMounts: [{name: conf, mountPath: /etc/my.cnf, subPath: my.cnf}]
      volumes: [{name: conf, configMap: {name: conf}}]
`)))
	w := cluster.Workload{Kind: "Deployment", Namespace: "app", Name: "web"}
	require.NoError(t, c.AwaitScaled(t.Context(), w, 1))
	pods, err := c.WorkloadPods(t.Context(), w)
	require.NoError(t, err)
	var text string
	require.Eventually(t, func() bool {
		text, _, err = run(c, pods[0].Name, "cat etc/my.cnf; echo; echo $B; cat out")
		return err == nil && strings.Count(text, "\n") == 3
	}, patience, 10*time.Millisecond)
	require.True(t, strings.HasPrefix(text, "mode=fast\none two\none"), text)
}
