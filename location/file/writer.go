package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"gocloud.dev/blob/driver"
)

const (
	// tempDir is where unfinished writes are; its first part is the name that the package location reserves.
	tempDir = ".davit/tmp"
	// tries bounds the loops in which another process may get in the way.
	tries = 100
)

func (b *bucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	root, err := b.at(key, true)
	if err != nil {
		return nil, err
	}
	if len(opts.Metadata) > 0 {
		return nil, fmt.Errorf("%w: metadata", errUnsupported)
	}
	if err := placeable(root, key); err != nil {
		return nil, err
	}
	f, name, err := createTemp(root)
	if err != nil {
		return nil, err
	}
	w := &writer{ctx: ctx, root: root, file: f, temp: name, key: key, exclusive: opts.IfNotExist}
	if opts.BeforeWrite != nil {
		if err := opts.BeforeWrite(func(any) bool { return false }); err != nil {
			w.discard()
			return nil, err
		}
	}
	return w, nil
}

// placeable finds out before anything is written whether the key can be a file's name.
func placeable(root *os.Root, key string) error {
	info, err := root.Stat(key)
	switch {
	case err == nil:
		if info.IsDir() {
			return &fs.PathError{Op: "write", Path: key, Err: syscall.EISDIR}
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return err
	}
}

// createTemp makes a file that only this writer has, locked as long as the writer lives.
func createTemp(root *os.Root) (*os.File, string, error) {
	var err error
	for range tries {
		if err = makeFolder(root, tempDir); err != nil {
			return nil, "", err
		}
		sweep(root)
		var id [16]byte
		if _, err = rand.Read(id[:]); err != nil {
			return nil, "", err
		}
		name := path.Join(tempDir, hex.EncodeToString(id[:]))
		var f *os.File
		f, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrNotExist) { // another writer has just tidied the folder away
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if lock(f) && same(root, name, f) {
			return f, name, nil
		}
		_ = f.Close()
		_ = root.Remove(name)
		err = fmt.Errorf("another process keeps removing %q", tempDir)
	}
	return nil, "", err
}

// sweep removes what dead writers left: files that nobody has locked. Failures do no harm.
func sweep(root *os.Root) {
	dir, err := root.Open(tempDir)
	if err != nil {
		return
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(1000) // what is beyond that is left to the next write
	for _, n := range names {
		name := path.Join(tempDir, n)
		f, err := root.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if abandoned(f) {
			_ = root.Remove(name)
		}
		_ = f.Close()
	}
}

// same tells whether the name still is that file.
func same(root *os.Root, name string, f *os.File) bool {
	a, err := root.Lstat(name)
	if err != nil {
		return false
	}
	b, err := f.Stat()
	return err == nil && os.SameFile(a, b)
}

// writer is a file with a temporary name until it is closed.
type writer struct {
	ctx       context.Context
	root      *os.Root
	file      *os.File
	temp, key string
	exclusive bool
}

func (w *writer) Write(p []byte) (int, error) { return w.file.Write(p) }

// Close commits the file unless the context has ended. Whatever fails, the temporary file goes.
func (w *writer) Close() error {
	defer w.discard()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	// The lock goes with the file, so the name must not be taken for an abandoned one: rename first, close in discard.
	if err := w.place(); err != nil {
		return err
	}
	return syncFolders(w.root, path.Dir(w.key))
}

// place gives the file its name.
func (w *writer) place() error {
	var err error
	for range tries {
		if err = makeFolder(w.root, path.Dir(w.key)); err != nil {
			return err
		}
		if w.exclusive {
			err = w.root.Link(w.temp, w.key)
		} else {
			err = w.root.Rename(w.temp, w.key)
		}
		if errors.Is(err, fs.ErrExist) && w.exclusive {
			return fmt.Errorf("%w: %q", errExists, w.key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// makeFolder makes the folder and those above it, where others may just be tidying the same ones away.
func makeFolder(root *os.Root, dir string) error {
	var err error
	for range tries {
		if err = root.MkdirAll(dir, 0o700); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// discard closes the file and removes what is left under its temporary name.
func (w *writer) discard() {
	_ = w.root.Remove(w.temp)
	_ = w.file.Close()
	prune(w.root, tempDir)
}

// syncFolders flushes the folder and those above it, so that the name outlives a power cut.
func syncFolders(root *os.Root, dir string) error {
	for {
		if err := syncFolder(root, dir); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

func (b *bucket) Copy(ctx context.Context, dst, src string, opts *driver.CopyOptions) error {
	if opts.BeforeCopy != nil {
		if err := opts.BeforeCopy(func(any) bool { return false }); err != nil {
			return err
		}
	}
	r, err := b.NewRangeReader(ctx, src, 0, -1, &driver.ReaderOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	w, err := b.NewTypedWriter(ctx, dst, "", &driver.WriterOptions{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		abort()
		_ = w.Close()
		return err
	}
	return w.Close()
}

func syncFolder(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if dir != "." && errors.Is(err, fs.ErrNotExist) { // somebody has removed the object already, and the folder with it
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
