//go:build unix

package repository

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// localFile is an open file of a LocalSource.
type localFile struct {
	fd   int
	path string
	// at is what it was when it was opened.
	at unix.Stat_t
	// sparse files may have holes; data is where the data at pos ends, or pos if that is not known.
	sparse    bool
	pos, data int64
}

var _ interface {
	SparseReader
	ChangeReader
} = (*localFile)(nil)

var errNoFile = errors.New("it is no regular file any more")

// openLocal opens a file below the folder at fd, and nothing else.
func openLocal(at int, name, path string) (*localFile, error) {
	fd, err := openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := &localFile{fd: fd, path: path}
	err = unix.Fstat(fd, &f.at)
	if err == nil && f.at.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNoFile
	}
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: path, Err: err}, f.Close())
	}
	f.sparse = f.at.Blocks*512 < f.at.Size
	if f.at.Size > segmentSize {
		readAhead(fd)
	}
	return f, nil
}

// Read implements io.Reader.
func (f *localFile) Read(p []byte) (int, error) {
	if f.data > f.pos {
		p = p[:min(int64(len(p)), f.data-f.pos)]
	}
	n, err := uninterrupted(func() (int, error) { return unix.Read(f.fd, p) })
	if err != nil {
		return 0, &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
	f.pos += int64(n)
	if n == 0 && len(p) > 0 || f.pos == f.at.Size {
		// What was added since it was opened is the next backup's; Changed tells.
		return n, io.EOF
	}
	return n, nil
}

// Hole implements SparseReader.
func (f *localFile) Hole() (int64, error) {
	if !f.sparse || f.data > f.pos {
		return 0, nil
	}
	data, end, ok := dataExtent(f.fd, f.pos, f.at.Size)
	if !ok {
		f.sparse = false
	} else {
		f.data = end
	}
	n := int64(0)
	if ok && data > f.pos {
		n = data - f.pos
	}
	if _, err := unix.Seek(f.fd, f.pos+n, io.SeekStart); err != nil {
		return 0, fmt.Errorf("find the holes of %q: %w", f.path, err)
	}
	f.pos += n
	return n, nil
}

// Changed implements ChangeReader.
func (f *localFile) Changed() bool {
	var now unix.Stat_t
	err := unix.Fstat(f.fd, &now)
	return err != nil || now.Size != f.at.Size || now.Mtim != f.at.Mtim || now.Ctim != f.at.Ctim
}

// Close implements io.Closer.
func (f *localFile) Close() error { return unix.Close(f.fd) }

// uninterrupted does it until no signal is in the way.
func uninterrupted[T any](do func() (T, error)) (T, error) {
	for {
		if v, err := do(); !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
}

func openat(at int, name string, flags int) (int, error) {
	return uninterrupted(func() (int, error) { return unix.Openat(at, name, flags, 0) })
}

func fstatat(at int, name string, st *unix.Stat_t) error {
	_, err := uninterrupted(func() (int, error) { return 0, unix.Fstatat(at, name, st, unix.AT_SYMLINK_NOFOLLOW) })
	return err
}

func readlinkat(at int, name string) (string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := uninterrupted(func() (int, error) { return unix.Readlinkat(at, name, buf) })
		if err != nil || n < size {
			return string(buf[:max(n, 0)]), err
		}
	}
}

func timeOf(t unix.Timespec) time.Time {
	seconds, nanos := t.Unix()
	return time.Unix(seconds, nanos)
}
