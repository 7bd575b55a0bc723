package repository

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// change does something to the tree in dir.
func change(t *testing.T, r *rand.Rand, dir string) {
	t.Helper()
	name := func() string {
		p := dir
		for range r.IntN(4) {
			p += fmt.Sprintf("/%c", 'a'+r.IntN(4))
		}
		return p + fmt.Sprintf("/%c", 'e'+r.IntN(6))
	}
	p := name()
	// A file may be in the way of a folder, and a folder of a file: then nothing is done.
	_ = os.MkdirAll(filepath.Dir(p), 0o755)
	switch r.IntN(8) {
	case 0:
		_ = os.RemoveAll(p)
	case 1:
		_ = os.RemoveAll(filepath.Dir(p))
		_ = os.MkdirAll(dir, 0o755)
	case 2:
		_ = os.Symlink(name(), p)
	case 3:
		_ = os.Link(name(), p)
	case 4:
		_ = os.Rename(name(), p)
	case 5:
		if f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
			_, _ = f.WriteAt(randomBytes(r.Uint64(), r.IntN(5000)), r.Int64N(400_000))
			require.NoError(t, f.Close())
		}
	default:
		_ = os.WriteFile(p, randomBytes(r.Uint64N(20), r.IntN(1<<r.IntN(21))), 0o600)
	}
}

// Whatever happens to a tree between backups, each has what was there.
func TestRandomTrees(t *testing.T) {
	repo, raw := newRepository(t)
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	for round := range 25 {
		for range 30 {
			change(t, r, dir)
		}
		s, err := repo.Backup(t.Context(), local(t, dir), &BackupOptions{Workers: 1 + round%5, Parent: []string{"", "none"}[round/20]})
		require.NoError(t, err)
		all := readSnapshot(t, reopen(t, raw, nil), s)
		require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			require.NoError(t, err)
			got, ok := all[p]
			require.True(t, ok, p)
			delete(all, p)
			info, err := d.Info()
			require.NoError(t, err)
			require.Equal(t, info.Mode(), got.Mode)
			require.True(t, info.ModTime().Equal(got.ModTime))
			switch {
			case d.Type() == fs.ModeSymlink:
				target, err := os.Readlink(p)
				require.NoError(t, err)
				require.Equal(t, target, got.LinkTarget)
			case d.Type().IsRegular():
				want, err := os.ReadFile(p)
				require.NoError(t, err)
				require.Equal(t, format.Hash(want), format.Hash([]byte(got.text)), p)
			}
			return nil
		}))
		for p := filepath.Dir(dir); p != "/"; p = filepath.Dir(p) {
			delete(all, p)
		}
		require.Empty(t, all)
		require.Zero(t, s.Summary.Changed.Count)
	}
}
