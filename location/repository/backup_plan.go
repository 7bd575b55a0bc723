package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// plan tells a Planner which files will be opened.
func (b *backup) plan(ctx context.Context, p Planner, old *format.ID) error {
	err := p.Plan(ctx, func(yield func(path string, e *Entry) bool) error {
		root, err := openTop(ctx, b.src)
		if err != nil {
			return err
		}
		err = b.planFolder(ctx, &dir{path: "/", folder: root, old: old}, yield)
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("plan what is read: %w", err)
	}
	return nil
}

var errEnough = errors.New("no more is wanted")

// planFolder goes through a folder as walk does. What cannot be had is left to walk, which says so.
func (b *backup) planFolder(ctx context.Context, d *dir, yield func(path string, e *Entry) bool) error {
	defer func() { _ = d.folder.Close() }()
	entries, err := d.folder.Entries(ctx)
	if errors.Is(err, ErrSource) {
		return err
	}
	known := b.known(ctx, d.old)
	slices.SortFunc(entries, func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		old := known.find(e.Name)
		switch e.Type() {
		case format.TypeFile:
			if !b.unchanged(e, old) && !yield(d.child(e.Name), e) {
				return errEnough
			}
		case format.TypeDir:
			sub := &dir{path: d.child(e.Name)}
			if sub.folder, err = d.folder.Folder(ctx, e.Name); err != nil {
				continue
			}
			if old != nil {
				sub.old = old.Subtree
			}
			if err := b.planFolder(ctx, sub, yield); err != nil {
				return err
			}
		}
	}
	return nil
}
