//go:build linux

package repository

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

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
