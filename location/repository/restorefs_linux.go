package repository

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

func setXattr(fd int, x format.Xattr) error {
	return retry(func() error { return unix.Fsetxattr(fd, x.Name, x.Value, 0) })
}

// setLinkXattr sets one of a link, or of something else that is not opened, in a folder that nobody else changes.
func setLinkXattr(dir int, name string, x format.Xattr) error {
	return retry(func() error { return unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", dir, name), x.Name, x.Value, 0) })
}

// dropACL removes the access lists that a new folder or file has from the folder above it.
func dropACL(fd int) {
	_ = unix.Fremovexattr(fd, aclDefault) // there is none, mostly
	_ = unix.Fremovexattr(fd, aclAccess)
}

// softXattr tells whether it is no surprise that an attribute cannot be set: the file system has none, or it is one that only the kernel and its guards set.
func softXattr(name string, err error) bool {
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.ENOSPC) {
		return true
	}
	return strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")
}

func makeSpecial(dir int, name string, n *format.Node) error {
	kind := uint32(unix.S_IFIFO)
	switch n.Type {
	case format.TypeDevice:
		kind = unix.S_IFBLK
	case format.TypeChar:
		kind = unix.S_IFCHR
	}
	return retry(func() error { return unix.Mknodat(dir, name, kind|0o600, int(n.Device)) }) //nolint:gosec // as the system had it
}

// mountID tells file systems apart, and mounts of the same one: a rename does not work from one to the other.
func mountID(fd int) (mountKey, error) {
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st)
	})
	if err != nil {
		plain, err := statFD(fd)
		return mountKey{plain.dev, 0}, err
	}
	key := mountKey{dev: unix.Mkdev(st.Dev_major, st.Dev_minor)}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		key.mount = st.Mnt_id
	}
	return key, nil
}

// syncFile does nothing: syncMount does it for all.
func syncFile(int) error { return nil }

// startSync has the system begin to write a file to the disk, so that little is left to wait for at the end.
func startSync(fd int) { _ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) } // syncMount reports what fails

func syncMount(fd int) error { return retry(func() error { return unix.Syncfs(fd) }) }
