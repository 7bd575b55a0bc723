package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// snapshots writes anew those that lack something.
func (p *repair) snapshots(ctx context.Context) error {
	m := &mender{p: p, whole: newBitset(p.v.entries()), mended: map[uint32]*mendedTree{}}
	if !p.opts.DryRun {
		c, err := p.v.newCopier(ctx)
		if err != nil {
			return err
		}
		m.w = c.w
		defer c.w.abandon() //nolint:contextcheck // it must work after the context has ended
	}
	var mended []*mendedSnapshot
	for f, err := range p.v.list(ctx, snapshotFile) {
		if err != nil {
			return err
		}
		s, err := m.snapshot(ctx, f.ID)
		if err != nil {
			return err
		}
		if s != nil {
			mended = append(mended, s)
		}
	}
	slices.SortFunc(mended, func(a, b *mendedSnapshot) int {
		return cmp.Or(a.stored.Time.Compare(b.stored.Time), cmp.Compare(a.report.ID, b.report.ID))
	})
	if m.w != nil {
		// New trees are there before what refers to them.
		if err := m.w.finish(ctx); err != nil {
			return err
		}
	}
	for _, s := range mended {
		err := p.replace(ctx, s)
		p.report.Snapshots = append(p.report.Snapshots, s.report)
		if err != nil {
			return err
		}
	}
	return nil
}

// mendedSnapshot is one that lacks something.
type mendedSnapshot struct {
	id     format.ID
	report RepairedSnapshot
	stored format.Snapshot
}

// replace writes the snapshot anew and forgets the old one if asked to.
func (p *repair) replace(ctx context.Context, s *mendedSnapshot) error {
	if p.opts.DryRun {
		return nil
	}
	if s.report.Lost == nil {
		id, err := p.v.saveJSON(ctx, snapshotFile, s.stored)
		if err != nil {
			return err
		}
		s.report.New = id.String()
	}
	if !p.opts.Forget {
		return nil
	}
	if err := p.v.remove(ctx, snapshotFile, s.id); err != nil {
		return err
	}
	s.report.Forgotten = true
	return nil
}

// mender writes trees anew that lack something. It looks at each tree once.
type mender struct {
	p *repair
	// w is nil in a dry run.
	w *writer
	// whole are trees that lack nothing, nor anything below them; mended the others.
	whole  bitset
	mended map[uint32]*mendedTree
}

// mendedTree is a tree as it is now.
type mendedTree struct {
	id format.ID
	// lost is why nothing of it is left.
	lost error
	// files are what was changed, by their paths below the tree.
	files   []RepairedFile
	changes int
}

func (t *mendedTree) change(name, why string) {
	if t.changes++; len(t.files) < maxRepaired {
		t.files = append(t.files, RepairedFile{name, why})
	}
}

// snapshot looks at a snapshot; nil if it lacks nothing.
func (m *mender) snapshot(ctx context.Context, id format.ID) (*mendedSnapshot, error) {
	s := &mendedSnapshot{id: id, report: RepairedSnapshot{ID: id.String()}}
	text, err := m.p.v.loadFile(ctx, snapshotFile, id)
	var parsed *format.Snapshot
	if err == nil {
		parsed, err = format.ParseSnapshot(text)
	}
	if errors.Is(err, location.ErrNotFound) {
		return nil, nil //nolint:nilnil // it is gone, and lacks nothing
	}
	if err != nil {
		if !damaged(err) {
			return nil, err
		}
		s.report.Lost = err
		return s, nil
	}
	s.stored = *parsed
	t, err := m.tree(ctx, *parsed.Tree)
	if t == nil || err != nil {
		return nil, err
	}
	s.report.Lost, s.report.Changes = t.lost, t.changes
	for _, f := range t.files {
		s.report.Files = append(s.report.Files, RepairedFile{"/" + f.Path, f.Why})
	}
	s.stored.Tree, s.stored.Summary = &t.id, nil
	if s.stored.Original == nil {
		s.stored.Original = &id
	}
	if !slices.Contains(s.stored.Tags, repairedTag) {
		s.stored.Tags = append(slices.Clip(s.stored.Tags), repairedTag)
	}
	return s, nil
}

// tree looks at a tree and what is below it; nil if it lacks nothing.
func (m *mender) tree(ctx context.Context, id format.ID) (*mendedTree, error) {
	n, ok := m.p.v.find(format.Handle{ID: id, Type: format.TreeBlob})
	if !ok {
		return &mendedTree{lost: fmt.Errorf("%w: the tree %s is in no pack", ErrDamaged, id.Short())}, nil
	}
	if m.whole.has(n) {
		return nil, nil //nolint:nilnil // it lacks nothing
	}
	if t := m.mended[n]; t != nil {
		return t, nil
	}
	tree, err := m.p.v.loadTree(ctx, id)
	if err != nil {
		if !damaged(err) {
			return nil, err
		}
		m.mended[n] = &mendedTree{lost: err}
		return m.mended[n], nil
	}
	t := &mendedTree{}
	var nodes []*format.Node
	for _, node := range tree.Nodes {
		keep, err := m.node(ctx, t, node)
		if err != nil {
			return nil, err
		}
		if keep {
			nodes = append(nodes, node)
		}
	}
	if t.changes == 0 {
		m.whole.add(n)
		return nil, nil //nolint:nilnil // as above
	}
	m.mended[n] = t
	content, err := (&format.Tree{Nodes: nodes}).Encode()
	if err != nil {
		return nil, err
	}
	t.id = format.Hash(content)
	if m.w != nil {
		_, err = m.w.save(ctx, format.TreeBlob, content)
	}
	return t, err
}

// node mends an entry and tells whether it stays.
func (m *mender) node(ctx context.Context, t *mendedTree, node *format.Node) (bool, error) {
	if node.Subtree != nil {
		below, err := m.tree(ctx, *node.Subtree)
		if below == nil || err != nil {
			return err == nil, err
		}
		if lost := below.lost; lost != nil {
			t.change(node.Name+"/", fmt.Sprintf("left out: %s", lost))
			return false, nil
		}
		for _, f := range below.files {
			t.change(path.Join(node.Name, f.Path)+slash(f.Path), f.Why)
		}
		t.changes += below.changes - len(below.files)
		node.Subtree = &below.id
		return true, nil
	}
	missing, size := 0, uint64(0)
	for _, id := range node.Content {
		n, ok := m.p.v.find(format.Handle{ID: id})
		if !ok {
			missing++
			continue
		}
		size += m.p.v.size(n)
	}
	switch {
	case missing > 0:
		t.change(node.Name, fmt.Sprintf("left out: %d of its %d pieces are in no pack", missing, len(node.Content)))
		return false, nil
	case node.Type == format.TypeFile && size != node.Size:
		t.change(node.Name, fmt.Sprintf("its size is corrected from %d to %d bytes", node.Size, size))
		node.Size = size
	}
	return true, nil
}

// slash is what the path of a folder ends in.
func slash(name string) string {
	if name[len(name)-1] == '/' {
		return "/"
	}
	return ""
}
