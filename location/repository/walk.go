package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// safeEntry is entryOf for what may be hostile: the type of the node decides, not the mode, and no size is negative.
func safeEntry(n *format.Node) Entry {
	e := entryOf(n)
	e.Mode = n.Mode&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) | typeBits(n.Type)
	e.Size = clampSize(n.Size)
	return e
}

// clampSize keeps sizes that cannot be from becoming negative.
func clampSize(size uint64) int64 { return int64(min(size, 1<<63-1)) } //nolint:gosec // it fits

func typeBits(kind string) fs.FileMode {
	switch kind {
	case format.TypeDir:
		return fs.ModeDir
	case format.TypeSymlink:
		return fs.ModeSymlink
	case format.TypeDevice:
		return fs.ModeDevice
	case format.TypeChar:
		return fs.ModeDevice | fs.ModeCharDevice
	case format.TypeFifo:
		return fs.ModeNamedPipe
	case format.TypeSocket:
		return fs.ModeSocket
	}
	return 0
}

const (
	// maxDepth is how deep folders may be nested; Linux reaches about 2,000 with absolute paths.
	maxDepth = 4096
	// maxHeld is how many folders may be waiting for their turn, over all levels, while a tree is walked.
	maxHeld = 2 << 20
	// maxPath is how long a path may become while a tree is walked, in bytes.
	maxPath = 64 << 10
)

// Walk calls visit for what is at path in the snapshot and everything below it, folders before their contents, by the order of names; the root itself has no entry. The id is as
// for Find; paths begin with a slash. With fs.SkipDir from visit a folder's contents are left out, with fs.SkipAll the walk ends; any other error ends it and is returned.
// It holds a shared lock.
func (r *Repository) Walk(ctx context.Context, id, at string, visit func(path string, e Entry) error) error {
	err := r.read(ctx, id, at, func(ctx context.Context, _ Snapshot, n *format.Node) error {
		w := &walker{r: r, visit: func(p string, n *format.Node) error { return visit(p, safeEntry(n)) }}
		return w.node(ctx, cleanPath(at), n, 0)
	})
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

func cleanPath(p string) string { return path.Clean("/" + p) }

// cleanNames are the names in the path.
func cleanNames(p string) []string {
	if p = cleanPath(p); p != "/" {
		return strings.Split(p[1:], "/")
	}
	return nil
}

// walker visits the nodes of a tree in order.
type walker struct {
	r     *Repository
	visit func(p string, n *format.Node) error
	// held is how many nodes the folders above have that are not done.
	held int
}

func (w *walker) node(ctx context.Context, p string, n *format.Node, depth int) error {
	if p != "/" {
		err := w.visit(p, n)
		if errors.Is(err, fs.SkipDir) {
			return nil
		}
		if err != nil || n.Type != format.TypeDir {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if depth == maxDepth || len(p) > maxPath {
		return fmt.Errorf("%w: %q: folders are nested deeper than %d, or their path is longer than %d bytes", ErrDamaged, shortPath(p), maxDepth, maxPath)
	}
	t, err := w.r.loadTree(ctx, *n.Subtree)
	if err != nil {
		return fmt.Errorf("%q: %w", shortPath(p), err)
	}
	if w.held += len(t.Nodes); w.held > maxHeld {
		return fmt.Errorf("%w: %q: the folders on the way have more than %d entries", ErrDamaged, shortPath(p), maxHeld)
	}
	defer func() { w.held -= len(t.Nodes) }()
	for _, child := range t.Nodes {
		if err := w.node(ctx, path.Join(p, child.Name), child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// shortPath keeps messages short when paths are not.
func shortPath(p string) string {
	const most = 300
	if len(p) <= most {
		return p
	}
	return p[:most/2] + "..." + p[len(p)-most/2:]
}

// read calls do, under a shared lock, with the snapshot and what is at path in it.
func (r *Repository) read(ctx context.Context, id, at string, do func(ctx context.Context, s Snapshot, n *format.Node) error) error {
	locked, unlock, err := r.lock(ctx, false)
	if err != nil {
		return err
	}
	defer func() {
		if err := unlock(); err != nil {
			r.log.WarnContext(ctx, "the lock of the repository could not be removed; it is stale after a while", "error", err)
		}
	}()
	if err := r.loadIndex(locked); err != nil {
		return err
	}
	s, err := r.Find(locked, id, nil)
	if err != nil {
		return err
	}
	n, err := r.locate(locked, s, at)
	if err != nil {
		return err
	}
	return do(locked, s, n)
}

// locate finds what is at path in the snapshot. The root is a folder without a name.
func (r *Repository) locate(ctx context.Context, s Snapshot, at string) (*format.Node, error) {
	tree, err := format.ParseID(s.Tree)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", s.ShortID(), err)
	}
	n := &format.Node{Type: format.TypeDir, Subtree: &tree}
	for _, name := range cleanNames(at) {
		if n.Type != format.TypeDir {
			return nil, fmt.Errorf("%q in snapshot %s: %w", shortPath(at), s.ShortID(), fs.ErrNotExist)
		}
		t, err := r.loadTree(ctx, *n.Subtree)
		if err != nil {
			return nil, fmt.Errorf("%q in snapshot %s: %w", shortPath(at), s.ShortID(), err)
		}
		i := slices.IndexFunc(t.Nodes, func(n *format.Node) bool { return n.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%q in snapshot %s: %w", shortPath(at), s.ShortID(), fs.ErrNotExist)
		}
		n = t.Nodes[i]
	}
	return n, nil
}
