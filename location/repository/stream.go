package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// BackupStream stores a new snapshot of one file of that name with what in gives, as "restic backup --stdin --stdin-filename" does: in the root, or in folders if name has slashes. An
// error of in, other than io.EOF, fails it: there is no snapshot then. A Read that does not return is waited for, after a cancel too.
func (r *Repository) BackupStream(ctx context.Context, name string, in io.Reader, opts *BackupOptions) (Snapshot, error) {
	p := path.Clean("/" + name)
	if p == "/" || strings.Contains(p, "\x00") {
		return Snapshot{}, fmt.Errorf("back up a stream: %q is no name of a file", name)
	}
	o := BackupOptions{}
	if opts != nil {
		o = *opts
	}
	o.Parent = noParent
	at := o.Time
	if at.IsZero() {
		at = time.Now()
	}
	s, err := r.backup(ctx, &streamSource{path: p, in: in, at: at}, &o, true)
	if err != nil {
		return Snapshot{}, fmt.Errorf("back up stream %q: %w", name, err)
	}
	return s, nil
}

// streamSource is a Source of one file.
type streamSource struct {
	path string
	in   io.Reader
	at   time.Time
}

var errNoFolder = errors.New("a stream is no folder")

// Paths implements Source.
func (s *streamSource) Paths() []string { return []string{s.path} }

// Entry implements Source.
func (s *streamSource) Entry(_ context.Context, p string) (*Entry, error) {
	if p != s.path {
		return nil, fs.ErrNotExist
	}
	return &Entry{Mode: 0o644, ModTime: s.at, AccessTime: s.at, ChangeTime: s.at, UID: userID(), GID: groupID(), Links: 1, Size: -1}, nil
}

// Folder implements Source.
func (s *streamSource) Folder(context.Context, string) (Folder, error) { return nil, errNoFolder }

// Open implements Source.
func (s *streamSource) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(s.in), nil
}
