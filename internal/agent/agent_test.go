package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// The test binary is also the program, for what needs a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("AGENT_TEST_MAIN") == "1" {
		os.Exit(agent.Main(context.Background(), os.Args, agent.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Openers: openers}))
	}
	os.Exit(m.Run())
}

var openers = map[string]location.Opener{location.TypeFile: file.Open}

// result is what a call left.
type result struct {
	code     int
	out, err string
}

func call(t *testing.T, env map[string]string, in io.Reader, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	s := agent.Streams{In: in, Out: &out, Err: &errs, Env: func(k string) string { return env[k] }, Openers: openers}
	code := agent.Main(t.Context(), append([]string{"kando"}, args...), s)
	return result{code, out.String(), errs.String()}
}

// profileOf is a profile of a file location as templates render it.
func profileOf(t *testing.T, dir string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"Location":      map[string]any{"type": "file", "bucket": dir, "endpoint": "", "prefix": "pre", "region": ""},
		"Credential":    map[string]any{"Type": "keyPair", "KeyPair": map[string]any{"ID": "canary-id", "Secret": "canary-secret"}, "Secret": nil, "KopiaServerSecret": nil},
		"SkipSSLVerify": false,
	})
	require.NoError(t, err)
	return string(text)
}

func hash(s string) [32]byte { return sha256.Sum256([]byte(s)) }

// tree lists the files below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	files := []string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	}))
	return files
}

func TestPushPullDelete(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	data := strings.Repeat("some data\n", 300_000)

	got := call(t, nil, strings.NewReader(data), "location", "push", "--profile", p, "--path", "/db/1/dump.gz", "-", "-o", "x", "-v", "info")
	require.Equal(t, result{}, got)
	require.Equal(t, result{}, call(t, nil, strings.NewReader(data), "location", "push", "-p", p, "-s", "db/10", "-"))
	require.Equal(t, []string{"pre/.davit/sum/db/1/dump.gz.json", "pre/.davit/sum/db/10.json", "pre/db/1/dump.gz", "pre/db/10"}, tree(t, dir))

	got = call(t, nil, nil, "location", "pull", "-p", p, "-s", "db/1/dump.gz", "-", "-k", "{}")
	require.Equal(t, 0, got.code)
	require.Equal(t, hash(data), hash(got.out))

	target := filepath.Join(t.TempDir(), "restored")
	require.NoError(t, os.WriteFile(target, []byte(strings.Repeat("longer than the object ", 500_000)), 0o640))
	require.Equal(t, result{}, call(t, nil, nil, "location", "pull", "-p", p, "-s", "db/1/dump.gz", target))
	content, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, hash(data), hash(string(content)), "the old content is gone to its last byte")
	info, err := os.Stat(target)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())

	require.Equal(t, result{}, call(t, nil, nil, "location", "delete", "-p", p, "-s", "db/1"))
	require.Equal(t, []string{"pre/.davit/sum/db/10.json", "pre/db/10"}, tree(t, dir))
	require.Equal(t, result{}, call(t, nil, nil, "location", "delete", "-p", p, "-s", "db/1"), "a second time")
}
