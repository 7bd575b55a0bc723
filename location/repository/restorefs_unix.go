//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// The functions below take an open folder and one name in it, never a path, and follow no link: nothing outside of the folder is reached.

func retry(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func openAt(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

func openFolderAt(dir int, name string) (int, error) {
	return openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// notFolder tells whether openFolderAt failed because something else is there.
func notFolder(err error) bool {
	return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK)
}

func closeFD(fd int) error {
	if fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

// writeAt writes all of it.
func writeAt(fd int, content []byte, off int64) error {
	for len(content) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pwrite(fd, content, off)
			return err
		})
		if err != nil {
			return err
		}
		content, off = content[n:], off+int64(n)
	}
	return nil
}

// readAt fills the buffer and returns false if the file is too short.
func readAt(fd int, buf []byte, off int64) (bool, error) {
	for len(buf) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pread(fd, buf, off)
			return err
		})
		if err != nil || n == 0 {
			return false, err
		}
		buf, off = buf[n:], off+int64(n)
	}
	return true, nil
}

// fileStat is what is known of a file.
type fileStat struct {
	mode             uint32
	size             int64
	mtime            time.Time
	dev, ino, nlink  uint64
	uid, gid         uint32
	regular, isDir   bool
	symlink, present bool
}

func statOf(st *unix.Stat_t) fileStat {
	mode := uint32(widen(st.Mode))
	return fileStat{
		mode: mode & 0o7777, size: st.Size, mtime: time.Unix(st.Mtim.Unix()), uid: st.Uid, gid: st.Gid, present: true,
		dev: widen(st.Dev), ino: widen(st.Ino), nlink: widen(st.Nlink),
		regular: mode&unix.S_IFMT == unix.S_IFREG, isDir: mode&unix.S_IFMT == unix.S_IFDIR, symlink: mode&unix.S_IFMT == unix.S_IFLNK,
	}
}

// statAt tells what is there; nothing is no error.
func statAt(dir int, name string) (fileStat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if errors.Is(err, unix.ENOENT) {
		return fileStat{}, nil
	}
	return statOf(&st), err
}

func statFD(fd int) (fileStat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(fd, &st) })
	return statOf(&st), err
}

func readlinkAt(dir int, name string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// unixMode is the mode as the system has it. Set-uid, and set-gid of anything but folders, only with setID.
func unixMode(n *format.Node, setID bool) uint32 {
	mode := uint32(n.Mode & fs.ModePerm)
	if n.Mode&fs.ModeSticky != 0 {
		mode |= unix.S_ISVTX
	}
	if n.Mode&fs.ModeSetgid != 0 && (setID || n.Type == format.TypeDir) {
		mode |= unix.S_ISGID
	}
	if n.Mode&fs.ModeSetuid != 0 && setID {
		mode |= unix.S_ISUID
	}
	return mode
}

// timesOf are the times that are set, moved to the nearest that the system can hold.
func timesOf(n *format.Node) []unix.Timespec {
	atime := n.AccessTime
	if atime.IsZero() {
		atime = n.ModTime
	}
	return []unix.Timespec{timespec(atime), timespec(n.ModTime)}
}

func timespec(t time.Time) unix.Timespec {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return unix.Timespec{}
	}
	return ts
}

// folderNames are the names in an open folder.
func folderNames(fd int) ([]string, error) {
	again, err := openFolderAt(fd, ".")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), "folder")
	defer func() { _ = f.Close() }()
	return f.Readdirnames(-1)
}

// removeAll removes what is there, a folder with its contents, and never goes through a link.
func removeAll(dir int, name string, depth int) error {
	err := retry(func() error { return unix.Unlinkat(dir, name, 0) })
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	fd, openErr := openFolderAt(dir, name)
	if openErr != nil {
		return err
	}
	defer func() { _ = closeFD(fd) }()
	if depth == maxDepth {
		return fmt.Errorf("folders are nested deeper than %d", maxDepth)
	}
	names, err := folderNames(fd)
	for _, child := range names {
		err = errors.Join(err, removeAll(fd, child, depth+1))
	}
	if err != nil {
		return err
	}
	err = retry(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// hopeless tells whether an error will come for every other file too.
func hopeless(err error) bool {
	for _, target := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
