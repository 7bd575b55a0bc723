//go:build unix

package mover

import (
	"os"
	"syscall"
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
