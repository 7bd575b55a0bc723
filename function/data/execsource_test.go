package data

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/location/repository"
)

// tree is what a source has, by path: a line about each entry, with the content of files.
type tree map[string]string

// walk lists a source as a backup does, and reads the files that want says.
func walk(t *testing.T, src repository.Planner, want func(name string) bool) (tree, error) {
	t.Helper()
	all := tree{}
	var files []string
	entries := map[string]*repository.Entry{}
	root := src.Paths()[0]
	var list func(f repository.Folder, at string) error
	list = func(f repository.Folder, at string) error {
		children, err := f.Entries(t.Context())
		if err != nil {
			all[at] += " " + err.Error()
		}
		slices.SortFunc(children, func(a, b *repository.Entry) int { return strings.Compare(a.Name, b.Name) })
		for _, e := range children {
			name := path.Join(at, e.Name)
			all[name] = fmt.Sprintf("%s %d:%d %s", e.Mode, e.UID, e.GID, e.Target)
			switch {
			case e.Mode.IsDir():
				sub, err := f.Folder(t.Context(), e.Name)
				if err != nil {
					return err
				}
				if err := list(sub, name); err != nil {
					return err
				}
			case e.Mode.IsRegular() && want(name):
				files, entries[name] = append(files, name), e
			}
		}
		return f.Close()
	}
	top, err := src.Folder(t.Context(), root)
	require.NoError(t, err)
	if err := list(top, root); err != nil {
		return all, err
	}
	err = src.Plan(t.Context(), func(yield func(string, *repository.Entry) bool) error {
		for _, name := range files {
			if !yield(name, entries[name]) {
				return nil
			}
		}
		return nil
	})
	require.NoError(t, err)
	var faults []error
	for _, name := range files {
		text, err := read(t, src, root, name)
		if errors.Is(err, repository.ErrSource) {
			return all, err
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all[name] += " " + fmt.Sprintf("%d %x", len(text), sha256.Sum256(text))
	}
	return all, errors.Join(faults...)
}

func read(t *testing.T, src repository.Source, root, name string) ([]byte, error) {
	t.Helper()
	f, err := src.Folder(t.Context(), root)
	require.NoError(t, err)
	parts := strings.Split(strings.TrimPrefix(name, root+"/"), "/")
	for _, part := range parts[:len(parts)-1] {
		f, err = f.Folder(t.Context(), part)
		require.NoError(t, err)
	}
	r, err := f.Open(t.Context(), parts[len(parts)-1])
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	return text, errors.Join(err, r.Close())
}

func everything(string) bool { return true }

const oneApp = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: app}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - {name: db, image: none, command: [sleep, "1000"], volumeMounts: [{name: data, mountPath: /var/data}]}
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`

// oneContainer starts a pod whose claim is a folder of this machine.
func oneContainer(t *testing.T, env map[string]string) (local *localcluster.Cluster, claim string) {
	t.Helper()
	dir := t.TempDir()
	local, err := localcluster.Open(t.Context(), dir, &localcluster.Options{Grace: 300 * time.Millisecond, Env: env})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, local.Down(context.Background())) })
	require.NoError(t, local.Apply(t.Context(), "app.yaml", []byte(oneApp)))
	require.NoError(t, local.AwaitScaled(t.Context(), cluster.Workload{Kind: "StatefulSet", Namespace: "app", Name: "db"}, 1))
	return local, filepath.Join(dir, "claims", "app", "data")
}

// oddTree makes files with odd names and of odd kinds, and returns what a list of it looks like.
func oddTree(t *testing.T, dir, as string) tree {
	t.Helper()
	write := func(name, content string, mode fs.FileMode) {
		full := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(content), 0o600))
		require.NoError(t, os.Chmod(full, mode))
	}
	for i := range 300 {
		write(fmt.Sprintf("many/file-%03d-%s", i, strings.Repeat("x", 180)), strings.Repeat(fmt.Sprint(i), i), 0o640)
	}
	for _, name := range []string{"plain", "sp ace", "-dash", "new\nline", "quo'te\"", "back\\slash", "dollar$HOME`id`", "\xff\xfebytes", "%s%d", "tab\t", " lead", "trail ", "trailing-newline\n"} {
		write(name, "content of "+name, 0o644)
		write("deep/"+name+"/er", "more", 0o600)
	}
	write("empty", "", 0o644)
	write("setuid", "x", 0o755|fs.ModeSetuid)
	write("big", strings.Repeat("0123456789abcdef", 100_000), 0o644)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "hollow"), 0o750))
	require.NoError(t, os.Symlink("../out -> of 'here'", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("plain", filepath.Join(dir, "li'nk -> x")))
	require.NoError(t, os.Link(filepath.Join(dir, "plain"), filepath.Join(dir, "zz-hard")))
	want := tree{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if name == dir {
			return nil
		}
		info, err := d.Info()
		require.NoError(t, err)
		line := fmt.Sprintf("%s %d:%d ", info.Mode(), os.Getuid(), os.Getgid())
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			require.NoError(t, err)
			line += target
		}
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			line += fmt.Sprintf(" %d %x", len(text), sha256.Sum256(text))
		}
		rel, err := filepath.Rel(dir, name)
		require.NoError(t, err)
		want[path.Join(as, rel)] = line
		return nil
	}))
	return want
}

func warnings(t *testing.T) func(string) {
	t.Helper()
	return func(text string) { t.Log("warning: " + text) }
}

// TestExecSource reads a tree of a container of this machine with what that has: find, stat and tar.
func TestExecSource(t *testing.T) {
	t.Parallel()
	local, claim := oneContainer(t, nil)
	testExecSource(t, local, claim)
}

// testExecSource compares what comes out of a container with what is on its claim.
func testExecSource(t *testing.T, local *localcluster.Cluster, claim string) {
	t.Helper()
	want := oddTree(t, claim, "/var/data")
	at := container{"app", "db-0", "db"}
	src, err := newExecSource(t.Context(), local, at, "/var/data", warnings(t))
	require.NoError(t, err)
	defer src.close()
	got, err := walk(t, src, everything)
	require.NoError(t, err)
	require.Equal(t, want, got)

	some, err := walk(t, src, func(name string) bool { return strings.HasSuffix(name, "/er") })
	require.NoError(t, err, "a second plan")
	require.Contains(t, some["/var/data/big"], "-rw-r--r--")
	require.NotContains(t, some["/var/data/big"], "1600000")
	require.Equal(t, want["/var/data/deep/new\nline/er"], some["/var/data/deep/new\nline/er"])

	require.NoError(t, os.Remove(filepath.Join(claim, "empty")))
	require.NoError(t, os.Remove(filepath.Join(claim, "zz-hard")))
	got, err = walk(t, src, everything)
	require.ErrorIs(t, err, fs.ErrNotExist, "what vanished since it was listed")
	require.NotErrorIs(t, err, repository.ErrSource)
	require.Equal(t, want["/var/data/big"], got["/var/data/big"])
}

// TestExecSourceWithoutStat reads a tree with tar alone.
func TestExecSourceWithoutStat(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for _, name := range []string{"sh", "tar", "sleep", "cat", "mv", "tee", "dd", "sha256sum", "wc", "date", "printf"} {
		require.NoError(t, os.Symlink(findProgram(t, name), filepath.Join(bin, name)))
	}
	local, claim := oneContainer(t, map[string]string{"PATH": bin})
	want := oddTree(t, claim, "/var/data")
	src, err := newExecSource(t.Context(), local, container{"app", "db-0", "db"}, "/var/data", warnings(t))
	require.NoError(t, err)
	defer src.close()
	got, err := walk(t, src, everything)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func findProgram(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/bin", "/bin"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("there is no %s", name)
	return ""
}

// scripted is a container that answers scripts as it likes, through a far end that is honest about the bytes.
type scripted struct {
	list, tar func(w io.Writer, args []string)
	execs     atomic.Int32
}

func (s *scripted) Exec(ctx context.Context, cmd cluster.Command) error {
	s.execs.Add(1)
	nonce, script, args := cmd.Args[4], cmd.Args[7], cmd.Args[9:]
	sum := sha256.New()
	w := io.MultiWriter(contextWriter{ctx, cmd.Stdout}, sum)
	if script == listScript {
		s.list(w, args)
	} else {
		s.tar(w, args)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, err := fmt.Fprintf(cmd.Stdout, "%s code=0 sum=%x tool=0\n", nonce, sum.Sum(nil))
	_, _ = io.Copy(io.Discard, cmd.Stdin)
	return err
}

type contextWriter struct {
	ctx context.Context //nolint:containedctx // of one call
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.w.Write(p)
}

// lines makes a list of records.
func lines(records ...string) func(io.Writer, []string) {
	return func(w io.Writer, args []string) {
		mark := args[1]
		for _, r := range append(append([]string{"now 2000000000"}, records...), "end") {
			_, _ = fmt.Fprintf(w, "%s %s\n", mark, strings.ReplaceAll(r, "MARK", mark))
		}
	}
}

const (
	aRoot = "e 41ed 0 0 2 4096 1 1 0 0 1000 1000 root root ."
	aFile = "e 81a4 0 0 1 5 2 1 0 0 1000 1000 root root ./"
)

func TestHostileLists(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]func(io.Writer, []string){
		"no root":           lines(aFile + "a"),
		"two roots":         lines(aRoot, aRoot),
		"a file as root":    lines("e 81a4 0 0 1 5 2 1 0 0 1000 1000 root root ."),
		"a way out":         lines(aRoot, aFile+"../a"),
		"dots":              lines(aRoot, aFile+"a/../../b"),
		"absolute":          lines(aRoot, "e 81a4 0 0 1 5 2 1 0 0 1000 1000 root root /etc/passwd"),
		"empty":             lines(aRoot, aFile),
		"two slashes":       lines(aRoot, aFile+"/a"),
		"below a file":      lines(aRoot, aFile+"a", aFile+"a/b"),
		"below nothing":     lines(aRoot, aFile+"a/b"),
		"twice":             lines(aRoot, aFile+"a", aFile+"a"),
		"no numbers":        lines(aRoot, "e x y z 1 5 2 1 0 0 1000 1000 root root ./a"),
		"a negative size":   lines(aRoot, "e 81a4 0 0 1 -5 2 1 0 0 1000 1000 root root ./a"),
		"few fields":        lines(aRoot, "e 81a4 0 0 ./a"),
		"an unknown record": lines(aRoot, "x 1"),
		"a link to nothing": lines(aRoot, "l ./a"),
		"behind the end":    lines(aRoot, "end", aFile+"a"),
		"no end":            func(w io.Writer, args []string) { _, _ = fmt.Fprintf(w, "%s %s\n", args[1], aRoot) },
		"nothing":           func(io.Writer, []string) {},
		"noise":             func(w io.Writer, _ []string) { _, _ = io.WriteString(w, "hello\n") },
		"an endless line":   func(w io.Writer, _ []string) { endless(w, []byte(strings.Repeat("x", 4096))) },
		"endless lines":     func(w io.Writer, _ []string) { endless(w, []byte("\n")) },
		"an endless name":   func(w io.Writer, args []string) { lines(aRoot, aFile)(w, args); endless(w, []byte("x\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			_, err := newExecSource(ctx, &scripted{list: list}, container{"a", "b", "c"}, "/data", warnings(t))
			require.ErrorIs(t, err, repository.ErrSource)
			require.NoError(t, ctx.Err(), "found out long before")
		})
	}
}

// endless writes until it cannot, or 1 GiB.
func endless(w io.Writer, what []byte) {
	for range 1 << 30 / len(what) {
		if _, err := w.Write(what); err != nil {
			return
		}
	}
}

// pack makes an archive.
func pack(headers ...tar.Header) func(io.Writer, []string) {
	return func(w io.Writer, _ []string) {
		var b bytes.Buffer
		a := tar.NewWriter(&b)
		for _, h := range headers {
			if h.Mode == 0 {
				h.Mode = 0o644
			}
			_ = a.WriteHeader(&h)
			_, _ = io.Copy(a, io.LimitReader(zeros{}, h.Size))
		}
		_ = a.Close()
		_, _ = w.Write(b.Bytes())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHostileArchives(t *testing.T) {
	t.Parallel()
	file := func(name string, size int64) tar.Header {
		return tar.Header{Name: name, Size: size, Typeflag: tar.TypeReg}
	}
	good := pack(file("./a", 5), file("./b", 5))
	for name, c := range map[string]struct {
		tar  func(io.Writer, []string)
		good bool
	}{
		"good":             {good, true},
		"without the dot":  {pack(file("a", 5), file("b", 5)), true},
		"two archives":     {func(w io.Writer, args []string) { pack(file("./a", 5))(w, args); pack(file("./b", 5))(w, args) }, true},
		"wrong order":      {pack(file("./b", 5), file("./a", 5)), false},
		"another name":     {pack(file("./a", 5), file("./c", 5)), false},
		"a way out":        {pack(file("./a", 5), file("../b", 5)), false},
		"absolute":         {pack(file("/a", 5), file("./b", 5)), false},
		"a link":           {pack(tar.Header{Name: "./a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, file("./b", 5)), false},
		"a hard link":      {pack(file("./a", 5), tar.Header{Name: "./b", Typeflag: tar.TypeLink, Linkname: "./a"}), false},
		"a folder":         {pack(tar.Header{Name: "./a", Typeflag: tar.TypeDir}, file("./b", 5)), false},
		"a device":         {pack(tar.Header{Name: "./a", Typeflag: tar.TypeChar, Devmajor: 1}, file("./b", 5)), false},
		"more than asked":  {pack(file("./a", 5), file("./b", 5), file("./c", 5)), false},
		"one twice":        {pack(file("./a", 5), file("./a", 5)), false},
		"an enormous size": {enormous, false},
		"cut":              {func(w io.Writer, args []string) { cut(good, w, args, 700) }, false},
		"cut in a file":    {func(w io.Writer, args []string) { cut(good, w, args, 514) }, false},
		"noise":            {func(w io.Writer, _ []string) { _, _ = w.Write(bytes.Repeat([]byte("noise"), 1000)) }, false},
		"endless zeros":    {func(w io.Writer, args []string) { good(w, args); endless(w, make([]byte, 1<<20)) }, false},
		"endless noise":    {func(w io.Writer, args []string) { good(w, args); endless(w, bytes.Repeat([]byte("x"), 1<<20)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &scripted{list: lines(aRoot, aFile+"a", aFile+"b"), tar: func(w io.Writer, args []string) {
				if len(args) == 2 { // whether a file that is missing is there
					_, _ = io.WriteString(w, "there\n")
					return
				}
				c.tar(w, args)
			}}
			src, err := newExecSource(t.Context(), e, container{"a", "b", "c"}, "/data", warnings(t))
			require.NoError(t, err)
			defer src.close()
			got, err := walk(t, src, everything)
			if c.good {
				require.NoError(t, err)
				require.Contains(t, got["/data/a"], " 5 ")
				require.Contains(t, got["/data/b"], " 5 ")
				return
			}
			require.Error(t, err)
		})
	}
}

func cut(f func(io.Writer, []string), w io.Writer, args []string, n int) {
	var b bytes.Buffer
	f(&b, args)
	_, _ = w.Write(b.Bytes()[:n])
}

// enormous is an archive whose first file never ends.
func enormous(w io.Writer, _ []string) {
	var b bytes.Buffer
	_ = tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "./a", Mode: 0o644, Size: 1 << 50, Typeflag: tar.TypeReg, Format: tar.FormatGNU})
	_, _ = w.Write(b.Bytes())
	endless(w, make([]byte, 1<<20))
}
