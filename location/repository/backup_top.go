package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// top is a folder above the paths of a source, such as "/" and "/a" for the path "/a/b".
type top struct {
	src   Source
	paths []string
	path  string
	// found counts paths that are there, of the topmost folder.
	found int
	root  *top
}

// openTop is the root of a source.
func openTop(ctx context.Context, src Source) (Folder, error) {
	paths := cleanPaths(src.Paths())
	if slices.Equal(paths, []string{"/"}) {
		return src.Folder(ctx, "/")
	}
	t := &top{src: src, paths: paths, path: "/"}
	t.root = t
	return t, nil
}

func (t *top) child(name string) string { return path.Join(t.path, name) }

// Entries implements Folder.
func (t *top) Entries(ctx context.Context) ([]*Entry, error) {
	var entries []*Entry
	var failures []error
	for _, p := range t.paths {
		name, _, _ := strings.Cut(strings.TrimPrefix(p[len(t.path):], "/"), "/")
		if slices.ContainsFunc(entries, func(e *Entry) bool { return e.Name == name }) {
			continue
		}
		e, err := t.entry(ctx, t.child(name), p)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		e.Name = name
		entries = append(entries, e)
	}
	return entries, errors.Join(failures...)
}

// entry describes the one at p, which is at or above one of the source's paths.
func (t *top) entry(ctx context.Context, p, below string) (*Entry, error) {
	e, err := t.src.Entry(ctx, p)
	if p == below {
		if vanished(err) {
			// It was asked for: that it is not there is a failure.
			return nil, fmt.Errorf("%q is not there", p)
		}
		if err == nil {
			t.root.found++
		}
		return e, err
	}
	if err == nil && e.Mode.IsDir() || err != nil && !vanished(err) {
		return e, err
	}
	of, err := t.src.Entry(ctx, below)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", below, hide(err))
	}
	return &Entry{Mode: fs.ModeDir | 0o755, ModTime: of.ModTime, AccessTime: of.ModTime, ChangeTime: of.ModTime}, nil
}

// hide makes an error of a file that is not there one that is a failure.
func hide(err error) error {
	if vanished(err) {
		return errors.New("it is not there")
	}
	return err
}

// Folder implements Folder.
func (t *top) Folder(ctx context.Context, name string) (Folder, error) {
	p := t.child(name)
	if slices.Contains(t.paths, p) {
		return t.src.Folder(ctx, p)
	}
	below := &top{src: t.src, path: p, root: t.root}
	for _, q := range t.paths {
		if strings.HasPrefix(q, p+"/") {
			below.paths = append(below.paths, q)
		}
	}
	return below, nil
}

// Open implements Folder.
func (t *top) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return t.src.Open(ctx, t.child(name))
}

// Close implements Folder.
func (t *top) Close() error { return nil }
