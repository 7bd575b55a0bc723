package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"gocloud.dev/blob/driver"
)

// tries bounds the loops in which another process may get in the way.
const tries = 100

func (b *bucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	root, err := b.at(key, true)
	if err != nil {
		return nil, err
	}
	if leftOpen(key) {
		return nil, fmt.Errorf("%w: %q is the name of a removed file that is still open", errKey, key)
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
func placeable(root folder, key string) error {
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

// writer is a file with a temporary name until it is closed.
type writer struct {
	ctx       context.Context
	root      folder
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
		if !absent(err) && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// It may have worked: a network file system asks once more when an answer is lost.
		if placed, failed := same(w.root, w.key, w.file); placed || failed != nil {
			return failed
		}
		if errors.Is(err, fs.ErrExist) && w.exclusive {
			return fmt.Errorf("%w: %q", errExists, w.key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if there, failed := same(w.root, w.temp, w.file); failed != nil {
			return failed
		} else if !there {
			return fmt.Errorf("%w: %q", errSwept, w.temp)
		}
	}
	return fmt.Errorf("others keep removing the folder of %q", w.key) // without err: that an object is absent would be no answer to a write
}

// discard closes the file and removes what is left under its temporary name. In this order: NFS renames what is removed while it is open.
func (w *writer) discard() {
	_ = w.file.Close()
	_ = w.root.Remove(w.temp)
	prune(w.root, tempDir)
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
