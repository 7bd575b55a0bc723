package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/davit-project/davit/location"
)

func pushCommand(p *place) *cobra.Command {
	var allowEmpty bool
	cmd := &cobra.Command{
		Use:   "push SOURCE|-",
		Short: "Stores a file, or standard input, all or nothing and confirmed",
		Args:  exactly(1, "a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, total, err := p.source(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = src.Close() }()
			var r io.Reader = src
			if !allowEmpty {
				r = &nonEmpty{r: src}
			}
			return p.withBucket(cmd.Context(), graceful(true), func(ctx context.Context, b *location.Bucket) error {
				report := newProgress(p.Streams, total)
				info, err := b.Write(ctx, p.path, r, &location.WriteOptions{Progress: report.at})
				if err == nil {
					report.end(info.Content)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&allowEmpty, "allow-empty", false, "store an empty stream too; without it, one is refused as the sign of a failed dump")
	return cmd
}

// source opens what is to be pushed. Total is 0 when it is unknown.
func (p *place) source(name string) (_ io.ReadCloser, total int64, err error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, 0, fmt.Errorf("open the source: %w", err)
		}
		return checkFile(f)
	}
	f, ok := p.In.(*os.File)
	if !ok {
		return io.NopCloser(p.In), 0, nil
	}
	if term.IsTerminal(int(f.Fd())) {
		return nil, 0, usage("standard input is a terminal: pipe or redirect what is to be stored")
	}
	return checkFile(f)
}

func checkFile(f *os.File) (io.ReadCloser, int64, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		_ = f.Close()
		return nil, 0, fmt.Errorf("open the source: %w", err)
	case info.IsDir():
		_ = f.Close()
		return nil, 0, usage("the source %q is a folder: pipe an archive of it, such as that of tar", f.Name())
	case !info.Mode().IsRegular():
		return f, 0, nil
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("open the source: %w", err)
	}
	return &steady{File: f, read: at}, info.Size() - at, nil
}

// steady is a regular file that must not be cut or grow while it is read.
type steady struct {
	*os.File
	read int64
}

func (s *steady) Read(p []byte) (int, error) {
	n, err := s.File.Read(p)
	s.read += int64(n)
	if err != io.EOF {
		return n, err
	}
	info, serr := s.Stat()
	if serr != nil {
		return n, serr
	}
	if info.Size() != s.read {
		return n, fmt.Errorf("%q changed while it was read: %d bytes were read and it has %d", s.Name(), s.read, info.Size())
	}
	return n, io.EOF
}

var errEmpty = errors.New("the stream is empty, which a failed dump in front of the pipe looks like: " +
	"check it (in bash, set -o pipefail), or give --allow-empty if it is meant")

// nonEmpty turns an empty stream into an error.
type nonEmpty struct {
	r    io.Reader
	some bool
}

func (e *nonEmpty) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.some = e.some || n > 0
	if err == io.EOF && !e.some { // a reader that wraps io.EOF reports a failure
		return 0, errEmpty
	}
	return n, err
}
