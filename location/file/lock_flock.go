//go:build linux || darwin || freebsd || netbsd || openbsd

package file

import (
	"errors"
	"os"
	"syscall"
)

// lock marks the file as one that is being written. It fails only if another process has taken it for abandoned; a
// file system without locks is fine.
func lock(f *os.File) bool {
	return !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// abandoned takes the lock and tells whether that worked.
func abandoned(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
