//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const timeLogger = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: time-log-pvc, namespace: default}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: time-logger, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: time-logger}}
  template:
    metadata: {labels: {app: time-logger}}
    spec:
      containers:
      - name: test-container
        image: containerlabs/aws-sdk
        command: [sh, -c, "[ -e var/log/time.log ] || date >var/log/time.log; exec sleep 600"]
        volumeMounts: [{name: data, mountPath: /var/log}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: time-log-pvc}}]
---
apiVersion: cr.kanister.io/v1alpha1
kind: Profile
metadata: {name: profile, namespace: default}
location: {type: file, bucket: STORE, prefix: some/prefix}
`

// timeLogBlueprint is Kanister's, as it was published. It lies beside a checkout and is not part of it: DAVIT_CORPUS names another place. Without it there is nothing to
// run, except in CI, which must have it.
func timeLogBlueprint(t *testing.T) string {
	t.Helper()
	root, named := os.LookupEnv("DAVIT_CORPUS")
	if !named {
		root = filepath.Join("..", "..", "..", "shared", "corpus", "kanister-blueprints")
	}
	file := filepath.Join(root, "time-log", "time-log-blueprint.yaml")
	if _, err := os.Stat(file); err != nil {
		require.False(t, named || os.Getenv("CI") == "true", "no blueprint in %s", root)
		t.Logf("no blueprint in %s: nothing is run", root)
		return ""
	}
	return file
}

// TestTimeLogBlueprintOfKanister runs it on this machine: backup, loss, restore, delete.
func TestTimeLogBlueprintOfKanister(t *testing.T) {
	t.Parallel()
	file := timeLogBlueprint(t)
	if file == "" {
		return
	}
	dir := t.TempDir()
	store, state := filepath.Join(dir, "store"), filepath.Join(dir, "state")
	manifests := filepath.Join(dir, "app.yaml")
	require.NoError(t, os.WriteFile(manifests, []byte(strings.ReplaceAll(timeLogger, "STORE", store)), 0o600))
	claim := filepath.Join(state, "local", "claims", "default", "time-log-pvc")
	var said bytes.Buffer
	davit := func(args ...string) string {
		t.Helper()
		code, out := runLocally(&said, append([]string{"--state", state, "--local", manifests}, args...)...)
		require.Zero(t, code, &said)
		return out
	}

	out := davit("-b", file, "-a", "backup", "-d", "default/time-logger", "-p", "default/profile", "--run", "first")
	require.Regexp(t, `"outputs":\{"backupID":"[0-9a-f]{8}","backupTag":"davit-[^"]+","fileCount":"1","phySize":"[^"]+","size":"\d+ B","version":"v0.0.0"\}`, out)
	require.FileExists(t, filepath.Join(store, "time-log", "config"), "right below the bucket, as Kanister does it")
	written, err := os.ReadFile(filepath.Join(claim, "time.log"))
	require.NoError(t, err)
	require.NotEmpty(t, written)

	require.NoError(t, os.WriteFile(filepath.Join(claim, "time.log"), []byte("overwritten"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(claim, "beside"), nil, 0o600))
	davit("--from", "first", "-a", "restore", "-p", "default/profile")
	restored, err := os.ReadFile(filepath.Join(claim, "time.log"))
	require.NoError(t, err)
	require.Equal(t, string(written), string(restored))
	require.FileExists(t, filepath.Join(claim, "beside"), "a restore removes nothing")

	davit("--from", "first", "-a", "backup", "-d", "default/time-logger", "-p", "default/profile")
	davit("--from", "first", "-a", "delete", "-p", "default/profile")
	require.NoError(t, filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = fmt.Errorf("%s is left", path)
		}
		return err
	}))

	password := repositoryPassword(t, state)
	require.NotContains(t, said.String(), password)
	for _, where := range []string{"runs", filepath.Join("local", "pods")} {
		require.NoError(t, filepath.WalkDir(filepath.Join(state, where), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			require.NotContains(t, string(text), password, path)
			return err
		}))
	}
}

// runLocally calls davit run and returns its exit code and what it printed, which is added to said together with what went to standard error.
func runLocally(said *bytes.Buffer, args ...string) (code int, out string) {
	var stdout bytes.Buffer
	p := &program{
		args: append([]string{"davit", "run", "--verbose"}, args...), getenv: os.Getenv, stdin: strings.NewReader(""),
		stdout: &stdout, stderr: said, interrupts: interrupts, executable: os.Executable, exit: os.Exit,
	}
	code = p.main(context.Background())
	said.Write(stdout.Bytes())
	return code, stdout.String()
}

// repositoryPassword is the one that was made for the only repository there is.
func repositoryPassword(t *testing.T, state string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(state, "local", "objects", "*secrets", "default", "davit-repository-*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var secret struct{ Data struct{ Password []byte } }
	require.NoError(t, json.Unmarshal(text, &secret))
	require.Greater(t, len(secret.Data.Password), 40)
	return string(secret.Data.Password)
}
