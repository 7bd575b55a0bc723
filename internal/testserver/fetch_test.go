//go:build linux

package testserver

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// compiler makes the go command a script.
func compiler(t *testing.T, script string) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\n"+script), 0o700)) //nolint:gosec // it is run
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

var example = tool{"example", "example.org/example", "v1.0.0"}

// Those that fetch the same at once build it once, and all get it whole.
func TestFetchAtOnce(t *testing.T) {
	dir, builds := t.TempDir(), filepath.Join(t.TempDir(), "builds")
	compiler(t, `echo "$@" >>`+builds+`; printf wh >"$GOBIN/example"; sleep 0.1; printf ole >>"$GOBIN/example"`)
	var wait sync.WaitGroup
	paths, errs := make([]string, 4), make([]error, 4)
	for i := range paths {
		wait.Go(func() { paths[i], errs[i] = example.fetch(t.Context(), dir) })
	}
	wait.Wait()
	for i, path := range paths {
		require.NoError(t, errs[i])
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "whole", string(text))
	}
	log, err := os.ReadFile(builds)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(log), "\n"), "%s", log)
	require.Contains(t, string(log), "example.org/example@v1.0.0")
	requireClean(t, dir, filepath.Base(paths[0]))
}

// What cannot be built is an error with the compiler's words, and is tried again the next time.
func TestFetchFails(t *testing.T) {
	dir := t.TempDir()
	compiler(t, `printf half >"$GOBIN/example"; echo out of luck; exit 1`)
	for range 2 {
		_, err := example.fetch(t.Context(), dir)
		require.ErrorContains(t, err, "out of luck")
		require.ErrorContains(t, err, "example v1.0.0")
	}
	requireClean(t, dir)
}

// requireClean finds nothing else than these files and locks.
func requireClean(t *testing.T, dir string, want ...string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			got = append(got, entry.Name())
		}
	}
	require.Equal(t, want, got)
}
