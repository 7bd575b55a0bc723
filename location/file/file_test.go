package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

func open(t *testing.T, dir string) *location.Bucket {
	t.Helper()
	b, err := location.Open(t.Context(), &location.Location{Type: "file", Bucket: dir}, map[string]location.Opener{"file": file.Open}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func put(t *testing.T, b *location.Bucket, key, content string) {
	t.Helper()
	_, err := b.Write(t.Context(), key, strings.NewReader(content), nil)
	require.NoError(t, err)
}

// tree lists every file and folder below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	all := []string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if p != dir {
			all = append(all, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	}))
	return all
}

func TestWriteMakesThePrivateFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	b := open(t, dir)
	put(t, b, "a/b", "hello")
	for p, mode := range map[string]fs.FileMode{"": 0o700, "a": 0o700, "a/b": 0o600, ".davit/sum/a/b.json": 0o600} {
		info, err := os.Stat(filepath.Join(dir, p))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), p)
	}
	require.Equal(t, []string{".davit", ".davit/sum", ".davit/sum/a", ".davit/sum/a/b.json", "a", "a/b"}, tree(t, dir))
}

func TestMissingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "unmounted")
	b := open(t, dir)
	_, err := b.Read(t.Context(), "a", io.Discard, nil)
	require.ErrorContains(t, err, "is its volume mounted?")
	require.NotErrorIs(t, err, location.ErrNotFound)
	_, err = b.Delete(t.Context(), "a")
	require.ErrorContains(t, err, "is its volume mounted?")
	for _, err := range b.List(t.Context(), "") {
		require.ErrorContains(t, err, "is its volume mounted?")
	}
	require.NoDirExists(t, dir)
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	boom := errors.New("boom")
	_, err := b.Write(t.Context(), "x/y", io.MultiReader(bytes.NewReader(make([]byte, 5<<20)), iotest.ErrReader(boom)), nil)
	require.ErrorIs(t, err, boom)
	require.Empty(t, tree(t, dir))
}

func TestDeadWriterIsSweptAndLivingOneIsNot(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	dead := filepath.Join(dir, ".davit/tmp/dead")
	require.NoError(t, os.MkdirAll(filepath.Dir(dead), 0o700))
	require.NoError(t, os.WriteFile(dead, make([]byte, 1000), 0o600))
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := b.Write(context.WithoutCancel(t.Context()), "slow", r, nil)
		done <- err
	}()
	_, err := w.Write(make([]byte, 3<<20)) // so that the slow write has its file
	require.NoError(t, err)
	put(t, b, "quick", "hello")
	require.FileExists(t, dead, "another machine may be writing it")
	old := time.Now().Add(-25 * time.Hour)
	require.NoError(t, os.Chtimes(dead, old, old))
	put(t, b, "quick", "hello")
	require.NoFileExists(t, dead)
	_, err = w.Write([]byte("end"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, <-done)
	require.NoDirExists(t, filepath.Join(dir, ".davit/tmp"))
	info, err := b.Verify(t.Context(), "slow")
	require.NoError(t, err)
	require.Equal(t, int64(3<<20+3), info.Size)
}

func TestLinksOutOfTheFolder(t *testing.T) {
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	dir := t.TempDir()
	b := open(t, dir)
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "folder")))

	for _, key := range []string{"link", "folder/secret"} {
		var out bytes.Buffer
		_, err := b.Read(t.Context(), key, &out, nil)
		require.Error(t, err)
		require.Zero(t, out.Len())
		_, err = b.Write(t.Context(), key, strings.NewReader("overwritten"), nil)
		require.Error(t, err)
	}
	for info, err := range b.List(t.Context(), "") {
		require.NoError(t, err)
		require.Fail(t, "listed a link", info.Key)
	}
	_, err := b.Delete(t.Context(), "folder")
	require.Error(t, err)
	content, err := os.ReadFile(filepath.Join(outside, "secret"))
	require.NoError(t, err)
	require.Equal(t, "secret", string(content))
}

func TestWhatIsNoObject(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	_, err := b.Read(t.Context(), "pipe", io.Discard, nil)
	require.ErrorContains(t, err, "no regular file")

	put(t, b, "a/b", "hello")
	_, err = b.Read(t.Context(), "a", io.Discard, nil)
	require.ErrorIs(t, err, location.ErrNotFound, "a folder")
	_, err = b.Read(t.Context(), "a/b/c", io.Discard, nil)
	require.ErrorIs(t, err, location.ErrNotFound, "below a file")
	_, err = b.Write(t.Context(), "a", strings.NewReader("x"), nil)
	require.ErrorIs(t, err, syscall.EISDIR)
	_, err = b.Write(t.Context(), "a/b/c", strings.NewReader("x"), nil)
	require.ErrorIs(t, err, syscall.ENOTDIR)
	_, err = b.Verify(t.Context(), "a/b")
	require.NoError(t, err)
}

// A folder "a" comes before "a-0" among the names, its keys after it.
func TestPagesLoseNothing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	want := []string{}
	for _, group := range []string{"a-%04d", "a/%04d"} {
		for i := range 4500 {
			key := fmt.Sprintf(group, i)
			want = append(want, key)
			require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(key)), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, key), nil, 0o600))
		}
	}
	var got []string
	for info, err := range b.List(t.Context(), "") {
		require.NoError(t, err)
		got = append(got, info.Key)
	}
	require.Equal(t, want, got)

	n, err := b.Delete(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 4500, n)
	require.Len(t, tree(t, dir), 4500, "the emptied folder is gone too")
}

func TestOpenRefuses(t *testing.T) {
	_, err := file.Open(t.Context(), &location.Location{Type: "file", Bucket: "relative"})
	require.ErrorIs(t, err, location.ErrProfile)
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	_, err = file.Open(t.Context(), &location.Location{Type: "file", Bucket: plain})
	require.ErrorIs(t, err, location.ErrProfile)
}

func TestListWhileFoldersComeAndGo(t *testing.T) {
	b := open(t, t.TempDir())
	put(t, b, "kept/object", "stays")
	ctx, cancel := context.WithCancel(t.Context())
	failures := make(chan error, 4)
	for i := range cap(failures) {
		go func() {
			var err error
			for key := fmt.Sprintf("locks/%d", i); err == nil && ctx.Err() == nil; {
				if _, err = b.Write(t.Context(), key, strings.NewReader("mine"), nil); err == nil {
					_, err = b.Delete(t.Context(), key) // the folder goes with the last
				}
			}
			failures <- err
		}()
	}
	var failed error
	for range 1000 {
		kept := 0
		for info, err := range b.List(t.Context(), "") {
			failed = errors.Join(failed, err)
			if info.Key == "kept/object" {
				kept++
			}
		}
		if kept != 1 {
			failed = errors.Join(failed, fmt.Errorf("the object was listed %d times", kept))
		}
		if failed != nil {
			break
		}
	}
	cancel()
	for range cap(failures) {
		require.NoError(t, <-failures)
	}
	require.NoError(t, failed)
}
