//go:build unix

package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// LocalOptions of a LocalSource. Nil and zero are ready to use.
type LocalOptions struct {
	// As says under which absolute paths the given ones are stored, one for each: a volume that is mounted in another place than usual is then found and restored as if it were
	// where it belongs. Default: the paths themselves.
	As []string
	// Exclude are patterns of path.Match for what is left out, with all below it: those with a slash are compared with the stored path, others with the name.
	Exclude []string
	// OneFileSystem leaves out what other file systems have; the folders on which they are mounted are stored, empty.
	OneFileSystem bool
}

// LocalSource is a Source of files and folders of this computer. It follows no links: nobody who can write to the folders can make it read what is outside them. It holds a folder open
// for each level of depth. Extended attributes and holes are known on Linux only.
type LocalSource struct {
	opts LocalOptions
	// real are where the stored paths are; direct tells that they are the same.
	stored, real []string
	names        names
}

var _ interface {
	Source
	Scanner
} = (*LocalSource)(nil)

// NewLocalSource returns one of files and folders at paths; relative ones belong to the working directory.
func NewLocalSource(opts *LocalOptions, paths ...string) (*LocalSource, error) {
	s := &LocalSource{}
	if opts != nil {
		s.opts = *opts
	}
	if n := len(s.opts.As); n > 0 && n != len(paths) {
		return nil, fmt.Errorf("%d paths are to be stored as %d", len(paths), n)
	}
	for _, pattern := range s.opts.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("exclude %q: %w", pattern, err)
		}
	}
	for i, p := range paths {
		real, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("back up %q: %w", p, err)
		}
		as := real
		if len(s.opts.As) > 0 {
			as = path.Clean("/" + s.opts.As[i])
		}
		s.stored, s.real = append(s.stored, as), append(s.real, real)
	}
	if len(cleanPaths(s.stored)) != len(s.stored) && len(s.opts.As) > 0 {
		return nil, fmt.Errorf("of the paths %q, one is below another", s.stored)
	}
	return s, nil
}

// Paths implements Source.
func (s *LocalSource) Paths() []string { return cleanPaths(s.stored) }

// find is where a stored path is.
func (s *LocalSource) find(p string) (string, error) {
	if i := slices.Index(s.stored, p); i >= 0 {
		return s.real[i], nil
	}
	for i, at := range s.stored {
		if at == s.real[i] && strings.HasPrefix(at, strings.TrimSuffix(p, "/")+"/") {
			return p, nil
		}
	}
	return "", &fs.PathError{Op: "find", Path: p, Err: fs.ErrNotExist}
}

// Entry implements Source.
func (s *LocalSource) Entry(_ context.Context, p string) (*Entry, error) {
	real, err := s.find(p)
	if err != nil {
		return nil, err
	}
	f := &localFolder{src: s, fd: unix.AT_FDCWD}
	e, err := f.entry(real)
	if err != nil {
		return nil, &fs.PathError{Op: "describe", Path: real, Err: err}
	}
	e.Name = path.Base(p)
	return e, nil
}

// Folder implements Source.
func (s *LocalSource) Folder(_ context.Context, p string) (Folder, error) { return s.open(p) }

func (s *LocalSource) open(p string) (*localFolder, error) {
	real, err := s.find(p)
	if err != nil {
		return nil, err
	}
	return s.folder(unix.AT_FDCWD, real, p, nil)
}

// Open implements Source.
func (s *LocalSource) Open(_ context.Context, p string) (io.ReadCloser, error) {
	real, err := s.find(p)
	if err != nil {
		return nil, err
	}
	return openLocal(unix.AT_FDCWD, real, real)
}

// Scan implements Scanner.
func (s *LocalSource) Scan(ctx context.Context, add func(files, bytes int64)) error {
	var failures []error
	for _, p := range s.Paths() {
		e, err := s.Entry(ctx, p)
		if err == nil && e.Mode.IsDir() {
			var f *localFolder
			if f, err = s.open(p); err == nil {
				err = f.scan(ctx, add)
			}
		} else if err == nil && e.Mode.IsRegular() {
			add(1, e.Size)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// folder opens a folder at name below the one at fd. It is stored at p; in is the file system it must be on, if there is one alone.
func (s *LocalSource) folder(at int, name, p string, in *uint64) (*localFolder, error) {
	fd, err := openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	f := &localFolder{src: s, fd: fd, path: p, file: os.NewFile(uintptr(fd), p)}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "describe", Path: p, Err: err}, f.Close())
	}
	f.device = widen(st.Dev)
	f.other = s.opts.OneFileSystem && in != nil && *in != f.device
	return f, nil
}

// localFolder is a folder of a LocalSource.
type localFolder struct {
	src  *LocalSource
	fd   int
	path string
	file *os.File
	// device is the file system; other tells that it is one to leave out.
	device uint64
	other  bool
	// noXattrs is set when the file system has none.
	noXattrs bool
}

// Entries implements Folder.
func (f *localFolder) Entries(ctx context.Context) ([]*Entry, error) {
	names, err := f.list()
	entries := make([]*Entry, 0, len(names))
	failures := []error{err}
	for _, name := range names {
		if ctx.Err() != nil {
			return entries, context.Cause(ctx)
		}
		e, err := f.entry(name)
		if err != nil {
			failures = append(failures, &fs.PathError{Op: "describe", Path: path.Join(f.path, name), Err: err})
			continue
		}
		entries = append(entries, e)
	}
	return entries, errors.Join(failures...)
}

// list returns the names in the folder that are not left out.
func (f *localFolder) list() ([]string, error) {
	if f.other {
		return nil, nil
	}
	names, err := f.file.Readdirnames(-1)
	if len(f.src.opts.Exclude) > 0 {
		names = slices.DeleteFunc(names, func(name string) bool { return f.src.excluded(path.Join(f.path, name), name) })
	}
	return names, err
}

func (s *LocalSource) excluded(p, name string) bool {
	for _, pattern := range s.opts.Exclude {
		subject := name
		if strings.Contains(pattern, "/") {
			subject = p
		}
		if ok, _ := path.Match(pattern, subject); ok { // it was tried before
			return true
		}
	}
	return false
}

// entry describes what has that name.
func (f *localFolder) entry(name string) (*Entry, error) {
	var st unix.Stat_t
	if err := fstatat(f.fd, name, &st); err != nil {
		return nil, err
	}
	e := statEntry(&st)
	e.Name = name
	e.User, e.Group = f.src.names.of(st.Uid, st.Gid)
	var err error
	if e.Mode.Type() == fs.ModeSymlink {
		if e.Target, err = readlinkat(f.fd, name); err != nil {
			return nil, err
		}
	}
	if !f.noXattrs {
		e.Xattrs, err = xattrs(f.fd, name)
		if errors.Is(err, unix.ENOTSUP) {
			f.noXattrs, err = true, nil
		}
		if err != nil {
			return nil, fmt.Errorf("extended attributes: %w", err)
		}
	}
	return e, nil
}

// Folder implements Folder.
func (f *localFolder) Folder(_ context.Context, name string) (Folder, error) {
	return f.src.folder(f.fd, name, path.Join(f.path, name), &f.device)
}

// Open implements Folder.
func (f *localFolder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return openLocal(f.fd, name, path.Join(f.path, name))
}

// Close implements Folder.
func (f *localFolder) Close() error { return f.file.Close() }

// scan counts the files below, and closes the folder.
func (f *localFolder) scan(ctx context.Context, add func(files, bytes int64)) error {
	defer func() { _ = f.Close() }()
	names, err := f.list()
	failures := []error{err}
	var files, bytes int64
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var st unix.Stat_t
		if err := fstatat(f.fd, name, &st); err != nil {
			failures = append(failures, err)
			continue
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			files, bytes = files+1, bytes+st.Size
		case unix.S_IFDIR:
			below, err := f.src.folder(f.fd, name, path.Join(f.path, name), &f.device)
			if err == nil {
				err = below.scan(ctx, add)
			}
			failures = append(failures, err)
		}
	}
	add(files, bytes)
	return errors.Join(failures...)
}

// widen is a number whose type depends on the system.
func widen[T ~int32 | ~int64 | ~uint16 | ~uint32 | ~uint64](n T) uint64 { return uint64(n) }

// statEntry is what the system says about a file.
func statEntry(st *unix.Stat_t) *Entry {
	e := &Entry{
		Mode:    fileMode(uint32(widen(st.Mode))),
		ModTime: timeOf(st.Mtim), AccessTime: timeOf(st.Atim), ChangeTime: timeOf(st.Ctim),
		UID: st.Uid, GID: st.Gid, Inode: widen(st.Ino), DeviceID: widen(st.Dev), Links: widen(st.Nlink),
	}
	switch {
	case e.Mode.IsRegular():
		e.Size = st.Size
	case e.Mode&fs.ModeDevice != 0:
		e.Device = widen(st.Rdev)
	}
	return e
}

func fileMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	default:
		mode |= fs.ModeIrregular
	}
	for bit, is := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if m&bit != 0 {
			mode |= is
		}
	}
	return mode
}

// names are those of users and groups, looked up once.
type names struct {
	mu            sync.Mutex
	users, groups map[uint32]string
}

func (n *names) of(uid, gid uint32) (userName, group string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.users == nil {
		n.users, n.groups = map[uint32]string{}, map[uint32]string{}
	}
	userName, ok := n.users[uid]
	if !ok {
		if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
			userName = u.Username
		}
		n.users[uid] = userName
	}
	group, ok = n.groups[gid]
	if !ok {
		if g, err := user.LookupGroupId(strconv.FormatUint(uint64(gid), 10)); err == nil {
			group = g.Name
		}
		n.groups[gid] = group
	}
	return userName, group
}
