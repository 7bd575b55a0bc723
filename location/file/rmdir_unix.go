//go:build unix

package file

import (
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

func rmdir(root *os.Root, name string) error {
	above, err := root.OpenFile(path.Dir(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = above.Close() }()
	raw, err := above.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.Unlinkat(int(fd), path.Base(name), unix.AT_REMOVEDIR) //nolint:gosec // descriptors are small
	})
	if err == nil && refused != nil {
		err = &fs.PathError{Op: "rmdir", Path: name, Err: refused}
	}
	return err
}

// unlinked tells whether the folder has no name any more.
func unlinked(info fs.FileInfo) bool {
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && sys.Nlink == 0
}
