package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// movable is a root with a folder, and a request to back it up.
func movable(t *testing.T) (root string, request *mover.Request) {
	t.Helper()
	root = t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "data"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(root, "data", "a"), []byte("alpha"), 0o600))
	profile, err := json.Marshal(map[string]any{"Location": map[string]any{"type": "file", "bucket": filepath.Join(root, "store")}})
	require.NoError(t, err)
	return root, &mover.Request{Op: mover.Backup, Profile: profile, Path: "repo", Password: "canary", Create: true, Tag: "t", Folder: "/data"}
}

// callMover runs the command with an environment.
func callMover(ctx context.Context, in io.Reader, env map[string]string, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = Main(ctx, append([]string{"kando", "mover"}, args...), Streams{
		In: in, Out: &stdout, Err: &stderr, Env: func(name string) string { return env[name] }, Openers: map[string]location.Opener{location.TypeFile: file.Open},
	})
	return code, stdout.String(), stderr.String()
}

func TestMoverTakesARequestFromAFile(t *testing.T) {
	root, request := movable(t)
	text, err := request.Text()
	require.NoError(t, err)
	name, results := filepath.Join(root, "request"), filepath.Join(root, "results")
	require.NoError(t, os.WriteFile(name, text, 0o600))
	code, out, errs := callMover(t.Context(), strings.NewReader(""), map[string]string{rootEnv: root, cluster.ProfileEnv: name, cluster.ResultsEnv: results})
	require.Zero(t, code, errs)
	kept, err := os.ReadFile(results)
	require.NoError(t, err)
	require.Equal(t, out, string(kept), "the reply is in the results too")
	require.Contains(t, out, `"files":1,"bytes":5`)
	require.NotContains(t, out+errs, "canary")

	code, _, errs = callMover(t.Context(), strings.NewReader(""), nil)
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "no request")
}

func TestMoverTakesARequestFromItsInput(t *testing.T) {
	root, request := movable(t)
	env := map[string]string{rootEnv: root}
	text, err := request.Text()
	require.NoError(t, err)
	line := string(text) + "\n"

	code, out, errs := callMover(t.Context(), strings.NewReader(line+mover.Ack+"\n"), env, "-")
	require.Zero(t, code, errs)
	require.True(t, strings.HasPrefix(out, mover.Hello+"\n"))
	require.Contains(t, out, `"files":1,"bytes":5`)

	for name, in := range map[string]string{"nothing": "", "half a request": line[:20], "garbage": "canary\n" + mover.Ack + "\n"} {
		code, out, errs = callMover(t.Context(), strings.NewReader(in), env, "-")
		require.NotZero(t, code, name)
		require.NotContains(t, out, `"snapshot":"0`, name)
		require.NotContains(t, out+errs, "canary", name)
	}
}

// TestMoverEndsWhenItsHostIsGone ends work that nobody waits for: here a lock is in its way.
func TestMoverEndsWhenItsHostIsGone(t *testing.T) {
	root, request := movable(t)
	text, err := request.Text()
	require.NoError(t, err)
	began := time.Now()
	code, _, errs := callMover(t.Context(), strings.NewReader(string(text)+"\n"), map[string]string{rootEnv: root}, "-") // the input ends
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, errHostGone.Error())
	require.Less(t, time.Since(began), 20*time.Second)
}
