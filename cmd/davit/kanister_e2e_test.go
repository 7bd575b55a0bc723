//go:build e2e && unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kanistersPassword is that of repositories that Kanister made for blueprints that name none.
const kanistersPassword = "9f735e0df9a1ddc702bf0a1a7b83033f9f7153a00c29de82cedadc9957289b05"

// TestRestoreWhatKanisterBackedUp restores a repository that was made as Kanister makes it: by restic, with the public password, in the bucket's folder of the
// artifact, of an absolute path. The blueprint is Kanister's.
func TestRestoreWhatKanisterBackedUp(t *testing.T) {
	file := timeLogBlueprint(t)
	require.NotEmpty(t, file)
	dir := t.TempDir()
	store, state, logs := filepath.Join(dir, "store"), filepath.Join(dir, "state"), filepath.Join(dir, "var", "log")
	require.NoError(t, os.MkdirAll(filepath.Join(logs, "deep"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(logs, "time.log"), []byte("what Kanister saw\n"), 0o640))
	require.NoError(t, os.WriteFile(filepath.Join(logs, "deep", "er"), bytes.Repeat([]byte("x"), 1<<20), 0o600))
	require.NoError(t, os.Symlink("time.log", filepath.Join(logs, "link")))
	restic := func(args ...string) string {
		cmd := exec.Command("restic", append([]string{"--repo", filepath.Join(store, "time-log")}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+kanistersPassword)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	restic("init")
	id := regexp.MustCompile(`snapshot\s(.*?)\ssaved`).FindStringSubmatch(restic("backup", "--tag", "xvlbzgbaic", logs))[1]

	manifests := strings.NewReplacer("STORE", store, "mountPath: /var/log", "mountPath: "+logs, "var/log/time.log", strings.TrimPrefix(logs, "/")+"/time.log").Replace(timeLogger)
	app := filepath.Join(dir, "app.yaml")
	require.NoError(t, os.WriteFile(app, []byte(manifests), 0o600))
	args := []string{
		"--local", app, "-b", file, "-a", "restore", "-d", "default/time-logger", "-p", "default/profile",
		"--artifact", "timeLog.path=" + store + "/time-log", "--artifact", "backupIdentifier.id=" + id,
	}
	var said bytes.Buffer
	code, _ := runLocally(&said, append(args, "--state", filepath.Join(dir, "other"))...)
	require.Equal(t, 1, code)
	require.Contains(t, said.String(), "--allow-default-key", "the public password is for those who allow it")

	said.Reset()
	code, _ = runLocally(&said, append(args, "--state", state, "--allow-default-key")...)
	require.Zero(t, code, &said)
	claim := filepath.Join(state, "local", "claims", "default", "time-log-pvc")
	for _, name := range []string{"time.log", "deep/er", "link"} {
		want, err := os.ReadFile(filepath.Join(logs, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(claim, name))
		require.NoError(t, err)
		require.Equal(t, want, got)
		was, err := os.Lstat(filepath.Join(logs, name))
		require.NoError(t, err)
		is, err := os.Lstat(filepath.Join(claim, name))
		require.NoError(t, err)
		require.Equal(t, was.Mode(), is.Mode(), name)
		require.Equal(t, was.ModTime(), is.ModTime(), name)
	}

	// Backups go on in that repository, if that is allowed, and restic reads them.
	said.Reset()
	require.NoError(t, os.WriteFile(app, []byte(strings.ReplaceAll(timeLogger, "STORE", store)), 0o600))
	code, _ = runLocally(&said, "--state", filepath.Join(dir, "third"), "--local", app, "-b", file, "-a", "backup", "-d", "default/time-logger", "-p", "default/profile", "--allow-default-key")
	require.Zero(t, code, &said)
	require.Contains(t, restic("check", "--read-data"), "no errors were found")
	require.Contains(t, restic("snapshots"), "/var/log")
	require.NotContains(t, said.String(), kanistersPassword)
}
