package file

import (
	"context"
	"io"
	"os"
	"syscall"

	"gocloud.dev/blob/driver"
)

func (b *bucket) NewRangeReader(_ context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	root, err := b.at(key, false)
	if err != nil {
		return nil, err
	}
	// Without O_NONBLOCK, a named pipe that somebody put there would block for ever.
	f, err := root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, notFound(key, err)
	}
	r, err := newReader(f, key, offset, length, opts)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return r, nil
}

func newReader(f *os.File, key string, offset, length int64, opts *driver.ReaderOptions) (*reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(key, info); err != nil {
		return nil, err
	}
	if opts.BeforeRead != nil {
		if err := opts.BeforeRead(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	r := &reader{Reader: f, file: f}
	r.attrs = driver.ReaderAttributes{ContentType: contentType, ModTime: info.ModTime(), Size: info.Size()}
	if length >= 0 {
		r.Reader = io.LimitReader(f, length)
	}
	return r, nil
}

type reader struct {
	io.Reader
	file  *os.File
	attrs driver.ReaderAttributes
}

func (r *reader) Close() error                         { return r.file.Close() }
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *reader) As(any) bool                          { return false }
