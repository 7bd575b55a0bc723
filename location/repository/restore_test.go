//go:build linux

package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// fast leaves out what makes tests slow and is not what they are about.
func fast(o RestoreOptions) *RestoreOptions {
	o.NoSync = true
	return &o
}

func readFile(t *testing.T, parts ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(content)
}

// noStage checks that nothing of the restore is left behind.
func noStage(t *testing.T, target string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(target, stagePrefix+"*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestRestoreTree(t *testing.T) {
	r, _ := newRepository(t)
	every := make([]leaf, 0, 255)
	for c := 1; c < 256; c++ {
		if c != '/' {
			every = append(every, fileLeaf("n"+string([]byte{byte(c)}), []byte{byte(c)}))
		}
	}
	large := [][]byte{randomBytes(1, 70000), randomBytes(2, 100), randomBytes(1, 70000)}
	id := grow(t, r,
		fileLeaf("empty"), fileLeaf("large", large...), linkLeaf("link", "../\xff"),
		dirLeaf("names", every...),
		dirLeaf("sub", dirLeaf("none"), fileLeaf("read only", []byte("x")).with(func(n *format.Node) { n.Mode = 0o400 })),
		leaf{Node: format.Node{Name: "pipe", Type: format.TypeFifo, Mode: fs.ModeNamedPipe | 0o604}},
		dirLeaf("closed", fileLeaf("in", []byte("y"))).with(func(n *format.Node) { n.Mode = fs.ModeDir | fs.ModeSetgid | fs.ModeSticky | 0o500 }),
	)
	target := filepath.Join(t.TempDir(), "new", "target")
	s, err := r.Restore(t.Context(), id, target, nil)
	require.NoError(t, err)
	require.Empty(t, s.Warnings)
	require.Equal(t, int64(4+len(every)), s.Files)
	require.Equal(t, []int64{4, 1, 1}, []int64{s.Folders, s.Symlinks, s.Specials})
	require.Equal(t, string(bytes.Join(large, nil)), readFile(t, target, "large"))
	for c := 1; c < 256; c++ {
		if c != '/' {
			require.Equal(t, string([]byte{byte(c)}), readFile(t, target, "names", "n"+string([]byte{byte(c)})))
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(target, "closed"), 0o700) }) // so that it can be removed
	link, err := os.Readlink(filepath.Join(target, "link"))
	require.NoError(t, err)
	require.Equal(t, "../\xff", link)
	for name, mode := range map[string]fs.FileMode{
		"empty": 0o640, "sub/none": fs.ModeDir | 0o750, "sub/read only": 0o400, "pipe": fs.ModeNamedPipe | 0o604, "closed": fs.ModeDir | fs.ModeSetgid | fs.ModeSticky | 0o500,
		"link": fs.ModeSymlink | 0o777,
	} {
		info, err := os.Lstat(filepath.Join(target, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), name)
		require.True(t, info.ModTime().Equal(leafTime), name)
	}
	noStage(t, target)
}

func TestRestoreSparse(t *testing.T) {
	r, _ := newRepository(t)
	zero := make([]byte, 1<<20)
	chunks := [][]byte{[]byte("begin"), zero, zero, append(slices.Clone(zero), 'x'), zero}
	id := grow(t, r, fileLeaf("sparse", chunks...), fileLeaf("zeros", zero, zero), fileLeaf("short", []byte{0}))
	target, dense := t.TempDir(), t.TempDir()
	_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), id, dense, fast(RestoreOptions{Dense: true}))
	require.NoError(t, err)
	sameTrees(t, dense, target)
	require.Equal(t, string(bytes.Join(chunks, nil)), readFile(t, target, "sparse"))
	require.Greater(t, holes(t, filepath.Join(target, "sparse")), int64(4<<20-100<<10))
	require.Equal(t, int64(2<<20), holes(t, filepath.Join(target, "zeros")))
	require.LessOrEqual(t, holes(t, filepath.Join(dense, "sparse")), int64(4096))
}

func TestRestoreSubPath(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, dirLeaf("a", dirLeaf("b", fileLeaf("c", []byte("content"))).with(func(n *format.Node) { n.Mode = fs.ModeDir | 0o711 })), fileLeaf("d", []byte("d")))
	target := t.TempDir()
	_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{Path: "/a/b/"}))
	require.NoError(t, err)
	require.Equal(t, "content", readFile(t, target, "c"))
	info, err := os.Stat(target)
	require.NoError(t, err)
	require.NotEqual(t, fs.ModeDir|fs.FileMode(0o711), info.Mode())
	_, err = r.Restore(t.Context(), id, target, fast(RestoreOptions{Path: "a/b", TargetMeta: true}))
	require.NoError(t, err)
	info, err = os.Stat(target)
	require.NoError(t, err)
	require.Equal(t, fs.ModeDir|fs.FileMode(0o711), info.Mode())
	require.True(t, info.ModTime().Equal(leafTime))
	single := t.TempDir()
	_, err = r.Restore(t.Context(), id, single, fast(RestoreOptions{Path: "/a/b/c"}))
	require.NoError(t, err)
	require.Equal(t, "content", readFile(t, single, "c"))
	for _, p := range []string{"/none", "/d/e", "/a/b/c/d"} {
		_, err = r.Restore(t.Context(), id, single, fast(RestoreOptions{Path: p}))
		require.ErrorIs(t, err, fs.ErrNotExist, p)
	}
	_, err = r.Restore(t.Context(), "1234", single, nil)
	require.ErrorIs(t, err, ErrNoSnapshot)
}

func TestRestoreHardLinks(t *testing.T) {
	r, _ := newRepository(t)
	named := func(name string, content string) leaf {
		return fileLeaf(name, []byte(content)).with(func(n *format.Node) { n.Inode, n.DeviceID, n.Links = 7, 8, 4 })
	}
	id := grow(t, r, named("a", "one"), dirLeaf("sub", named("b", "one"), named("other", "two")), named("z", "one"))
	target := t.TempDir()
	s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, []int64{2, 2, 1}, []int64{s.Files, s.HardLinks, s.WarningCount})
	a, err := os.Stat(filepath.Join(target, "a"))
	require.NoError(t, err)
	for name, same := range map[string]bool{"z": true, "sub/b": true, "sub/other": false} {
		b, err := os.Stat(filepath.Join(target, name))
		require.NoError(t, err)
		require.Equal(t, same, os.SameFile(a, b), name)
	}
	s, err = r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0, 4}, []int64{s.Files, s.HardLinks, s.Unchanged})
	require.NoError(t, os.Remove(filepath.Join(target, "a")))
	_, err = r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, "one", readFile(t, target, "sub", "b"))
	bad := grow(t, r, named("a", "x").with(func(n *format.Node) { n.Content = []format.ID{{1}} }), named("b", "x").with(func(n *format.Node) { n.Content = []format.ID{{1}} }))
	s, err = r.Restore(t.Context(), bad, t.TempDir(), fast(RestoreOptions{}))
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorIs(t, err, errLinkLost)
	require.Equal(t, int64(2), s.Failed)
}

func TestRestoreOverwrite(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, fileLeaf("file", []byte("right")), linkLeaf("link", "right"))
	target := t.TempDir()
	change := func(content string, mtime time.Time) {
		p := filepath.Join(target, "file")
		require.NoError(t, os.WriteFile(p, []byte(content), 0o600))
		require.NoError(t, os.Chtimes(p, mtime, mtime))
	}
	restore := func(o Overwrite) (string, RestoreSummary) {
		s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{Overwrite: o}))
		require.NoError(t, err)
		return readFile(t, target, "file"), s
	}
	change("wrong", leafTime)
	got, s := restore(OverwriteNever)
	require.Equal(t, "wrong", got)
	require.Equal(t, int64(1), s.Unchanged)
	got, _ = restore(OverwriteChanged)
	require.Equal(t, "wrong", got)
	info, err := os.Stat(filepath.Join(target, "file"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode())
	got, _ = restore(OverwriteDifferent)
	require.Equal(t, "right", got)
	change("right", leafTime.Add(time.Hour))
	_, s = restore(OverwriteDifferent)
	require.Equal(t, []int64{0, 2}, []int64{s.Files, s.Unchanged})
	_, s = restore(OverwriteChanged)
	require.Equal(t, []int64{0, 2}, []int64{s.Files, s.Unchanged})
	_, s = restore(OverwriteAlways)
	require.Equal(t, []int64{1, 1, 0}, []int64{s.Files, s.Symlinks, s.Unchanged})
	change("longer than that", leafTime)
	got, _ = restore(OverwriteChanged)
	require.Equal(t, "right", got)
}

func TestRestoreInTheWay(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, fileLeaf("file", []byte("file")), fileLeaf("other", []byte("other")), dirLeaf("folder"))
	target := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(target, "file", "full"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(target, "other"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(target, "folder"), nil, 0o600))
	_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.ErrorIs(t, err, errInTheWay)
	require.DirExists(t, filepath.Join(target, "file", "full"))
	require.Equal(t, "other", readFile(t, target, "other"))
	require.DirExists(t, filepath.Join(target, "folder"))
	_, err = r.Restore(t.Context(), id, target, fast(RestoreOptions{Delete: true}))
	require.NoError(t, err)
	require.Equal(t, "file", readFile(t, target, "file"))
}

func TestRestoreDelete(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, dirLeaf("sub", fileLeaf("file", []byte("file"))), linkLeaf("link", "x"))
	bad := grow(t, r, fileLeaf("lost").with(func(n *format.Node) { n.Content = []format.ID{{1}} }))
	outside := outsideOf(t)
	before := listing(t, outside)
	target := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(target, "sub", "old", "older"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(target, "sub", "kept.log"), nil, 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(target, "sub", "old", "out")))
	require.NoError(t, os.Symlink(outside, filepath.Join(target, "out")))
	_, err := r.Restore(t.Context(), bad, target, fast(RestoreOptions{Delete: true}))
	require.Error(t, err)
	require.DirExists(t, filepath.Join(target, "sub", "old", "older"))
	s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{Delete: true, Exclude: []string{"*.log"}}))
	require.NoError(t, err)
	require.Equal(t, int64(2), s.Deleted)
	require.Equal(t, before, listing(t, outside))
	require.FileExists(t, filepath.Join(target, "sub", "kept.log"))
	require.NoFileExists(t, filepath.Join(target, "sub", "old"))
	info, err := os.Stat(filepath.Join(target, "sub"))
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(leafTime))
}

func TestRestoreFiltered(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, dirLeaf("a", fileLeaf("x.txt", []byte("x")), fileLeaf("y.log", []byte("y")), dirLeaf("deep", fileLeaf("z.txt", []byte("z")))), dirLeaf("empty"), fileLeaf("top.txt", []byte("t")))
	names := func(o RestoreOptions) (found []string) {
		target := t.TempDir()
		_, err := r.Restore(t.Context(), id, target, fast(o))
		require.NoError(t, err)
		require.NoError(t, filepath.WalkDir(target, func(p string, _ fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(target, p)
			found = append(found, rel)
			return err
		}))
		return found[1:]
	}
	require.Equal(t, []string{"a", "a/deep", "a/deep/z.txt", "a/x.txt", "top.txt"}, names(RestoreOptions{Include: []string{"*.txt"}}))
	require.Equal(t, []string{"a", "a/deep", "a/deep/z.txt"}, names(RestoreOptions{Include: []string{"/a/deep"}}))
	require.Equal(t, []string{"a", "a/x.txt", "a/y.log", "empty"}, names(RestoreOptions{Exclude: []string{"deep", "/top.*"}}))
	require.Equal(t, []string{"deep", "deep/z.txt"}, names(RestoreOptions{Path: "a", Include: []string{"/a/**/z*"}}))
	require.Equal(t, []string{"deep", "deep/z.txt", "x.txt"}, names(RestoreOptions{Path: "a", Include: []string{"a"}, Exclude: []string{"*.log"}}))
	_, err := r.Restore(t.Context(), id, t.TempDir(), &RestoreOptions{Include: []string{"[a"}})
	require.ErrorContains(t, err, "cannot be read")
}

func TestRestoreCancelled(t *testing.T) {
	plain, raw := newRepository(t)
	var leaves []leaf
	for i := range 20 {
		leaves = append(leaves, fileLeaf(fmt.Sprint("file", i), randomBytes(uint64(i), 3<<20), randomBytes(uint64(i+100), 1<<20)))
	}
	id := grow(t, plain, leaves...)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var reads atomic.Int32
	r := hooked(t, raw, func(key string) error {
		if strings.Contains(key, "data/") && reads.Add(1) == 6 {
			cancel(stop)
		}
		return nil
	})
	target := t.TempDir()
	_, err := r.Restore(ctx, id, target, fast(RestoreOptions{}))
	require.ErrorIs(t, err, stop)
	noStage(t, target)
	done, err := os.ReadDir(target)
	require.NoError(t, err)
	require.Less(t, len(done), 20)
	for _, f := range done {
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, int64(4<<20), info.Size())
	}
	s, err := plain.Restore(t.Context(), id, target, fast(RestoreOptions{Overwrite: OverwriteDifferent}))
	require.NoError(t, err)
	require.Equal(t, []int64{int64(len(done)), int64(20 - len(done))}, []int64{s.Unchanged, s.Files})
}

func TestRestoreSweeps(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, fileLeaf("file", []byte("file")))
	target := t.TempDir()
	dead, alive := filepath.Join(target, stagePrefix+"0123456789abcdef"), filepath.Join(target, stagePrefix+"fedcba9876543210")
	for _, p := range []string{dead, alive} {
		require.NoError(t, os.Mkdir(p, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(p, "1"), []byte("half"), 0o600))
	}
	f, err := os.Open(alive)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	_, err = r.Restore(t.Context(), id, target, fast(RestoreOptions{Delete: true}))
	require.NoError(t, err)
	require.NoDirExists(t, dead)
	require.DirExists(t, alive)
}

func TestRestoreRequests(t *testing.T) {
	plain, raw := newRepository(t)
	const size, chunk = 96 << 20, 64 << 10
	var chunks [][]byte
	for i := range size / chunk {
		chunks = append(chunks, randomBytes(uint64(i), chunk))
	}
	id := grow(t, plain, fileLeaf("file", chunks...))
	var reads atomic.Int64
	r := hooked(t, raw, func(key string) error {
		if strings.Contains(key, "data/") {
			reads.Add(1)
		}
		return nil
	})
	target := t.TempDir()
	var last Progress
	_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{Progress: func(p Progress) { last = p }}))
	require.NoError(t, err)
	// One read is the tree's.
	require.LessOrEqual(t, (reads.Load()-1)*(1<<30)/size, int64(140))
	require.True(t, last.Done)
	require.Equal(t, []int64{1, 1, size, size}, []int64{last.Files, last.TotalFiles, last.Bytes, last.TotalBytes})
	require.Equal(t, hashOf(bytes.Join(chunks, nil)), hashOf([]byte(readFile(t, target, "file"))))
}

func TestRestoreManyChunks(t *testing.T) {
	r, _ := newRepository(t)
	small := [][]byte{randomBytes(1, 100), randomBytes(2, 50), randomBytes(3, 10)}
	var chunks [][]byte
	for i := range 2*batchChunks + 5 {
		chunks = append(chunks, small[i%3])
	}
	id := grow(t, r, fileLeaf("before", small[0]), fileLeaf("file", chunks...), fileLeaf("ready", small...))
	target := t.TempDir()
	_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, hashOf(bytes.Join(chunks, nil)), hashOf([]byte(readFile(t, target, "file"))))
}

func TestRestoreBrokenReads(t *testing.T) {
	plain, raw := newRepository(t)
	id := grow(t, plain, fileLeaf("file", randomBytes(1, 200_000), randomBytes(2, 200_000), randomBytes(3, 200_000)), fileLeaf("other", randomBytes(2, 200_000)))
	open := func(f locationtest.Faults) *Repository {
		r, err := Open(t.Context(), location.New(locationtest.Faulty(raw, f), nil), testPassword, nil)
		require.NoError(t, err)
		return r
	}
	data := plain.idxPack(t, format.DataBlob)
	var cut atomic.Int32
	// The stream breaks in the middle, time and again, and is taken up where it was.
	r := open(locationtest.Faults{Read: func(key string, in io.Reader) io.Reader {
		if !strings.HasSuffix(key, data) {
			return in
		}
		cut.Add(1)
		return io.MultiReader(io.LimitReader(in, 250_000), iotest.ErrReader(errors.New("connection reset")))
	}})
	target := t.TempDir()
	_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, string(slices.Concat(randomBytes(1, 200_000), randomBytes(2, 200_000), randomBytes(3, 200_000))), readFile(t, target, "file"))
	require.Equal(t, int32(3), cut.Load())
	var out bytes.Buffer
	require.NoError(t, r.Dump(t.Context(), id, "/file", &out))
	require.Equal(t, 600_000, out.Len())
	// A store that refuses ends the restore: nothing else would come of the other files.
	r = open(locationtest.Faults{Before: func(_ context.Context, op locationtest.Op, key string) error {
		if op == locationtest.OpRead && strings.HasSuffix(key, data) {
			return fs.ErrPermission
		}
		return nil
	}})
	broken := t.TempDir()
	_, err = r.Restore(t.Context(), id, broken, fast(RestoreOptions{}))
	require.ErrorIs(t, err, fs.ErrPermission)
	left, err := os.ReadDir(broken)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestRestoreWhatWasBackedUp(t *testing.T) {
	r, _ := newRepository(t)
	tree, target := t.TempDir(), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "a", "b"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "a", "odd \xff\n"), randomBytes(1, 300_000), 0o604))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "a", "sparse"), nil, 0o600))
	require.NoError(t, os.Truncate(filepath.Join(tree, "a", "sparse"), 30<<20))
	require.NoError(t, os.Symlink("x\xfe", filepath.Join(tree, "a", "b", "link")))
	require.NoError(t, os.Link(filepath.Join(tree, "a", "odd \xff\n"), filepath.Join(tree, "second")))
	require.NoError(t, os.Chtimes(filepath.Join(tree, "a"), leafTime, leafTime))
	s, err := r.Backup(t.Context(), local(t, tree), nil)
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), s.ID, target, fast(RestoreOptions{Path: tree}))
	require.NoError(t, err)
	sameTrees(t, tree, target)
	require.Equal(t, int64(30<<20), holes(t, filepath.Join(target, "a", "sparse")))
}
