//go:build unix

package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/template"
)

const sleeper = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: example.com/db:1, command: [sleep, "600"]}]
`

// localSession is a session whose manifests are a folder with the sleeper.
func localSession(t *testing.T, dir string) *session {
	t.Helper()
	manifests := filepath.Join(t.TempDir(), "manifests")
	require.NoError(t, os.Mkdir(manifests, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(manifests, "db.yaml"), []byte(sleeper), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(manifests, "notes.txt"), []byte("no manifest"), 0o600))
	p := &program{getenv: os.Getenv, executable: os.Executable, stderr: &bytes.Buffer{}}
	s, err := p.openState(dir)
	require.NoError(t, err)
	return &session{program: p, state: s, flags: &runFlags{local: []string{manifests}}}
}

var subjects = []template.ObjectReference{
	{Kind: "Deployment", Namespace: "shop", Name: "db"},
	{Kind: "Deployment", Namespace: "shop", Name: "absent"},
	{Kind: "PVC", Namespace: "shop", Name: "data"},
}

func pods(t *testing.T, l *local) int {
	t.Helper()
	running, err := l.WorkloadPods(t.Context(), cluster.Workload{Kind: "Deployment", Namespace: "shop", Name: "db"})
	require.NoError(t, err)
	return len(running)
}

func TestLocalClusterEndsWithItsLastUser(t *testing.T) {
	s := localSession(t, t.TempDir())
	first, err := s.openLocal(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	first.settle(t.Context(), subjects, slog.New(slog.DiscardHandler))
	assert.Equal(t, 1, pods(t, first))
	second, err := s.openLocal(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)

	require.NoError(t, first.close(t.Context()))
	assert.Equal(t, 1, pods(t, second), "another process uses the cluster")
	require.NoError(t, second.close(t.Context()))
	assert.Equal(t, 0, pods(t, second))
}

func TestLocalClusterWaitsForRunsToBeResumed(t *testing.T) {
	s := localSession(t, t.TempDir())
	path, err := s.state.journal("r1")
	require.NoError(t, err)
	journal, err := engine.OpenFile(path)
	require.NoError(t, err)
	b := newBench(t)
	_, err = b.engine.Run(t.Context(), b.spec(t), &dyingJournal{Journal: journal, left: 4})
	require.ErrorIs(t, err, engine.ErrJournal)

	l, err := s.openLocal(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	l.settle(t.Context(), subjects, slog.New(slog.DiscardHandler))
	require.NoError(t, l.close(t.Context()))
	assert.Equal(t, 1, pods(t, l), "the run may need what it began")

	_, err = b.engine.Resume(t.Context(), journal)
	require.NoError(t, err)
	require.NoError(t, journal.Close())
	l, err = s.openLocal(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, l.close(t.Context()))
	assert.Equal(t, 0, pods(t, l))
}

func TestManifestsThatCannotBeRead(t *testing.T) {
	p := &program{}
	empty := t.TempDir()
	_, err := p.readManifests([]string{filepath.Join(empty, "missing.yaml"), empty})
	require.ErrorContains(t, err, "missing.yaml: no such file or directory")
	require.ErrorContains(t, err, "no manifests (*.yaml, *.yml, *.json) in folder")
}

func TestFaultyManifestsStartNothing(t *testing.T) {
	s := localSession(t, t.TempDir())
	s.flags.local = []string{filepath.Join(t.TempDir(), "bad.yaml")}
	require.NoError(t, os.WriteFile(s.flags.local[0], []byte(sleeper+"---\nkind: Pod\n"), 0o600))
	_, err := s.openLocal(t.Context(), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, "bad.yaml:")
	entries, err := os.ReadDir(filepath.Join(s.state.local(), "pods"))
	require.NoError(t, err)
	assert.Empty(t, entries)
}
