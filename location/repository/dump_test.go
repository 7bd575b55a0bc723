package repository

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

func TestDumpFile(t *testing.T) {
	r, _ := newRepository(t)
	var chunks [][]byte
	for i := range 300 {
		// Some come twice, near and far.
		chunks = append(chunks, randomBytes(uint64(i%200), 100_000))
	}
	id := grow(t, r, dirLeaf("a", fileLeaf("file", chunks...)), fileLeaf("empty"), linkLeaf("link", "x"))
	var out bytes.Buffer
	require.NoError(t, r.Dump(t.Context(), id, "a/file", &out))
	require.Equal(t, hashOf(bytes.Join(chunks, nil)), hashOf(out.Bytes()))
	out.Reset()
	require.NoError(t, r.Dump(t.Context(), "latest", "/empty", &out))
	require.Zero(t, out.Len())
	require.ErrorContains(t, r.Dump(t.Context(), id, "/link", &out), "symlink")
	require.ErrorIs(t, r.Dump(t.Context(), id, "/none", &out), fs.ErrNotExist)
	full := errors.New("full")
	require.ErrorIs(t, r.Dump(t.Context(), id, "a/file", failing{full}), full)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(full)
	require.ErrorIs(t, r.Dump(ctx, id, "a/file", &out), full)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestDumpTar(t *testing.T) {
	r, _ := newRepository(t)
	long := strings.Repeat("long/", 60)
	deep := fileLeaf("leaf", []byte("deep"))
	for range 60 {
		deep = dirLeaf("long", deep)
	}
	named := func(name string) leaf {
		return fileLeaf(name, []byte("linked")).with(func(n *format.Node) { n.Inode, n.DeviceID, n.Links = 7, 8, 2 })
	}
	id := grow(t, r, dirLeaf("top",
		fileLeaf("file", randomBytes(1, 100_000), randomBytes(2, 5)).with(func(n *format.Node) {
			n.UID, n.GID, n.Mode = 1000, 3_000_000_000, fs.ModeSetuid|0o755
			n.Xattrs = []format.Xattr{{Name: "user.x", Value: []byte("v\x00\xff")}, {Name: capabilityXattr, Value: []byte("x")}}
		}),
		fileLeaf("odd \xff\n", []byte("odd")), linkLeaf("symlink", "../\xfe"), deep, named("first"), named("second"),
		leaf{Node: format.Node{Name: "null", Type: format.TypeChar, Mode: 0o666, Device: 259}},
		leaf{Node: format.Node{Name: "pipe", Type: format.TypeFifo, Mode: 0o600}},
		leaf{Node: format.Node{Name: "socket", Type: format.TypeSocket, Mode: 0o600}},
		fileLeaf("old", []byte("old")).with(func(n *format.Node) { n.ModTime = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC) }),
	))
	for _, gnu := range []bool{false, true} {
		var out bytes.Buffer
		require.NoError(t, r.DumpTar(t.Context(), id, "/top", &out, &DumpOptions{GNU: gnu, Devices: true}))
		got := map[string]*tar.Header{}
		content := map[string]string{}
		for in := tar.NewReader(&out); ; {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			b, err := io.ReadAll(in)
			require.NoError(t, err)
			got[h.Name], content[h.Name] = h, string(b)
		}
		require.Len(t, got, 60+9)
		file := got["file"]
		require.Equal(t, []int64{1000, 3_000_000_000, 0o755}, []int64{int64(file.Uid), int64(file.Gid), file.Mode})
		require.Equal(t, string(randomBytes(1, 100_000))+string(randomBytes(2, 5)), content["file"])
		require.Equal(t, "odd", content["odd \xff\n"])
		require.Equal(t, "../\xfe", got["symlink"].Linkname)
		require.Equal(t, "deep", content[long+"leaf"])
		require.Equal(t, []any{byte(tar.TypeLink), "first"}, []any{got["second"].Typeflag, got["second"].Linkname})
		require.Equal(t, []int64{1, 3}, []int64{got["null"].Devmajor, got["null"].Devminor})
		if gnu {
			require.True(t, file.ModTime.Equal(leafTime.Truncate(time.Second)))
			continue
		}
		require.True(t, file.ModTime.Equal(leafTime))
		require.Equal(t, "v\x00\xff", file.PAXRecords["SCHILY.xattr.user.x"])
		require.NotContains(t, file.PAXRecords, "SCHILY.xattr."+capabilityXattr)
	}
}

func TestDumpTarMissing(t *testing.T) {
	r, _ := newRepository(t)
	lost := fileLeaf("lost").with(func(n *format.Node) { n.Content, n.Size = []format.ID{{1}}, 5 })
	id := grow(t, r, fileLeaf("a", []byte("a")), lost, fileLeaf("z", []byte("z")))
	var out bytes.Buffer
	err := r.Dump(t.Context(), id, "/", &out)
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, `"/lost"`)
	var names []string
	for in := tar.NewReader(&out); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		names = append(names, h.Name)
	}
	require.Equal(t, []string{"a", "z"}, names)
}

func TestWalk(t *testing.T) {
	r, _ := newRepository(t)
	id := grow(t, r, dirLeaf("a", dirLeaf("b", fileLeaf("c", []byte("content"))), fileLeaf("d", []byte("d"))), linkLeaf("z", "target"))
	list := func(at string, visit func(p string, e Entry) error) (lines []string, err error) {
		err = r.Walk(t.Context(), id, at, func(p string, e Entry) error {
			lines = append(lines, fmt.Sprint(p, " ", e.Name, " ", e.Mode, " ", e.Size, " ", e.Target))
			return visit(p, e)
		})
		return lines, err
	}
	all, err := list("/", func(string, Entry) error { return nil })
	require.NoError(t, err)
	require.Equal(t, []string{"/a a drwxr-x--- 0 ", "/a/b b drwxr-x--- 0 ", "/a/b/c c -rw-r----- 7 ", "/a/d d -rw-r----- 1 ", "/z z Lrwxrwxrwx 0 target"}, all)
	some, err := list("/a/", func(_ string, e Entry) error {
		if e.Name == "b" {
			return fs.SkipDir
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{all[0], all[1], all[3]}, some)
	one, err := list("/", func(string, Entry) error { return fs.SkipAll })
	require.NoError(t, err)
	require.Len(t, one, 1)
	stop := errors.New("stop")
	_, err = list("/a/b/c", func(string, Entry) error { return stop })
	require.ErrorIs(t, err, stop)
}
