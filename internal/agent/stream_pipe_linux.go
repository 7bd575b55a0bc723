package agent

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is the most that Linux lets any user ask for, see pipe(7). With the usual 64 KiB, two processes of a busy machine wait for each
// other at every piece: a stream through three pipes took half as long again.
const pipeSize = 1 << 20

// widen lets a pipe hold more, where it is one and the kernel allows it.
func widen(end any) {
	f, ok := end.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}
