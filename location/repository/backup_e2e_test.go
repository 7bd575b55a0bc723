//go:build e2e

package repository

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// describe is everything about a tree that a backup keeps, one line for each file.
func describe(t *testing.T, dir string) []string {
	t.Helper()
	src := local(t, dir)
	var lines []string
	inodes := map[string]int{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		require.NoError(t, err)
		f := &localFolder{src: src, fd: unix.AT_FDCWD}
		e, err := f.entry(p)
		require.NoError(t, err)
		if e.Mode.Type() == fs.ModeSocket {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		require.NoError(t, err)
		link := 0
		if e.Links > 1 && !e.Mode.IsDir() {
			key := fmt.Sprint(e.DeviceID, "/", e.Inode)
			if _, ok := inodes[key]; !ok {
				inodes[key] = len(inodes) + 1
			}
			link = inodes[key]
		}
		var text []byte
		if e.Mode.IsRegular() && e.Size < 100<<20 {
			text, err = os.ReadFile(p)
			require.NoError(t, err)
		}
		mtime := e.ModTime.String()
		if e.Mode.Type() == fs.ModeSymlink {
			// restic 0.14 restores it, but not everywhere.
			mtime = ""
		}
		lines = append(lines, fmt.Sprintf("%q %s %s %d:%d %d %d %q %v %x %x", rel, e.Mode, mtime, e.UID, e.GID, e.Size, link, e.Target, e.Device, e.Xattrs, text))
		return nil
	}))
	return lines
}

// oddTree makes a tree of everything there is.
func oddTree(t *testing.T, dir string) {
	t.Helper()
	write(t, dir+"/empty", "")
	write(t, dir+"/large", string(randomBytes(1, 9<<20+17)))
	write(t, dir+"/deep/"+strings.Repeat("x/", 300)+"file", "at the end")
	for i := range 500 {
		write(t, fmt.Sprintf("%s/many/%d", dir, i), strings.Repeat(fmt.Sprint(i, " "), i*10))
	}
	for c := 1; c < 256; c++ {
		if c != '/' {
			write(t, dir+"/names/"+string([]byte{'n', byte(c), 'x'}), string([]byte{byte(c)}))
		}
	}
	require.NoError(t, os.Mkdir(dir+"/folder", 0o700))
	require.NoError(t, os.Symlink("large", dir+"/link"))
	require.NoError(t, os.Link(dir+"/large", dir+"/many/hard"))
	require.NoError(t, os.Link(dir+"/large", dir+"/another hard"))
	require.NoError(t, unix.Mkfifo(dir+"/fifo", 0o600))
	require.NoError(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	require.NoError(t, unix.Mknod(dir+"/disk", unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))))
	require.NoError(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o660, 0))
	sparse, err := os.Create(dir + "/sparse")
	require.NoError(t, err)
	_, err = sparse.WriteAt([]byte("middle"), 35<<20)
	require.NoError(t, err)
	require.NoError(t, sparse.Truncate(60<<20))
	require.NoError(t, sparse.Close())
	require.NoError(t, os.Chown(dir+"/empty", 12345, 54321))
	require.NoError(t, os.Lchown(dir+"/link", 12345, 54321))
	require.NoError(t, unix.Setxattr(dir+"/many", "user.of folder", []byte{0, 1, 255}, 0))
	require.NoError(t, unix.Setxattr(dir+"/large", "user.name", []byte("value"), 0))
	require.NoError(t, os.Chmod(dir+"/empty", fs.ModeSetuid|fs.ModeSetgid|0o755))
	require.NoError(t, os.Chmod(dir+"/folder", fs.ModeSticky|0o777))
	require.NoError(t, os.Chtimes(dir+"/empty", time.Unix(1, 2), time.Unix(1_000_000_000, 123456789)))
	require.NoError(t, os.Chtimes(dir+"/folder", time.Unix(1, 2), time.Unix(-1000, 5)))
}

// What a backup writes, restic finds sound and restores, with all metadata.
func TestResticRestoresOurs(t *testing.T) {
	r, repo := initFolder(t)
	dir := t.TempDir()
	oddTree(t, dir)
	s, err := r.Backup(t.Context(), local(t, dir), nil)
	require.NoError(t, err)
	restic(t, repo, "check", "--read-data")
	target := t.TempDir()
	restic(t, repo, "restore", s.ID, "--target", target)
	require.Equal(t, describe(t, dir), describe(t, filepath.Join(target, dir)))

	text := randomBytes(2, 10<<20)
	_, err = r.BackupStream(t.Context(), "stream", bytes.NewReader(text), nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(text, restic(t, repo, "dump", "latest", "stream")))
	restic(t, repo, "check", "--read-data")
}

// restic takes our snapshot for a parent, and we take restic's: nothing is read again.
func TestParentsOfEachOther(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		repo, dir := filepath.Join(t.TempDir(), "repository"), t.TempDir()
		restic(t, repo, "init", "--repository-version", version)
		oddTree(t, dir)
		settle()
		restic(t, repo, "backup", dir)
		r := openFolder(t, repo, nil)
		s, err := r.Backup(t.Context(), local(t, dir), nil)
		require.NoError(t, err)
		require.NotEmpty(t, s.Parent)
		require.Equal(t, s.Summary.TotalFiles, s.Summary.FilesUnmodified)
		require.Zero(t, s.Summary.DataBlobs)
		out := string(restic(t, repo, "backup", dir))
		require.Contains(t, out, "using parent snapshot "+s.ShortID())
		require.Contains(t, out, fmt.Sprintf("Files:           0 new,     0 changed, %5d unmodified", s.Summary.TotalFiles))
		none, err := r.Backup(t.Context(), local(t, dir), &BackupOptions{Parent: "none"})
		require.NoError(t, err)
		require.Less(t, none.Summary.DataAdded-int64(hole), int64(5<<20), "content is cut where restic cuts it, but around holes")
		restic(t, repo, "check", "--read-data")
	}
}
