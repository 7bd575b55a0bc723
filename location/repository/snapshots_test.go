package repository

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// saveSnapshot stores a snapshot of an unknown tree.
func saveSnapshot(t *testing.T, r *Repository, s format.Snapshot) string {
	t.Helper()
	tree := format.NewID()
	s.Tree = &tree
	id, err := r.saveJSON(t.Context(), snapshotFile, s)
	require.NoError(t, err)
	return id.String()
}

func TestSnapshots(t *testing.T) {
	r, raw := newRepository(t)
	now := time.Now()
	b := saveSnapshot(t, r, format.Snapshot{Time: now, Hostname: "one", Paths: []string{"/a", "/b"}, Tags: []string{"x", "y"}})
	a := saveSnapshot(t, r, format.Snapshot{Time: now.Add(-time.Hour), Hostname: "two", Paths: []string{"/a"}, Summary: &format.SnapshotSummary{FilesNew: 7}})
	all, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, []string{a, b}, []string{all[0].ID, all[1].ID})
	require.Equal(t, int64(7), all[0].Summary.FilesNew)
	for _, c := range []struct {
		filter Filter
		want   []string
	}{
		{Filter{Hosts: []string{"two", "three"}}, []string{a}},
		{Filter{Paths: []string{"/a"}}, []string{a, b}},
		{Filter{Paths: []string{"/b", "/a"}}, []string{b}},
		{Filter{Tags: []string{"y"}}, []string{b}},
		{Filter{Tags: []string{"y", "z"}}, nil},
	} {
		found, err := r.Snapshots(t.Context(), &c.filter)
		require.NoError(t, err)
		var ids []string
		for _, s := range found {
			ids = append(ids, s.ID)
		}
		require.Equal(t, c.want, ids)
	}

	require.NoError(t, raw.WriteAll(t.Context(), "snapshots/"+strings.Repeat("0", 64), []byte("torn"), nil))
	found, err := r.Snapshots(t.Context(), nil)
	require.ErrorIs(t, err, ErrDamaged)
	require.Len(t, found, 2)
	_, err = r.Find(t.Context(), "latest", nil)
	require.ErrorIs(t, err, ErrDamaged)
}

func TestFind(t *testing.T) {
	r, raw := newRepository(t)
	_, err := r.Find(t.Context(), "latest", nil)
	require.ErrorIs(t, err, ErrNoSnapshot)
	for _, id := range []string{"", "xyz", "abc", strings.Repeat("a", 64), strings.Repeat("a", 65)} {
		_, err := r.Find(t.Context(), id, nil)
		require.ErrorIs(t, err, ErrNoSnapshot, id)
	}
	old := saveSnapshot(t, r, format.Snapshot{Time: time.Now().Add(-time.Hour), Hostname: "one"})
	latest := saveSnapshot(t, r, format.Snapshot{Time: time.Now(), Hostname: "two"})
	for id, want := range map[string]string{"latest": latest, old[:7]: old, strings.ToUpper(latest[:8]): latest, old: old} {
		s, err := r.Find(t.Context(), id, nil)
		require.NoError(t, err)
		require.Equal(t, want, s.ID)
		require.Equal(t, want[:8], s.ShortID())
	}
	s, err := r.Find(t.Context(), "latest", &Filter{Hosts: []string{"one"}})
	require.NoError(t, err)
	require.Equal(t, old, s.ID)
	require.NoError(t, raw.WriteAll(t.Context(), "snapshots/"+old[:63]+"x", nil, nil))
	_, err = r.Find(t.Context(), old[:5], nil)
	require.NoError(t, err)
	other := map[bool]string{true: "1", false: "0"}[old[63] == '0']
	require.NoError(t, raw.WriteAll(t.Context(), "snapshots/"+old[:63]+other, nil, nil))
	_, err = r.Find(t.Context(), old[:5], nil)
	require.ErrorIs(t, err, ErrAmbiguous)
}

func TestCleanPaths(t *testing.T) {
	require.Equal(t, []string{"/a", "/a-b", "/c/d"}, cleanPaths([]string{"/a/b", "c/d/../d", "/a-b", "/a", "/a/"}))
	require.Equal(t, []string{"/"}, cleanPaths([]string{"/a", "/"}))
}
