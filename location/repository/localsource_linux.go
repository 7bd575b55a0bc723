package repository

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrs are the extended attributes of what has that name below the folder at fd. The system has no call for that; the folder's file descriptor does as part of a path, of which the last
// element alone could be a link, and is not followed.
func xattrs(at int, name string) ([]Xattr, error) {
	p := name
	if at != unix.AT_FDCWD {
		p = fmt.Sprintf("/proc/self/fd/%d/%s", at, name)
	} else if !filepath.IsAbs(p) {
		p = "./" + p
	}
	list, err := xattr(func(to []byte) (int, error) { return unix.Llistxattr(p, to) })
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var all []Xattr
	for key := range bytes.SplitSeq(bytes.TrimSuffix(list, []byte{0}), []byte{0}) {
		value, err := xattr(func(to []byte) (int, error) { return unix.Lgetxattr(p, string(key), to) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		all = append(all, Xattr{string(key), value})
	}
	slices.SortFunc(all, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// xattr calls get with a buffer that is large enough.
func xattr(get func(to []byte) (int, error)) ([]byte, error) {
	for {
		size, err := get(nil)
		if err != nil || size <= 0 {
			return nil, err
		}
		value := make([]byte, size)
		n, err := get(value)
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return value[:n], nil
	}
}

// dataExtent is where data begins, at pos or after it, and where it ends; the end of the file if there is none. It is not known on every file system.
func dataExtent(fd int, pos, size int64) (begin, end int64, ok bool) {
	begin, err := unix.Seek(fd, pos, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return max(pos, size), max(pos, size), true
	}
	if err != nil {
		return 0, 0, false
	}
	end, err = unix.Seek(fd, begin, unix.SEEK_HOLE)
	return begin, end, err == nil
}

func readAhead(fd int) {
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL) // it is faster, no more
}
