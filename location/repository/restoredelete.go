//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// deleteRest removes what is in the target and not in the snapshot. Everything else is restored by now.
func (x *restorer) deleteRest(ctx context.Context, t *restoreTask) error {
	if t.at.Type != format.TypeDir {
		return nil
	}
	d := &deleter{restorer: x}
	return d.folder(ctx, x.root, t.at, cleanNames(t.opts.Path))
}

type deleter struct{ *restorer }

func (d *deleter) folder(ctx context.Context, f *outFolder, n *format.Node, names []string) error {
	t, err := d.r.loadTree(ctx, *n.Subtree)
	if err != nil {
		return err
	}
	fd, err := d.folders.acquire(f)
	if err != nil {
		return fmt.Errorf("look into %q: %w", f.path(""), err)
	}
	deleted, err := d.inFolder(ctx, f, fd, t, names)
	if deleted && err == nil && f.node != nil {
		err = d.report(f.path(""), setTimes(fd, ".", f.node))
	}
	d.folders.release(f)
	if err != nil {
		return err
	}
	for _, child := range t.Nodes {
		if child.Type != format.TypeDir {
			continue
		}
		sub := &outFolder{parent: f, name: child.Name, node: child, slot: slot{fd: -1}, exists: true, mount: f.mount}
		here := append(names[:len(names):len(names)], child.Name)
		if wanted, below := d.filter.choose(here, false); !wanted && !below || !d.present(f, child.Name) {
			continue
		}
		if err := d.folder(ctx, sub, child, here); err != nil {
			return err
		}
		_ = d.folders.drop(&sub.slot) // it was only read
	}
	return nil
}

// present tells whether a folder of the name is there: one that a filter left out may not be.
func (d *deleter) present(f *outFolder, name string) bool {
	fd, err := d.folders.acquire(f)
	if err != nil {
		return false
	}
	defer d.folders.release(f)
	st, err := statAt(fd, name)
	return err == nil && st.isDir
}

// inFolder removes what is not in the tree, and chosen by the filter.
func (d *deleter) inFolder(ctx context.Context, f *outFolder, fd int, t *format.Tree, names []string) (bool, error) {
	have, err := folderNames(fd)
	if err != nil {
		return false, fmt.Errorf("look into %q: %w", f.path(""), err)
	}
	known := make(map[string]bool, len(t.Nodes))
	for _, n := range t.Nodes {
		known[n.Name] = true
	}
	deleted := false
	for _, name := range have {
		if known[name] || isStage(name) {
			continue
		}
		if ctx.Err() != nil {
			return deleted, context.Cause(ctx)
		}
		if wanted, _ := d.filter.choose(append(names[:len(names):len(names)], name), false); !wanted {
			continue
		}
		deleted = true
		if err := removeAll(fd, name, 0); err != nil {
			d.out.fail(f.path(name), fmt.Errorf("remove what is not in the snapshot: %w", err))
			continue
		}
		d.out.count(func(s *RestoreSummary) { s.Deleted++ })
	}
	return deleted, nil
}
