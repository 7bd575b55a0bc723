//go:build unix

package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tarOf is the file system of a package.
func tarOf(t *testing.T, headers ...tar.Header) func(deb) (tarStream, error) {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		require.NoError(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, h.Name)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return func(deb) (tarStream, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
}

// entries reads a layer or an archive.
func entries(t *testing.T, r io.Reader) (order []string, headers map[string]*tar.Header, contents map[string]string) {
	t.Helper()
	headers, contents = map[string]*tar.Header{}, map[string]string{}
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return order, headers, contents
		}
		require.NoError(t, err)
		require.NotContains(t, headers, h.Name, "each path once")
		data, err := io.ReadAll(in)
		require.NoError(t, err)
		order, headers[h.Name], contents[h.Name] = append(order, h.Name), h, string(data)
	}
}

func TestLayerPutsPackagesBelowUsrAndFilesOverThem(t *testing.T) {
	files, err := check(Spec{Name: "a:1", User: "999:998", Files: []File{
		{Path: "/etc/conf", Data: []byte("ours")},
		{Path: "/srv/data", Dir: true, Mode: 0o700, UID: 999, GID: 998},
		{Path: "/bin/sh", Link: "tool"},
	}})
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, writeLayer(&buf, files, []deb{{file: "a.deb"}}, tarOf(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeDir, Name: "./bin/", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "./bin/tool", Mode: 0o4755, ModTime: time.Now()},
		tar.Header{Typeflag: tar.TypeReg, Name: "./bin/sh", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeLink, Name: "./usr/bin/same", Linkname: "./bin/tool"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./lib/up.so", Linkname: "../usr/share/up.so"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./lib/beside.so", Linkname: "up.so"},
		tar.Header{Typeflag: tar.TypeReg, Name: "./etc/conf", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeReg, Name: "./usr/share/doc/a/readme", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeDir, Name: "./srv/data", Mode: 0o777},
		tar.Header{Typeflag: tar.TypeReg, Name: "./srv/data/file", Mode: 0o644, Uid: 7},
	)))
	order, headers, contents := entries(t, &buf)
	require.Equal(t, "usr/bin", headers["bin"].Linkname)
	require.Equal(t, "./bin/tool", contents["usr/bin/tool"])
	require.EqualValues(t, 0o4755, headers["usr/bin/tool"].Mode)
	require.Equal(t, "usr/bin/tool", headers["usr/bin/same"].Linkname)
	require.Equal(t, "tool", headers["usr/bin/sh"].Linkname)
	require.Equal(t, "/usr/share/up.so", headers["usr/lib/up.so"].Linkname)
	require.Equal(t, "up.so", headers["usr/lib/beside.so"].Linkname)
	require.Equal(t, "ours", contents["etc/conf"])
	require.NotContains(t, headers, "usr/share/doc/a/readme")
	require.EqualValues(t, 0o700, headers["srv/data/"].Mode)
	require.Equal(t, 999, headers["srv/data/"].Uid)
	require.Equal(t, 7, headers["srv/data/file"].Uid)
	require.EqualValues(t, 0o1777, headers["tmp/"].Mode)
	require.Contains(t, contents["etc/passwd"], "\napp:x:999:998:")
	made := map[string]bool{"./": true}
	for _, name := range order {
		require.Contains(t, made, filepath.Dir(strings.TrimSuffix("./"+name, "/"))+"/", "the folder of %s", name)
		made["./"+name] = true
		if dir, ok := strings.CutSuffix("./"+name, "/"); ok {
			made[filepath.Clean(dir)+"/"] = true
		}
		require.True(t, headers[name].ModTime.Equal(built), name)
	}
}

func TestLayerNeedsWholePackages(t *testing.T) {
	broken := errors.New("broken package")
	for name, open := range map[string]func(deb) (tarStream, error){
		"open":   func(deb) (tarStream, error) { return nil, broken },
		"close":  func(deb) (tarStream, error) { return &failing{Reader: strings.NewReader("")}, nil },
		"cut":    func(deb) (tarStream, error) { return io.NopCloser(strings.NewReader("half a header")), nil },
		"device": tarOf(t, tar.Header{Typeflag: tar.TypeChar, Name: "./dev/null"}),
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, writeLayer(io.Discard, nil, []deb{{file: "a.deb"}}, open), `package "a.deb"`)
		})
	}
}

type failing struct{ io.Reader }

func (*failing) Close() error { return errors.New("the program failed") }

func TestArchiveNamesWhatItHolds(t *testing.T) {
	archive, err := Build(t.Context(), Spec{
		Name: "localhost/a:2", User: "1000", Env: []string{"A=b"}, Cmd: []string{"/run"}, WorkingDir: "/srv",
		Files: []File{{Path: "/run.txt", Data: []byte("hello")}},
	}, t.TempDir())
	require.NoError(t, err)
	f, err := os.Open(archive)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	_, _, contents := entries(t, f)
	for name, data := range contents {
		if sum, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
			require.Equal(t, "sha256:"+sum, digest([]byte(data)))
		}
	}
	var list index
	require.NoError(t, json.Unmarshal([]byte(contents["index.json"]), &list))
	require.Len(t, list.Manifests, 1)
	require.Equal(t, "localhost/a:2", list.Manifests[0].Annotations["io.containerd.image.name"])
	var m manifest
	require.NoError(t, json.Unmarshal([]byte(contents[blobPath(list.Manifests[0].Digest)]), &m))
	var c config
	require.NoError(t, json.Unmarshal([]byte(contents[blobPath(m.Config.Digest)]), &c))
	require.Equal(t, "1000", c.Config.User)
	require.Equal(t, []string{defaultPath, "A=b"}, c.Config.Env)
	require.Equal(t, []string{"/run"}, c.Config.Cmd)
	require.Equal(t, "/srv", c.Config.WorkingDir)
	require.Len(t, m.Layers, 1)
	require.Equal(t, []string{m.Layers[0].Digest}, c.RootFS.DiffIDs)
	_, _, inside := entries(t, strings.NewReader(contents[blobPath(m.Layers[0].Digest)]))
	require.Equal(t, "hello", inside["run.txt"])
}

func TestBuildIsReproducibleAndCached(t *testing.T) {
	dir, source := t.TempDir(), filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(source, []byte("v1"), 0o600))
	spec := Spec{Name: "localhost/a:1", Files: []File{{Path: "/program", Source: source}, {Path: "/bin/x", Link: "/program"}}}
	build := func(dir string) (string, []byte, fs.FileInfo) {
		archive, err := Build(t.Context(), spec, dir)
		require.NoError(t, err)
		data, err := os.ReadFile(archive)
		require.NoError(t, err)
		info, err := os.Stat(archive)
		require.NoError(t, err)
		return archive, data, info
	}
	archive, data, first := build(dir)
	_, again, second := build(dir)
	require.True(t, os.SameFile(first, second), "found again")
	require.Equal(t, data, again)
	_, elsewhere, _ := build(t.TempDir())
	require.Equal(t, data, elsewhere, "the same bytes in another cache")

	for name, harm := range map[string]func() error{
		"cut":     func() error { return os.Truncate(archive, first.Size()/2) },
		"changed": func() error { return os.WriteFile(archive, bytes.Replace(data, []byte("v1"), []byte("v2"), 1), 0o600) },
		"lost":    func() error { return os.Remove(archive) },
		"no sum":  func() error { return os.Remove(archive + sumSuffix) },
	} {
		require.NoError(t, harm(), name)
		_, mended, _ := build(dir)
		require.Equal(t, data, mended, name)
	}

	require.NoError(t, os.WriteFile(source, []byte("v2"), 0o600))
	old := time.Now().Add(-2 * unused)
	require.NoError(t, os.Chtimes(archive, old, old))
	other, changed, _ := build(dir)
	require.NotEqual(t, archive, other, "another content is another archive")
	require.NotEqual(t, data, changed)
	require.NoFileExists(t, archive, "what is long unused goes")
	require.NoFileExists(t, archive+sumSuffix)
	left, err := filepath.Glob(filepath.Join(dir, ".build-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestBadSpecsAreRefused(t *testing.T) {
	for want, spec := range map[string]Spec{
		"needs a tag":     {Name: "localhost/a"},
		"is not a number": {Name: "a:1", User: "postgres"},
		"is not absolute": {Name: "a:1", Files: []File{{Path: "etc/x"}}},
		"more than one":   {Name: "a:1", Files: []File{{Path: "/x", Link: "/y", Dir: true}}},
		"no such file":    {Name: "a:1", Files: []File{{Path: "/x", Source: "/no/such/file"}}},
	} {
		_, err := Build(t.Context(), spec, t.TempDir())
		require.ErrorContains(t, err, want)
	}
}

func TestWhatAptPrintsIsRead(t *testing.T) {
	debs, err := parseURIs([]byte("Reading package lists...\n" +
		"'http://deb.example/b_2_all.deb' b_2_all.deb 20 SHA256:bb\n'http://deb.example/a_1%3a2_amd64.deb' a_1%3a2_amd64.deb 10 SHA256:aa\n"))
	require.NoError(t, err)
	require.Equal(t, []deb{{"a_1%3a2_amd64.deb", "aa"}, {"b_2_all.deb", "bb"}}, debs)
	for _, bad := range []string{"", "'u' name 10\n", "'u' name 10 MD5Sum:aa\n", "'u' ../name 10 SHA256:aa\n"} {
		_, err := parseURIs([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestADamagedPackageIsDownloadedAgain(t *testing.T) {
	c, err := openCache(t.Context(), t.TempDir())
	require.NoError(t, err)
	defer c.close()
	d := deb{file: "a_1_all.deb", sum: strings.TrimPrefix(digest([]byte("whole")), "sha256:")}
	missing := func() bool {
		some, err := c.missing([]deb{d})
		require.NoError(t, err)
		return some
	}
	require.True(t, missing())
	require.NoError(t, os.WriteFile(c.path(d), []byte("whole"), 0o600))
	require.False(t, missing())
	require.NoError(t, os.WriteFile(c.path(d), []byte("half"), 0o600))
	require.True(t, missing())
	require.NoFileExists(t, c.path(d), "apt would believe it")
}

func TestWithoutANetworkThePackagesOfTheLastTimeDo(t *testing.T) {
	c, err := openCache(t.Context(), t.TempDir())
	require.NoError(t, err)
	defer c.close()
	require.NoError(t, os.MkdirAll(filepath.Join(c.dir, "state"), 0o700))
	spec := Spec{Packages: []string{"a"}}
	require.Nil(t, c.recall(spec))
	debs := []deb{{"a_1_all.deb", strings.TrimPrefix(digest([]byte("a")), "sha256:")}, {"b_1_all.deb", strings.TrimPrefix(digest([]byte("b")), "sha256:")}}
	c.remember(spec, debs)
	require.Nil(t, c.recall(spec), "they are not there")
	for i, d := range debs {
		require.NoError(t, os.WriteFile(c.path(d), []byte{"ab"[i]}, 0o600))
	}
	require.Equal(t, debs, c.recall(spec))
	require.Nil(t, c.recall(Spec{Packages: []string{"a"}, Without: []string{"b"}}), "another spec")
}
