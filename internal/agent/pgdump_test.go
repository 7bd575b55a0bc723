package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/mover"
)

// The answer of a request that cannot be done is a fault, on standard output and among the results.
func TestPgdumpAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	request, results := filepath.Join(dir, "request"), filepath.Join(dir, "results")
	require.NoError(t, os.WriteFile(request, []byte(`{"op":"dump","path":"p","server":{"host":"a,b","user":"u","password":"canary"}}`), 0o600))
	env := map[string]string{cluster.ProfileEnv: request, cluster.ResultsEnv: results}
	var out, errs bytes.Buffer
	s := Streams{Out: &out, Err: &errs, Env: func(name string) string { return env[name] }}
	require.Equal(t, 1, Main(t.Context(), []string{"kando", "pgdump"}, s))
	var fault *mover.Fault
	f := &mover.Follower{Reply: func(r mover.Reply) { fault = r.Fault }}
	_, err := f.Write(out.Bytes())
	require.NoError(t, err)
	require.ErrorContains(t, fault, `"a,b" is no name or address of a host`)
	left, err := os.ReadFile(results)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(left))
	require.NotContains(t, out.String()+errs.String(), "canary")

	delete(env, cluster.ProfileEnv)
	require.Equal(t, 2, Main(t.Context(), []string{"kando", "pgdump"}, s))
	require.Equal(t, 2, Main(t.Context(), []string{"kando", "pgdump", "canary"}, s))
	require.NotContains(t, errs.String(), "canary")
}
