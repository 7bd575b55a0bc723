//go:build e2e

package repository

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// makeFullTree makes a tree with all that a file system of Linux has.
func makeFullTree(t *testing.T, root string) {
	t.Helper()
	write := func(name string, content []byte, mode os.FileMode) {
		p := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, content, 0o600))
		require.NoError(t, os.Chmod(p, mode))
	}
	write("empty", nil, 0o644)
	write("small", []byte("some bytes"), 0o640)
	write("large", randomBytes(1, 9<<20), 0o400)
	write("deep/"+strings.Repeat("d/", 60)+"leaf", []byte("leaf"), 0o600)
	write("setuid", []byte("#!"), 0o755|os.ModeSetuid)
	sparse := append(append(randomBytes(2, 100<<10), make([]byte, 40<<20)...), randomBytes(3, 100<<10)...)
	write("sparse", sparse, 0o644)
	write("zeros", make([]byte, 5<<20), 0o644)
	for i := range 300 {
		write(fmt.Sprintf("many/%02d/file %d", i%20, i), randomBytes(uint64(i), i*37), 0o644)
	}
	for c := 1; c < 256; c++ {
		if c != '/' {
			write("names/a"+string([]byte{byte(c)})+"b", []byte{byte(c)}, 0o644)
		}
	}
	write("names/"+strings.Repeat("n", 255), []byte("long"), 0o644)
	require.NoError(t, os.Symlink("../outside", filepath.Join(root, "symlink")))
	// Debian's restic spoils targets of links that are not UTF-8.
	require.NoError(t, os.Symlink("bäd", filepath.Join(root, "odd symlink")))
	require.NoError(t, os.Link(filepath.Join(root, "large"), filepath.Join(root, "many", "link of large")))
	require.NoError(t, os.Link(filepath.Join(root, "large"), filepath.Join(root, "a link of large")))
	require.NoError(t, os.Mkdir(filepath.Join(root, "empty folder"), 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(root, "group folder"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(root, "group folder"), 0o2775|os.ModeSetgid))
	require.NoError(t, unix.Mkfifo(filepath.Join(root, "pipe"), 0o640))
	require.NoError(t, unix.Mknod(filepath.Join(root, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	require.NoError(t, unix.Setxattr(filepath.Join(root, "small"), "user.note", []byte("value\x00\xff"), 0))
	require.NoError(t, unix.Setxattr(filepath.Join(root, "many"), "user.folder", []byte("of a folder"), 0))
	for i, name := range []string{"small", "many", "symlink", "pipe"} {
		require.NoError(t, os.Lchown(filepath.Join(root, name), 1000+i, 2000+i))
	}
	stamp := time.Date(2001, 2, 3, 4, 5, 6, 123456789, time.UTC)
	for i, name := range []string{"small", "many/00", "symlink", "empty folder", "pipe", "deep", "names", "many"} {
		ts, err := unix.TimeToTimespec(stamp.Add(time.Duration(i) * time.Hour))
		require.NoError(t, err)
		require.NoError(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, name), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func TestRestoreWhatResticWrote(t *testing.T) {
	require.Zero(t, os.Geteuid(), "this test makes devices and owners: run it as root")
	tree := filepath.Join(t.TempDir(), "tree")
	makeFullTree(t, tree)
	for _, c := range [][2]string{{"1", "auto"}, {"2", "off"}, {"2", "auto"}, {"2", "max"}} {
		t.Run(c[0]+c[1], func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "repository")
			restic(t, dir, "init", "--repository-version", c[0])
			restic(t, dir, "backup", "--compression", c[1], tree)
			target := filepath.Join(t.TempDir(), "target")
			r := openFolder(t, dir, nil)
			s, err := r.Restore(t.Context(), "latest", target, &RestoreOptions{Path: tree, SetID: true, Devices: true})
			require.NoError(t, err)
			require.Empty(t, s.Warnings)
			sameTrees(t, tree, target)
			require.Greater(t, holes(t, filepath.Join(target, "sparse")), int64(39<<20))
			require.Greater(t, holes(t, filepath.Join(target, "zeros")), int64(4<<20))
			require.Equal(t, int64(2), s.HardLinks)

			again, err := r.Restore(t.Context(), "latest", target, &RestoreOptions{Path: tree, SetID: true, Devices: true})
			require.NoError(t, err)
			require.Zero(t, again.Files+again.HardLinks)
			sameTrees(t, tree, target)

			whole := filepath.Join(t.TempDir(), "whole")
			_, err = r.Restore(t.Context(), "latest", whole, &RestoreOptions{SetID: true, Devices: true})
			require.NoError(t, err)
			stock := filepath.Join(t.TempDir(), "stock")
			restic(t, dir, "restore", "latest", "--target", stock)
			sameTrees(t, stock, whole)
		})
	}
}
