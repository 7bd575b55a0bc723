//go:build linux

package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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

func TestRestoreHostileNames(t *testing.T) {
	r, _ := newRepository(t)
	for _, name := range []string{"..", ".", "", "a/b", "../x", `\x00`, "/etc", `a\x2fb`} {
		raw := `{"nodes":[{"name":"` + strings.ReplaceAll(name, `\`, `\\`) + `","type":"file","content":[]}]}`
		id := grow(t, r, leaf{Node: format.Node{Name: "sub", Type: format.TypeDir}, raw: []byte(raw)}, fileLeaf("good", []byte("good")))
		outside := t.TempDir()
		target := filepath.Join(outside, "target")
		s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
		require.ErrorIs(t, err, ErrDamaged, name)
		require.Equal(t, int64(1), s.Failed)
		require.Equal(t, "good", readFile(t, target, "good"))
		entries, err := os.ReadDir(outside)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.Error(t, r.Dump(t.Context(), id, "/", &bytes.Buffer{}))
	}
}

// outsideOf makes a folder outside of a target, with a file in it.
func outsideOf(t *testing.T) string {
	t.Helper()
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "file"), []byte("before"), 0o600))
	require.NoError(t, os.Chtimes(filepath.Join(outside, "file"), leafTime, leafTime))
	require.NoError(t, os.Chtimes(outside, leafTime.Add(time.Hour), leafTime.Add(time.Hour)))
	return outside
}

func TestRestoreThroughPlantedLinks(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, dirLeaf("sub", fileLeaf("file", []byte("after!"))), fileLeaf("file", []byte("after!")), fileLeaf("same", []byte("after!")),
		linkLeaf("link", "elsewhere"), dirLeaf("loop", fileLeaf("file", []byte("after!"))))
	outside := outsideOf(t)
	before := listing(t, outside)
	target := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(target, "sub")))
	require.NoError(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(target, "file")))
	require.NoError(t, os.Symlink(outside, filepath.Join(target, "link")))
	require.NoError(t, os.Symlink("loop", filepath.Join(target, "loop")))
	// A name of a file outside, of the right size and time: it must not even get the mode of the snapshot's.
	require.NoError(t, os.Link(filepath.Join(outside, "file"), filepath.Join(target, "same")))
	for _, overwrite := range []Overwrite{OverwriteChanged, OverwriteDifferent, OverwriteAlways} {
		_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{Overwrite: overwrite, Delete: true}))
		require.NoError(t, err)
	}
	for _, name := range []string{"file", "sub/file", "same", "loop/file"} {
		require.Equal(t, "after!", readFile(t, target, name))
	}
	require.Empty(t, differences(linkless(before), linkless(listing(t, outside))))
	link, err := os.Readlink(filepath.Join(target, "link"))
	require.NoError(t, err)
	require.Equal(t, "elsewhere", link)
}

// linkless leaves out how many names files have.
func linkless(lines []string) []string {
	for i := range lines {
		lines[i], _, _ = strings.Cut(lines[i], " links ")
	}
	return lines
}

func TestRestoreLinksInTheSnapshot(t *testing.T) {
	r, _ := newRepository(t)
	outside := outsideOf(t)
	before := listing(t, outside)
	// A link, and something below it: two entries of one name.
	raw := fmt.Sprintf(`{"nodes":[{"name":"out","type":"symlink","linktarget":%q},{"name":"out","type":"file","content":[]}]}`, outside)
	id := grow(t, r, leaf{Node: format.Node{Name: "sub", Type: format.TypeDir}, raw: []byte(raw)})
	_, err := r.Restore(t.Context(), id, t.TempDir(), fast(RestoreOptions{}))
	require.ErrorIs(t, err, ErrDamaged)
	// One snapshot plants the link, the next has a folder there.
	target := t.TempDir()
	first := grow(t, r, linkLeaf("out", outside))
	second := grow(t, r, dirLeaf("out", fileLeaf("file", []byte("after"))))
	_, err = r.Restore(t.Context(), first, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), second, target, fast(RestoreOptions{Overwrite: OverwriteNever}))
	require.ErrorIs(t, err, errInTheWay)
	_, err = r.Restore(t.Context(), second, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, "after", readFile(t, target, "out", "file"))
	require.Equal(t, before, listing(t, outside))
}

func TestRestoreFolderReplacedMeanwhile(t *testing.T) {
	plain, raw := newRepository(t)
	// More folders than are kept open, so that they are opened again.
	var leaves []leaf
	for i := range openFolders + 20 {
		leaves = append(leaves, dirLeaf(fmt.Sprint("sub", i), fileLeaf("file", fmt.Appendf(nil, "after %d", i))))
	}
	id := grow(t, plain, leaves...)
	outside := outsideOf(t)
	before := listing(t, outside)
	target := t.TempDir()
	data := plain.idxPack(t, format.DataBlob)
	var once sync.Once
	r := hooked(t, raw, func(key string) error {
		if strings.HasSuffix(key, data) {
			once.Do(func() {
				for i := range leaves {
					sub := filepath.Join(target, fmt.Sprint("sub", i))
					_ = os.Rename(sub, sub+"moved")
					_ = os.Symlink(outside, sub)
				}
			})
		}
		return nil
	})
	_, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.Error(t, err)
	require.Equal(t, before, listing(t, outside))
	noStage(t, target)
}

// idxPack is the only pack of blobs of that type.
func (r *Repository) idxPack(t *testing.T, kind format.BlobType) string {
	t.Helper()
	packs := map[format.ID]bool{}
	for p := range r.idx.all() {
		if p.Type == kind {
			packs[p.Pack] = true
		}
	}
	require.Len(t, packs, 1)
	for id := range packs {
		return id.String()
	}
	return ""
}

func TestRestoreSetIDAndDevices(t *testing.T) {
	r, _ := newRepository(t)
	bits := fs.ModeSetuid | fs.ModeSetgid
	id := grow(t, r, fileLeaf("program", []byte("#!")).with(func(n *format.Node) {
		n.Mode = bits | 0o755
		n.Xattrs = []format.Xattr{{Name: capabilityXattr, Value: append([]byte{1, 0, 0, 2, 0, 4}, make([]byte, 14)...)}}
	}),
		leaf{Node: format.Node{Name: "null", Type: format.TypeChar, Mode: fs.ModeDevice | fs.ModeCharDevice | 0o666, Device: 259}},
		leaf{Node: format.Node{Name: "disk", Type: format.TypeDevice, Mode: fs.ModeDevice | 0o600, Device: 7 << 8}},
		leaf{Node: format.Node{Name: "socket", Type: format.TypeSocket, Mode: fs.ModeSocket | 0o600}},
		// The type decides, not the mode.
		fileLeaf("liar", []byte("file")).with(func(n *format.Node) { n.Mode = fs.ModeDevice | fs.ModeDir | 0o600 }))
	target := t.TempDir()
	s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, []int64{2, 1, 2}, []int64{s.LeftOutDevices, s.LeftOutSockets, s.LeftOutSetIDs})
	info, err := os.Lstat(filepath.Join(target, "program"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o755), info.Mode())
	require.NotContains(t, xattrList(t, filepath.Join(target, "program")), "capability")
	require.NoFileExists(t, filepath.Join(target, "null"))
	require.Equal(t, "file", readFile(t, target, "liar"))
	if os.Geteuid() != 0 {
		return // only root can make the others
	}
	all := t.TempDir()
	s, err = r.Restore(t.Context(), id, all, fast(RestoreOptions{SetID: true, Devices: true}))
	require.NoError(t, err)
	require.Equal(t, int64(2), s.Specials)
	info, err = os.Lstat(filepath.Join(all, "program"))
	require.NoError(t, err)
	require.Equal(t, bits|0o755, info.Mode())
	require.Contains(t, xattrList(t, filepath.Join(all, "program")), capabilityXattr)
	info, err = os.Lstat(filepath.Join(all, "null"))
	require.NoError(t, err)
	require.Equal(t, fs.ModeDevice|fs.ModeCharDevice|0o666, info.Mode())
}

func TestRestoreSizesThatLie(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, fileLeaf("file", []byte("four")).with(func(n *format.Node) { n.Size = 1 << 63 }), fileLeaf("good", []byte("good")))
	target := t.TempDir()
	s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, `"file"`)
	require.Equal(t, int64(1), s.Failed)
	require.Equal(t, "four", readFile(t, target, "file"))
	require.Equal(t, "good", readFile(t, target, "good"))
	require.ErrorIs(t, r.Dump(t.Context(), id, "/file", &bytes.Buffer{}), ErrDamaged)
}

func TestRestoreMissingBlobs(t *testing.T) {
	r, _ := newRepository(t)
	leaves := make([]leaf, 0, 32)
	for i := range 30 {
		leaves = append(leaves, fileLeaf(fmt.Sprintf("bad %02d", i), []byte("begin")).with(func(n *format.Node) { n.Content = []format.ID{format.NewID()} }))
	}
	id := grow(t, r, append(leaves, fileLeaf("good", []byte("good")), dirLeaf("lost").with(func(n *format.Node) { n.ModTime = leafTime }))...)
	target := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(target, "bad 00"), []byte("old"), 0o600))
	s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, "and 10 more")
	require.Equal(t, []int64{30, 1}, []int64{s.Failed, s.Files})
	require.Equal(t, "good", readFile(t, target, "good"))
	require.Equal(t, "old", readFile(t, target, "bad 00"))
	require.NoFileExists(t, filepath.Join(target, "bad 01"))
}

func TestRestoreDamagedPack(t *testing.T) {
	plain, raw := newRepository(t)
	id := grow(t, plain, fileLeaf("first", randomBytes(1, 5000), randomBytes(2, 5000)), fileLeaf("second", randomBytes(3, 5000)), fileLeaf("third", randomBytes(2, 5000)))
	place, ok := plain.idx.lookup(format.Handle{ID: format.Hash(randomBytes(2, 5000)), Type: format.DataBlob})
	require.True(t, ok)
	key := plain.file(packFile, place.Pack)
	content, err := raw.ReadAll(t.Context(), key)
	require.NoError(t, err)
	content[place.Offset+1000] ^= 1
	require.NoError(t, raw.WriteAll(t.Context(), key, content, nil))
	target := t.TempDir()
	r := reopen(t, raw, nil)
	s, err := r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.ErrorIs(t, err, ErrDamaged)
	require.Equal(t, []int64{2, 1}, []int64{s.Failed, s.Files})
	require.Equal(t, string(randomBytes(3, 5000)), readFile(t, target, "second"))
	require.NoFileExists(t, filepath.Join(target, "first"))
	require.NoFileExists(t, filepath.Join(target, "third"))
	noStage(t, target)
	var out bytes.Buffer
	require.ErrorIs(t, r.Dump(t.Context(), id, "/first", &out), ErrDamaged)
	require.True(t, bytes.HasPrefix(randomBytes(1, 5000), out.Bytes()))
}

func TestRestoreWrongHash(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, fileLeaf("file", []byte("content")))
	// An index that says that another blob is where the content is.
	good, ok := r.idx.lookup(format.Handle{ID: format.Hash([]byte("content")), Type: format.DataBlob})
	require.True(t, ok)
	false1 := good.Blob
	false1.ID = format.NewID()
	r.idx.addPack(format.NewID(), []format.Blob{false1})
	r.idx.packs[len(r.idx.packs)-1].id = good.Pack
	bad := grow(t, r, fileLeaf("file").with(func(n *format.Node) { n.Content, n.Size = []format.ID{false1.ID}, 7 }))
	target := t.TempDir()
	_, err := r.Restore(t.Context(), bad, target, fast(RestoreOptions{}))
	require.ErrorIs(t, err, ErrDamaged)
	require.NoFileExists(t, filepath.Join(target, "file"))
	_, err = r.Restore(t.Context(), id, target, fast(RestoreOptions{}))
	require.NoError(t, err)
}

func TestRestoreDeep(t *testing.T) {
	r, _ := newRepository(t)
	deep := func(n int) leaf {
		l := fileLeaf("leaf", []byte("leaf"))
		for range n {
			l = dirLeaf("d", l)
		}
		return l
	}
	target := t.TempDir()
	_, err := r.Restore(t.Context(), grow(t, r, deep(3*openFolders)), target, fast(RestoreOptions{}))
	require.NoError(t, err)
	require.Equal(t, "leaf", readFile(t, target, strings.Repeat("d/", 3*openFolders), "leaf"))
	bomb := grow(t, r, deep(maxDepth+10))
	_, err = r.Restore(t.Context(), bomb, t.TempDir(), fast(RestoreOptions{Include: []string{"/none"}}))
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), bomb, t.TempDir(), fast(RestoreOptions{Include: []string{"none"}}))
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorIs(t, r.Walk(t.Context(), bomb, "/", func(string, Entry) error { return nil }), ErrDamaged)
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
