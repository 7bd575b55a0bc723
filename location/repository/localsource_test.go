//go:build unix

package repository

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

func TestLocalSourceAs(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	write(t, dir+"/mount/a", "a")
	write(t, dir+"/mount/cache/b", "b")
	write(t, dir+"/mount/keep/b.tmp", "b")
	write(t, dir+"/mount/keep/cache", "c")
	write(t, dir+"/single", "s")
	src, err := NewLocalSource(&LocalOptions{As: []string{"/var/lib/data", "/var/file"}, Exclude: []string{"*.tmp", "/var/lib/data/cache"}}, dir+"/mount", dir+"/single")
	require.NoError(t, err)
	require.Equal(t, []string{"/var/file", "/var/lib/data"}, src.Paths())
	s, err := r.Backup(t.Context(), src, nil)
	require.NoError(t, err)
	all := readSnapshot(t, reopen(t, raw, nil), s)
	var paths []string
	for p := range all {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	require.Equal(t, []string{"/var", "/var/file", "/var/lib", "/var/lib/data", "/var/lib/data/a", "/var/lib/data/keep", "/var/lib/data/keep/cache"}, paths)
	require.Equal(t, "s", all["/var/file"].text)
	require.Equal(t, fs.ModeDir|0o755, all["/var"].Mode)

	for _, o := range []LocalOptions{{As: []string{"/a"}}, {As: []string{"/a", "/a/b"}}, {Exclude: []string{"["}}} {
		_, err := NewLocalSource(&o, "/x", "/y")
		require.Error(t, err)
	}
}

// Everything of the computer that can be read is a Source, its root too.
func TestLocalSourceRoot(t *testing.T) {
	src := local(t, "/")
	root, err := openTop(t.Context(), src)
	require.NoError(t, err)
	entries, err := root.Entries(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	require.NoError(t, root.Close())
}

// Whoever can write to a folder cannot make a backup read what is outside it.
func TestLocalSourceFollowsNoLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, outside+"/secret", "secret")
	require.NoError(t, os.Symlink(outside, dir+"/folder"))
	require.NoError(t, os.Symlink(outside+"/secret", dir+"/file"))
	f, err := local(t, dir).Folder(t.Context(), dir)
	require.NoError(t, err)
	_, err = f.Folder(t.Context(), "folder")
	require.Error(t, err)
	_, err = f.Open(t.Context(), "file")
	require.Error(t, err)
	_, err = f.Open(t.Context(), "folder")
	require.Error(t, err)
	_, err = f.Open(t.Context(), "absent")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, f.Close())
	_, err = local(t, dir).Folder(t.Context(), "/elsewhere")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestLocalFileChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "first")
	src := local(t, dir)
	f, err := src.Folder(t.Context(), dir)
	require.NoError(t, err)
	in, err := f.Open(t.Context(), "a")
	require.NoError(t, err)
	text, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "first", string(text))
	require.False(t, in.(ChangeReader).Changed())
	write(t, dir+"/a", "second one")
	require.True(t, in.(ChangeReader).Changed())
	require.NoError(t, in.Close())
	require.NoError(t, f.Close())
}

// Holes are not read, and are the same zeros as those that are.
func TestSparseFile(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	const middle = 3*hole + 12345
	for _, name := range []string{"ends in a hole", "ends in data", "is a hole", "small"} {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		switch name {
		case "small":
			_, err = f.WriteAt([]byte("x"), 1<<20)
		case "is a hole":
			err = f.Truncate(2*hole + 5)
		case "ends in a hole":
			_, err = f.WriteAt([]byte("data"), middle)
			require.NoError(t, f.Truncate(middle+2*hole+77))
		default:
			_, err = f.WriteAt([]byte("data"), middle)
		}
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	s, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	all := readSnapshot(t, reopen(t, raw, nil), s)
	for _, name := range []string{"ends in a hole", "ends in data", "is a hole", "small"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, format.Hash(want), format.Hash([]byte(all[filepath.Join(dir, name)].text)), name)
	}
	require.Less(t, s.Summary.DataAdded, int64(2*hole))
	require.Less(t, s.Summary.DataAddedPacked, int64(100<<10))
	require.Zero(t, s.Summary.Changed.Count)
}

// changing is a source of which each file gets longer while it is read, and each second one vanishes before.
type changing struct{ unreadable }

type changingFolder struct{ unreadableFolder }

func (c *changing) Folder(ctx context.Context, p string) (Folder, error) {
	f, err := c.Source.Folder(ctx, p)
	return &changingFolder{unreadableFolder{f, &c.unreadable, p}}, err
}

func (f *changingFolder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	p := filepath.Join(f.path, name)
	if strings.HasPrefix(name, "gone") {
		if err := os.Remove(p); err != nil {
			return nil, err
		}
	}
	in, err := f.in.Open(ctx, name)
	if err == nil {
		err = os.WriteFile(p, []byte("longer than before"), 0o600)
	}
	return in, err
}

func TestFilesThatChange(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	write(t, dir+"/grows", "short")
	write(t, dir+"/gone", "gone")
	s, err := r.Backup(t.Context(), &changing{unreadable{Source: local(t, dir)}}, nil)
	require.NoError(t, err)
	require.Equal(t, Problems{Count: 1, First: []Problem{{Path: dir + "/grows"}}}, s.Summary.Changed)
	require.Equal(t, int64(1), s.Summary.Vanished.Count)
	require.Equal(t, dir+"/gone", s.Summary.Vanished.First[0].Path)
	all := readSnapshot(t, reopen(t, raw, nil), s)
	require.NotContains(t, all, dir+"/gone")
	require.Contains(t, all, dir+"/grows")
}

func TestEntryOfNode(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "a")
	require.NoError(t, os.Link(dir+"/a", dir+"/b"))
	require.NoError(t, os.Symlink("a\xff", dir+"/link"))
	f, err := local(t, dir).Folder(t.Context(), dir)
	require.NoError(t, err)
	defer f.Close()
	entries, err := f.Entries(t.Context())
	require.NoError(t, err)
	require.Len(t, entries, 3)
	for _, e := range entries {
		n := e.node()
		n.Size = uint64(e.Size)
		text, err := (&format.Tree{Nodes: []*format.Node{n}}).Encode()
		require.NoError(t, err)
		parsed, err := format.ParseTree(text)
		require.NoError(t, err)
		got := entryOf(parsed.Nodes[0])
		require.True(t, got.ModTime.Equal(e.ModTime))
		require.True(t, got.ChangeTime.Equal(e.ChangeTime))
		want := *e
		want.ModTime, want.AccessTime, want.ChangeTime = got.ModTime, got.AccessTime, got.ChangeTime
		if e.Links == 1 {
			want.DeviceID = 0
		}
		require.Equal(t, want, got)
	}
}

// tarSource is a Planner: what a tar stream would be.
type tarSource struct {
	*LocalSource
	t       *testing.T
	planned []string
	opened  []string
	busy    bool
}

func (s *tarSource) Plan(_ context.Context, files func(func(string, *Entry) bool) error) error {
	return files(func(p string, e *Entry) bool {
		require.True(s.t, e.Mode.IsRegular())
		s.planned = append(s.planned, p)
		return true
	})
}

func (s *tarSource) Folder(ctx context.Context, p string) (Folder, error) {
	f, err := s.LocalSource.Folder(ctx, p)
	return &tarFolder{f, s, p}, err
}

type tarFolder struct {
	in   Folder
	s    *tarSource
	path string
}

func (f *tarFolder) Entries(ctx context.Context) ([]*Entry, error) { return f.in.Entries(ctx) }
func (f *tarFolder) Close() error                                  { return f.in.Close() }

func (f *tarFolder) Folder(ctx context.Context, name string) (Folder, error) {
	sub, err := f.in.Folder(ctx, name)
	return &tarFolder{sub, f.s, filepath.Join(f.path, name)}, err
}

func (f *tarFolder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	require.False(f.s.t, f.s.busy, "one at a time")
	f.s.busy = true
	f.s.opened = append(f.s.opened, filepath.Join(f.path, name))
	in, err := f.in.Open(ctx, name)
	return &tarFile{in, f.s}, err
}

type tarFile struct {
	io.ReadCloser
	s *tarSource
}

func (f *tarFile) Close() error {
	f.s.busy = false
	return f.ReadCloser.Close()
}

// A Planner is told in which order its files are opened, and only those that the parent does not have.
func TestPlanner(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	for _, name := range []string{"b/c", "b/a/x", "b.", "a", "z/large", "b-", "empty"} {
		write(t, dir+"/"+name, name)
	}
	write(t, dir+"/z/large", string(randomBytes(1, 5<<20)))
	settle()
	src := &tarSource{LocalSource: local(t, dir), t: t}
	_, err := r.Backup(t.Context(), src, nil)
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/a", dir + "/b/a/x", dir + "/b/c", dir + "/b-", dir + "/b.", dir + "/empty", dir + "/z/large"}, src.planned)
	require.Equal(t, src.planned, src.opened)
	write(t, dir+"/b/c", "changed")
	src = &tarSource{LocalSource: local(t, dir), t: t}
	s, err := r.Backup(t.Context(), src, nil)
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/b/c"}, src.planned)
	require.Equal(t, src.planned, src.opened)
	require.Equal(t, "changed", readSnapshot(t, reopen(t, raw, nil), s)[dir+"/b/c"].text)

	boom := errors.New("boom")
	_, err = r.Backup(t.Context(), &badPlanner{src, boom}, nil)
	require.ErrorIs(t, err, boom)
}

type badPlanner struct {
	*tarSource
	err error
}

func (b *badPlanner) Plan(context.Context, func(func(string, *Entry) bool) error) error { return b.err }
