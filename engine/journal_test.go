package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func record(t *testing.T, path string) ([]Event, *world) {
	t.Helper()
	j, err := OpenFile(path)
	require.NoError(t, err)
	w := newWorld()
	_, err = New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, twoPhases, "backup"), j)
	require.NoError(t, err)
	events, err := j.Events(t.Context())
	require.NoError(t, err)
	require.NoError(t, j.Close())
	return events, w
}

func TestFileJournalKeepsARun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.jsonl")
	events, w := record(t, path)
	j, err := OpenFile(path)
	require.NoError(t, err)
	defer j.Close()
	got, err := j.Events(t.Context())
	require.NoError(t, err)
	require.Equal(t, kinds(events), kinds(got))
	res, err := New(w.registry(t), newObjects(), nil).Resume(t.Context(), j)
	require.NoError(t, err)
	require.Equal(t, Complete, res.State)
	require.Len(t, w.log, 3)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestFileJournalIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.jsonl")
	j, err := OpenFile(path)
	require.NoError(t, err)
	_, err = OpenFile(path)
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, j.Close())
	require.NoFileExists(t, path, "an empty journal leaves nothing")
}

// Every length a file can be cut to by a crash gives a journal with the whole lines; what follows is written after them.
func TestFileJournalSurvivesACutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	events, _ := record(t, filepath.Join(dir, "whole"))
	data, err := os.ReadFile(filepath.Join(dir, "whole"))
	require.NoError(t, err)
	for n := 0; n <= len(data); n += 7 {
		path := filepath.Join(dir, "cut")
		require.NoError(t, os.WriteFile(path, data[:n], 0o600))
		j, err := OpenFile(path)
		require.NoError(t, err)
		got, err := j.Events(t.Context())
		require.NoError(t, err)
		whole := bytes.Count(data[:n], []byte("\n"))
		require.Len(t, got, whole)
		if whole < len(events) {
			require.NoError(t, j.Append(t.Context(), events[whole]))
		}
		require.NoError(t, j.Close())
		back, err := ReadFile(path)
		require.NoError(t, err)
		got, err = back.Events(t.Context())
		require.NoError(t, err)
		require.Len(t, got, min(whole+1, len(events)))
		require.NoError(t, os.Remove(path))
	}
}

func TestFileJournalNamesDamage(t *testing.T) {
	dir := t.TempDir()
	record(t, filepath.Join(dir, "whole"))
	data, err := os.ReadFile(filepath.Join(dir, "whole"))
	require.NoError(t, err)
	lines := bytes.SplitAfter(data, []byte("\n"))
	cases := map[string][]byte{
		"a changed byte":  bytes.Replace(data, []byte(`"attempt":1`), []byte(`"attempt":2`), 1),
		"a missing line":  append(bytes.Clone(lines[0]), bytes.Join(lines[2:], nil)...),
		"a line twice":    append(bytes.Clone(lines[0]), data...),
		"something else":  []byte("hello\n"),
		"an endless line": bytes.Repeat([]byte("x"), maxEvent+2),
	}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "j")
			require.NoError(t, os.WriteFile(path, content, 0o600))
			_, err := OpenFile(path)
			require.ErrorIs(t, err, ErrJournal)
			require.ErrorContains(t, err, "line ")
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, content, after, "a damaged journal is left as it is")
		})
	}
}

func TestFileJournalInAnAbsentFolder(t *testing.T) {
	_, err := OpenFile(filepath.Join(t.TempDir(), "absent", "j"))
	require.ErrorIs(t, err, ErrJournal)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorIs(t, err, ErrBusy)
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte("{\"crc\":0,\"event\":{}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "j")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		j, err := ReadFile(path)
		if err != nil {
			require.ErrorIs(t, err, ErrJournal)
			return
		}
		events, err := j.Events(t.Context())
		require.NoError(t, err)
		if len(events) > 0 {
			_, _ = Reduce(events) // must not panic
		}
	})
}
