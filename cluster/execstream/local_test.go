//go:build unix

package execstream_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/internal/agent"
)

// The test binary is davit too, for the far end that is the agent.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "davit" {
		os.Exit(agent.Main(context.Background(), os.Args, agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv}))
	}
	os.Exit(m.Run())
}

const manifests = `
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: app}
spec:
  containers:
  - name: server
    command: [sleep, "100000"]
    env: [{name: nonce, value: a}, {name: report, value: b}, {name: sum, value: c}, {name: code, value: d}, {name: gone, value: e}, {name: watch, value: f}]
`

// pod is a pod on this machine; its commands run in the folder dir.
type pod struct {
	cluster.Executor
	dir string
}

func newPod(tb testing.TB) pod {
	tb.Helper()
	self, err := os.Executable()
	require.NoError(tb, err)
	dir := tb.TempDir()
	c, err := localcluster.Open(tb.Context(), dir, &localcluster.Options{Agent: self, Grace: 3 * time.Second})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Down(context.Background())) })
	require.NoError(tb, c.Apply(tb.Context(), "db.yaml", []byte(manifests)))
	require.Eventually(tb, func() bool { return c.Exec(tb.Context(), command("true")) == nil }, time.Minute, 5*time.Millisecond)
	return pod{c, filepath.Join(dir, "pods", "app", "db", "root")}
}

// write puts a file into the pod.
func (p pod) write(tb testing.TB, name string, data []byte) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(filepath.Join(p.dir, name), data, 0o700))
}

// command is a command in the pod.
func command(args ...string) cluster.Command {
	return cluster.Command{Namespace: "app", Pod: "db", Container: "server", Args: args}
}

func script(text string, args ...string) cluster.Command {
	return command(append([]string{"sh", "-c", text, "sh"}, args...)...)
}

// each runs the test with every far end.
func each(t *testing.T, f func(t *testing.T, p pod, opts *execstream.Options)) {
	for name, opts := range map[string]*execstream.Options{"shell": nil, "agent": {Agent: "davit"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newPod(t), opts)
		})
	}
}

// soon is a context for what must not take long on a machine that has time; what hangs fails.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// read is what a Read gave.
type read struct {
	out, errs string
	execstream.Result
}

func readAll(t *testing.T, e cluster.Executor, cmd cluster.Command, opts *execstream.Options) (read, error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	res, err := execstream.Read(soon(t), e, cmd, opts)
	return read{out.String(), errs.String(), res}, err
}

// random is data that does not compress and is the same for the same size.
func random(size int) []byte {
	data := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = src.Read(data)
	return data
}
