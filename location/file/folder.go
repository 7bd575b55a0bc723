package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// folder is what the driver needs of an os.Root. All names are relative to it.
type folder interface {
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	MkdirAll(name string, perm fs.FileMode) error
	// Remove removes a file, Rmdir an empty folder and nothing else.
	Remove(name string) error
	Rmdir(name string) error
	Link(from, to string) error
	Rename(from, to string) error
	Close() error
}

// rooted is a folder of the file system.
type rooted struct{ *os.Root }

var _ folder = rooted{}

// Rmdir removes an empty folder. What os.Root has instead removes a file too, which may be an object that was written in the folder's place a moment ago.
func (r rooted) Rmdir(name string) error { return rmdir(r.Root, name) }

// steady is a folder that tells what happens to it from what happens in it. On a network file system another machine may exchange a folder between two steps of one operation
// (ESTALE): the operation begins anew then. And in a folder that was itself removed nothing is found, which must not look like an empty location.
type steady struct {
	folder
	// counts tells that the file system counts the names of folders: some user-space ones always say 0.
	counts bool
}

// steadied is f as a steady folder.
func steadied(f folder) steady {
	info, err := f.Stat(".")
	return steady{f, err == nil && !unlinked(info)}
}

func (s steady) Stat(name string) (info fs.FileInfo, err error) {
	err = s.again(func() error { info, err = s.folder.Stat(name); return err })
	return info, err
}

func (s steady) Lstat(name string) (info fs.FileInfo, err error) {
	err = s.again(func() error { info, err = s.folder.Lstat(name); return err })
	return info, err
}

func (s steady) OpenFile(name string, flag int, perm fs.FileMode) (f *os.File, err error) {
	err = s.again(func() error { f, err = s.folder.OpenFile(name, flag, perm); return err })
	return f, err
}

func (s steady) MkdirAll(name string, perm fs.FileMode) error {
	return s.again(func() error { return s.folder.MkdirAll(name, perm) })
}

func (s steady) Remove(name string) error {
	return s.again(func() error { return s.folder.Remove(name) })
}
func (s steady) Rmdir(name string) error {
	return s.again(func() error { return s.folder.Rmdir(name) })
}

func (s steady) Link(from, to string) error {
	return s.again(func() error { return s.folder.Link(from, to) })
}

func (s steady) Rename(from, to string) error {
	return s.again(func() error { return s.folder.Rename(from, to) })
}

// again tries until no folder on the way was exchanged.
func (s steady) again(try func() error) error {
	var err error
	for range tries {
		if err = try(); !stale(err) {
			break
		}
	}
	if absent(err) && s.removed() {
		return fmt.Errorf("%w (it was removed while it was in use)", errNoFolder)
	}
	return err
}

// removed tells whether the location's folder itself is no more.
func (s steady) removed() bool {
	info, err := s.folder.Stat(".")
	return absent(err) || err == nil && s.counts && unlinked(info)
}

// stale tells whether the file or folder was removed or exchanged by another machine while it was open.
func stale(err error) bool { return errors.Is(err, syscall.ESTALE) }

// absent tells whether there is no such file or folder, or not any more, or a file in the place of a folder above it.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// notFound makes every way in which a key has no object one.
func notFound(key string, err error) error {
	if absent(err) {
		return &fs.PathError{Op: "open", Path: key, Err: fs.ErrNotExist}
	}
	return err
}

// openFolder opens what is a folder now; if that is a pipe by then, without waiting for its other end.
func openFolder(root folder, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// makeFolder makes the folder and those above it, where others may just be tidying the same ones away.
func makeFolder(root folder, dir string) error {
	var err error
	for range tries {
		if err = root.MkdirAll(dir, 0o700); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// prune removes the folder and those above it as far as they are empty.
func prune(root folder, dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if root.Rmdir(dir) != nil {
			return
		}
	}
}

// syncFolders flushes the folder and those above it, so that the name outlives a power cut.
func syncFolders(root folder, dir string) error {
	for ; ; dir = path.Dir(dir) {
		var err error
		for range tries {
			if err = syncFolder(root, dir); !stale(err) {
				break
			}
		}
		if err != nil || dir == "." {
			return err
		}
	}
}

func syncFolder(root folder, dir string) error {
	f, err := openFolder(root, dir)
	if absent(err) { // somebody has removed the object already, and the folder with it
		return nil
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	_ = f.Close()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
