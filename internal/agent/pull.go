package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location"
)

func pullCommand(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "pull TARGET|-",
		Short: "Fetches an object into a file, or to standard output, and verifies it",
		Long: "Fetches an object into a file, or to standard output, and verifies it. A file is replaced once the object is whole and\n" +
			"verified; what has gone to standard output is good only if the exit code is 0.",
		Args: exactly(1, "a file, or - for standard output"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withBucket(cmd.Context(), graceful(args[0] != "-"), func(ctx context.Context, b *location.Bucket) error {
				info, err := b.Stat(ctx, p.path)
				if err != nil {
					return err
				}
				fetch := func(w io.Writer) error { return p.fetch(ctx, b, info.Size, w) }
				if args[0] == "-" {
					return fetch(p.Out)
				}
				return intoFile(args[0], fetch)
			})
		},
	}
}

func catCommand(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "cat",
		Short: "Fetches an object to standard output, and verifies it; what came out is good only if the exit code is 0",
		Args:  exactly(0, "the path is a flag"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withBucket(cmd.Context(), graceful(false), func(ctx context.Context, b *location.Bucket) error {
				info, err := b.Stat(ctx, p.path)
				if err != nil {
					return err
				}
				return p.fetch(ctx, b, info.Size, p.Out)
			})
		},
	}
}

func (p *place) fetch(ctx context.Context, b *location.Bucket, total int64, w io.Writer) error {
	report := newProgress(p.Streams, total)
	info, err := b.Read(ctx, p.path, w, &location.ReadOptions{Progress: report.at})
	if err == nil {
		report.end(info.Size)
	}
	return err
}

// intoFile lets fetch fill the file. A regular file is replaced at the end and kept if anything fails; a pipe or device is
// written to.
func intoFile(name string, fetch func(io.Writer) error) error {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	mode := fs.FileMode(0o666) // what the umask leaves of it
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look up the target: %w", err)
	case info.IsDir():
		return usage("the target %q is a folder: name a file", name)
	case !info.Mode().IsRegular():
		return intoDevice(name, fetch)
	default:
		mode = info.Mode().Perm()
	}
	f, err := tempBeside(name, mode)
	if err != nil {
		return fmt.Errorf("write the target %q: %w", name, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if info != nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = fetch(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		return syncFolder(filepath.Dir(name))
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("write the target %q: %w: free space there; nothing was changed", name, err)
	}
	return fmt.Errorf("write the target %q: %w", name, err)
}

func intoDevice(name string, fetch func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the target: %w", err)
	}
	err = fetch(f)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("write the target: %w", cerr)
	}
	return err
}

func tempBeside(name string, mode fs.FileMode) (*os.File, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	temp := filepath.Join(filepath.Dir(name), ".davit-"+hex.EncodeToString(id[:])+".tmp")
	return os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return nil // a folder that may be written but not listed; the file itself is on the disk
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("flush the folder %q: %w", dir, err)
	}
	return nil
}
