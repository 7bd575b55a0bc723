package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// stored is a file of a snapshot, for tests.
type storedFile struct {
	*format.Node
	text string
}

// readSnapshot reads all of a snapshot into memory.
func readSnapshot(t *testing.T, r *Repository, s Snapshot) map[string]storedFile {
	t.Helper()
	all := map[string]storedFile{}
	var walk func(dir, tree string)
	walk = func(dir, tree string) {
		id, err := format.ParseID(tree)
		require.NoError(t, err)
		tr, err := r.loadTree(t.Context(), id)
		require.NoError(t, err)
		for i, n := range tr.Nodes {
			require.True(t, i == 0 || tr.Nodes[i-1].Name < n.Name, "sorted")
			p := path.Join(dir, n.Name)
			var text []byte
			for _, id := range n.Content {
				text, err = r.loadBlob(t.Context(), format.Handle{ID: id}, text)
				require.NoError(t, err)
			}
			if n.Type == format.TypeFile {
				require.NotNil(t, n.Content)
				require.Equal(t, len(text), int(n.Size))
			}
			all[p] = storedFile{n, string(text)}
			if n.Subtree != nil {
				walk(p, n.Subtree.String())
			}
		}
	}
	walk("/", s.Tree)
	return all
}

func write(t *testing.T, p, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
	require.NoError(t, os.WriteFile(p, []byte(text), 0o644))
}

func local(t *testing.T, paths ...string) *LocalSource {
	t.Helper()
	s, err := NewLocalSource(nil, paths...)
	require.NoError(t, err)
	return s
}

func TestBackup(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	large := string(randomBytes(1, 5<<20+123))
	write(t, dir+"/data/empty", "")
	write(t, dir+"/data/small", "text")
	write(t, dir+"/data/large", large)
	write(t, dir+"/data/deep/er/file", "deep")
	write(t, dir+"/data/odd \xff\n\"name", "odd")
	require.NoError(t, os.Mkdir(dir+"/data/none", 0o700))
	require.NoError(t, os.Symlink("/nowhere", dir+"/data/link"))
	write(t, dir+"/other", "not this one")

	var last Progress
	s, err := r.Backup(t.Context(), local(t, dir+"/data"), &BackupOptions{Tags: []string{"a"}, Host: "h", Progress: func(p Progress) { last = p }})
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/data"}, s.Paths)
	require.Equal(t, int64(5), s.Summary.FilesNew)
	require.Equal(t, s.Summary.TotalBytes, int64(len(large)+4+4+3))
	require.True(t, last.Done)
	require.Equal(t, int64(5), last.TotalFiles)
	require.Equal(t, s.Summary.TotalBytes, last.Bytes)

	other := reopen(t, raw, nil)
	found, err := other.Find(t.Context(), "latest", nil)
	require.NoError(t, err)
	require.Equal(t, s.ID, found.ID)
	require.Equal(t, s.Summary.DataAdded, found.Summary.DataAdded)
	all := readSnapshot(t, other, found)
	require.Equal(t, large, all[dir+"/data/large"].text)
	require.Equal(t, "deep", all[dir+"/data/deep/er/file"].text)
	require.Equal(t, "odd", all[dir+"/data/odd \xff\n\"name"].text)
	require.Equal(t, "/nowhere", all[dir+"/data/link"].LinkTarget)
	require.Equal(t, fs.ModeDir|0o700, all[dir+"/data/none"].Mode)
	require.NotContains(t, all, dir+"/other")
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(all[dir].ModTime))
	locks, err := r.Locks(t.Context())
	require.NoError(t, err)
	require.Empty(t, locks)
}

// settle waits until the clock of files has moved on, so that what was written is older than the next backup.
func settle() { time.Sleep(50 * time.Millisecond) }

func TestBackupParent(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	for i := range 50 {
		write(t, fmt.Sprintf("%s/%d/%d", dir, i%5, i), fmt.Sprint("text ", i))
	}
	settle()
	first, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	write(t, dir+"/1/1", "changed")
	write(t, dir+"/1/new", "new")
	require.NoError(t, os.Remove(dir+"/2/2"))
	second, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	require.Equal(t, first.ID, second.Parent)
	sum := second.Summary
	require.Equal(t, []int64{1, 1, 48}, []int64{sum.FilesNew, sum.FilesChanged, sum.FilesUnmodified})
	require.Equal(t, int64(2), sum.DataBlobs)
	require.Equal(t, int64(3), sum.DirsUnmodified)
	all := readSnapshot(t, reopen(t, raw, nil), second)
	require.Equal(t, "changed", all[dir+"/1/1"].text)
	require.Equal(t, "text 49", all[dir+"/4/49"].text)
	require.NotContains(t, all, dir+"/2/2")

	settle()
	third, err := r.Backup(t.Context(), &unreadable{Source: local(t, dir), but: "/1/"}, nil)
	require.NoError(t, err)
	subtree := func(s Snapshot) *format.ID { return readSnapshot(t, reopen(t, raw, nil), s)[dir].Subtree }
	require.Equal(t, subtree(second), subtree(third), "the folders above it are those of all tests")
	require.Equal(t, second.ID, third.Parent)
	elsewhere, err := r.Backup(t.Context(), local(t, dir), &BackupOptions{Host: "elsewhere"})
	require.NoError(t, err)
	require.Empty(t, elsewhere.Parent)
	given, err := r.Backup(t.Context(), local(t, dir), &BackupOptions{Host: "elsewhere", Parent: first.ID[:10]})
	require.NoError(t, err)
	require.Equal(t, first.ID, given.Parent)
	none, err := r.Backup(t.Context(), local(t, dir), &BackupOptions{Parent: "none"})
	require.NoError(t, err)
	require.Empty(t, none.Parent)
	_, err = r.Backup(t.Context(), local(t, dir), &BackupOptions{Parent: "abcdef"})
	require.ErrorIs(t, err, ErrNoSnapshot)
}

// A parent whose content is not in the repository any more is of no use.
func TestBackupParentGone(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	write(t, dir+"/a", "text")
	settle()
	_, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	for _, kind := range []string{"index/", "data/"} {
		remove(t, raw, kind)
	}
	s, err := reopen(t, raw, nil).Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), s.Summary.DataBlobs)
	require.Equal(t, "text", readSnapshot(t, reopen(t, raw, nil), s)[dir+"/a"].text)
}

func remove(t *testing.T, raw *blob.Bucket, prefix string) {
	t.Helper()
	for it := raw.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		require.NoError(t, raw.Delete(t.Context(), o.Key))
	}
}

// unreadable is a source of which no file can be opened, but for those with that in their paths.
type unreadable struct {
	Source
	but string
	err error
}

type unreadableFolder struct {
	in   Folder
	u    *unreadable
	path string
}

func (u *unreadable) Folder(ctx context.Context, p string) (Folder, error) {
	f, err := u.Source.Folder(ctx, p)
	return &unreadableFolder{f, u, p}, err
}

func (f *unreadableFolder) Folder(ctx context.Context, name string) (Folder, error) {
	sub, err := f.in.Folder(ctx, name)
	return &unreadableFolder{sub, f.u, path.Join(f.path, name)}, err
}

func (f *unreadableFolder) Entries(ctx context.Context) ([]*Entry, error) { return f.in.Entries(ctx) }
func (f *unreadableFolder) Close() error                                  { return f.in.Close() }

func (f *unreadableFolder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if strings.Contains(path.Join(f.path, name), f.u.but) {
		return f.in.Open(ctx, name)
	}
	if f.u.err != nil {
		return nil, f.u.err
	}
	return nil, errors.New("must not be read")
}

func TestBackupIncomplete(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "good", "z/c"} {
		write(t, dir+"/"+name, name)
	}
	s, err := r.Backup(t.Context(), &unreadable{Source: local(t, dir), but: "good"}, nil)
	require.ErrorIs(t, err, ErrIncomplete)
	require.ErrorContains(t, err, "must not be read")
	require.Equal(t, int64(3), s.Summary.Failed.Count)
	all := readSnapshot(t, reopen(t, raw, nil), s)
	require.Equal(t, "good", all[dir+"/good"].text)
	require.NotContains(t, all, dir+"/a")
	require.Contains(t, all, dir+"/z")

	s, err = r.Backup(t.Context(), &unreadable{Source: local(t, dir), but: "good", err: fmt.Errorf("open: %w", fs.ErrNotExist)}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(3), s.Summary.Vanished.Count)

	before, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	_, err = r.Backup(t.Context(), &unreadable{Source: local(t, dir), but: "good", err: fmt.Errorf("%w: gone", ErrSource)}, nil)
	require.ErrorIs(t, err, ErrSource)
	_, err = r.Backup(t.Context(), local(t, dir+"/absent"), nil)
	require.ErrorContains(t, err, "is not there")
	_, err = r.Backup(t.Context(), local(t), nil)
	require.ErrorContains(t, err, "no path")
	after, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, before, after)
	s, err = r.Backup(t.Context(), local(t, dir+"/absent", dir+"/a", dir+"/z"), nil)
	require.ErrorIs(t, err, ErrIncomplete)
	require.Equal(t, "z/c", readSnapshot(t, reopen(t, raw, nil), s)[dir+"/z/c"].text)
}

// A cancelled backup leaves nothing but packs, which the next one uses.
func TestBackupCancelled(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	for i := range 60 {
		write(t, fmt.Sprintf("%s/%d", dir, i), string(randomBytes(uint64(i), 1<<20)))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	boom := errors.New("boom")
	_, err := r.Backup(ctx, &cancelling{Source: local(t, dir), at: 9, cancel: func() { cancel(boom) }}, &BackupOptions{Workers: 2})
	require.ErrorIs(t, err, boom)
	found, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, found)
	locks, err := r.Locks(t.Context())
	require.NoError(t, err)
	require.Empty(t, locks)
	kept := len(again(t, raw))
	require.NotZero(t, kept)
	s, err := reopen(t, raw, nil).Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	require.Less(t, s.Summary.DataAdded, s.Summary.TotalBytes)
}

// cancelling calls cancel when the file of that number is opened.
type cancelling struct {
	Source
	at     int
	cancel func()
}

type cancellingFolder struct {
	in Folder
	c  *cancelling
}

func (c *cancelling) Folder(ctx context.Context, p string) (Folder, error) {
	f, err := c.Source.Folder(ctx, p)
	return &cancellingFolder{f, c}, err
}

func (f *cancellingFolder) Entries(ctx context.Context) ([]*Entry, error) { return f.in.Entries(ctx) }
func (f *cancellingFolder) Close() error                                  { return f.in.Close() }

func (f *cancellingFolder) Folder(ctx context.Context, name string) (Folder, error) {
	sub, err := f.in.Folder(ctx, name)
	return &cancellingFolder{sub, f.c}, err
}

func (f *cancellingFolder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == fmt.Sprint(f.c.at) {
		f.c.cancel()
	}
	return f.in.Open(ctx, name)
}

// The packs of a backup that was killed before it wrote its index are used by the next one.
func TestAdopt(t *testing.T) {
	r, raw := newRepository(t)
	dir := t.TempDir()
	write(t, dir+"/a", string(randomBytes(1, 3<<20)))
	_, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	remove(t, raw, "index/")
	remove(t, raw, "snapshots/")
	torn := strings.Repeat("0", 64)
	require.NoError(t, raw.WriteAll(t.Context(), "data/00/"+torn, []byte("torn"), nil))

	other := reopen(t, raw, nil)
	_, unlock, err := other.lock(t.Context(), false)
	require.NoError(t, err)
	busy, err := reopen(t, raw, nil).Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	require.Equal(t, int64(3<<20), busy.Summary.TotalBytes)
	require.Greater(t, busy.Summary.DataAdded, int64(3<<20), "with a lock in the way, nothing is taken up")
	require.NoError(t, unlock())

	remove(t, raw, "index/")
	remove(t, raw, "snapshots/")
	s, err := reopen(t, raw, nil).Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	require.Zero(t, s.Summary.DataBlobs, "the folders above may have changed")
	require.Len(t, readSnapshot(t, reopen(t, raw, nil), s)[dir+"/a"].text, 3<<20)
}

func TestBackupStream(t *testing.T) {
	r, raw := newRepository(t)
	text := string(randomBytes(1, 3<<20))
	s, err := r.BackupStream(t.Context(), "dump.sql", strings.NewReader(text), &BackupOptions{Tags: []string{"x"}})
	require.NoError(t, err)
	require.Equal(t, []string{"/dump.sql"}, s.Paths)
	all := readSnapshot(t, reopen(t, raw, nil), s)
	require.Len(t, all, 1)
	require.Equal(t, text, all["/dump.sql"].text)
	require.Equal(t, fs.FileMode(0o644), all["/dump.sql"].Mode)
	s, err = r.BackupStream(t.Context(), "/a/b", strings.NewReader(text), nil)
	require.NoError(t, err)
	require.Equal(t, text, readSnapshot(t, reopen(t, raw, nil), s)["/a/b"].text)
	require.Zero(t, s.Summary.DataBlobs)

	boom := errors.New("boom")
	_, err = r.BackupStream(t.Context(), "broken", io.MultiReader(strings.NewReader(text), failingReader{boom}), nil)
	require.ErrorIs(t, err, boom)
	for _, name := range []string{"", "/", "..", "a\x00b"} {
		_, err = r.BackupStream(t.Context(), name, strings.NewReader(text), nil)
		require.Error(t, err, name)
	}
	found, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, found, 2)
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// A repository of restic is continued with its large chunks, in its own version.
func TestBackupRestics(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	r, err := Init(t.Context(), location.New(raw, nil), testPassword, &Options{cost: 2})
	require.NoError(t, err)
	r.cfg.Davit, r.cfg.Version = nil, format.Version1
	dir := t.TempDir()
	text := string(randomBytes(1, 20<<20))
	write(t, dir+"/a", text)
	s, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	all := readSnapshot(t, r, s)
	require.Equal(t, text, all[dir+"/a"].text)
	require.Less(t, len(all[dir+"/a"].Content), 41)
}
