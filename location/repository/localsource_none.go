//go:build !unix

package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// LocalOptions of a LocalSource, which this system has none of.
type LocalOptions struct {
	As            []string
	Exclude       []string
	OneFileSystem bool
}

// LocalSource is for Unix.
type LocalSource struct{}

var _ Source = (*LocalSource)(nil)

// NewLocalSource fails with errors.ErrUnsupported on this system.
func NewLocalSource(*LocalOptions, ...string) (*LocalSource, error) {
	return nil, fmt.Errorf("back up files on this system: %w", errors.ErrUnsupported)
}

// Paths implements Source.
func (*LocalSource) Paths() []string { return nil }

// Entry implements Source.
func (*LocalSource) Entry(context.Context, string) (*Entry, error) { return nil, fs.ErrNotExist }

// Folder implements Source.
func (*LocalSource) Folder(context.Context, string) (Folder, error) { return nil, fs.ErrNotExist }

// Open implements Source.
func (*LocalSource) Open(context.Context, string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
