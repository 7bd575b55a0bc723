//go:build linux || darwin || freebsd

package mover

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// owned tells whether this process may change the mode and times of a folder: whose volume it is may be another's.
func owned(folder string) bool {
	info, err := os.Stat(folder)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (os.Geteuid() == 0 || int(stat.Uid) == os.Geteuid())
}

// used is how many bytes the file system has that a folder is on; 0 if that is not known.
func used(folder string) int64 {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0
	}
	blocks := int64(stat.Blocks - stat.Bfree) //nolint:gosec // no file system has 2^63 blocks
	size := int64(stat.Bsize)                 //nolint:unconvert // it has 32 bits on some systems
	return blocks * size
}
