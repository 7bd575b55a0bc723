package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poolSize is that of the file system, in bytes; the file takes what is written to it.
const poolSize = 64 << 30

// mountPool makes a file system and mounts it at the folder, unless one is mounted there. Its file has no name any more: it goes with the mount, and the mount
// with the namespace.
func mountPool(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return err
	}
	if s.Type == unix.BTRFS_SUPER_MAGIC && isSubvolume(dir) {
		return nil
	}
	image := dir + ".img"
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, poolSize)); err != nil {
		return err
	}
	defer func() { _ = os.Remove(image) }() // what is left goes with the folder
	// What a crash of the machine would leave is of no use: one copy of everything, and no flushes.
	for _, args := range [][]string{
		{"mkfs.btrfs", "-q", "-K", "-d", "single", "-m", "single", image},
		{"mount", "-t", "btrfs", "-o", "loop,noatime,nobarrier,discard=async", image, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// isSubvolume is true for the top of a subvolume, or of the file system.
func isSubvolume(dir string) bool {
	const top = 256 // inode number
	var s unix.Stat_t
	return unix.Stat(dir, &s) == nil && s.Ino == top
}

// Requests and flags of linux/btrfs.h.
const (
	subvolumeCreate  = 0x5000940e
	subvolumeDestroy = 0x5000940f
	snapshotCreate   = 0x50009417
	readOnly         = 1 << 1
)

// volumeArgs is btrfs_ioctl_vol_args.
type volumeArgs struct {
	fd   int64
	name [4088]byte
}

// snapshotArgs is btrfs_ioctl_vol_args_v2.
type snapshotArgs struct {
	fd    int64
	_     uint64
	flags uint64
	_     [4]uint64
	name  [4040]byte
}

// makeSubvolume makes an empty one.
func makeSubvolume(path string) error {
	var args volumeArgs
	copy(args.name[:], filepath.Base(path))
	return ioctl(filepath.Dir(path), subvolumeCreate, unsafe.Pointer(&args))
}

// removeSubvolume removes one with what is in it.
func removeSubvolume(path string) error {
	var args volumeArgs
	copy(args.name[:], filepath.Base(path))
	return ioctl(filepath.Dir(path), subvolumeDestroy, unsafe.Pointer(&args))
}

// cut makes a subvolume of what is in another at one moment. What was written before the call is in it.
func cut(path, source string, flags uint64) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // nothing is written
	args := snapshotArgs{fd: int64(from.Fd()), flags: flags}
	copy(args.name[:], filepath.Base(path))
	return ioctl(filepath.Dir(path), snapshotCreate, unsafe.Pointer(&args))
}

func ioctl(dir string, request uintptr, args unsafe.Pointer) error {
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }() // nothing is written
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, at.Fd(), request, uintptr(args)); errno != 0 {
		return &os.PathError{Op: fmt.Sprintf("ioctl %#x", request), Path: dir, Err: errno}
	}
	return nil
}
