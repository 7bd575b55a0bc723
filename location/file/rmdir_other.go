//go:build !unix

package file

import (
	"io/fs"
	"os"
	"syscall"
)

func rmdir(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return err
	}
	return root.Remove(name)
}

// unlinked is never known here: a folder that is in use cannot be removed.
func unlinked(fs.FileInfo) bool { return false }
