//go:build unix

package repository

import (
	"errors"
	"syscall"
)

// isGone tells whether no process of this computer has that number.
func isGone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
