package repository

import (
	"context"
	"path"
	"slices"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// blamer finds out whom the findings hurt. It looks at each tree once.
type blamer struct {
	c *checker
	// clean are trees that nothing hurts, nor anything below them; hurt has the findings of the others.
	clean bitset
	hurt  map[uint32][]*Finding
}

// blame tells the findings which snapshots and files they hurt.
func (c *checker) blame(ctx context.Context) error {
	if len(c.hurt) == 0 && len(c.lost) == 0 && len(c.odd) == 0 {
		return nil
	}
	b := &blamer{c: c, clean: newBitset(c.v.entries()), hurt: map[uint32][]*Finding{}}
	for _, s := range c.snapshots {
		id, err := format.ParseID(s.Tree)
		if err != nil {
			return err
		}
		found, err := b.tree(ctx, "/", id)
		if err != nil {
			return err
		}
		for _, f := range found {
			if f.SnapshotsHurt++; len(f.Snapshots) < maxHurt {
				f.Snapshots = append(f.Snapshots, s.ID)
			}
		}
	}
	return nil
}

// why tells why a blob cannot be had; nil if it can.
func (c *checker) why(h format.Handle) *Finding {
	var why *Finding
	for n := range c.v.copies(h) {
		f := c.hurt[n]
		if f == nil {
			return nil
		}
		why = f
	}
	if why == nil {
		return c.lost[h]
	}
	return why
}

func (f *Finding) file(name string) {
	if f.FilesHurt++; len(f.Files) < maxHurt && !slices.Contains(f.Files, name) {
		f.Files = append(f.Files, name)
	}
}

// tree returns what hurts a tree or what is below it.
func (b *blamer) tree(ctx context.Context, dir string, id format.ID) ([]*Finding, error) {
	h := format.Handle{ID: id, Type: format.TreeBlob}
	slash := dir
	if dir != "/" {
		slash += "/"
	}
	if f := b.c.why(h); f != nil {
		f.file(slash)
		return []*Finding{f}, nil
	}
	n, ok := b.c.v.find(h)
	if !ok || b.clean.has(n) {
		return nil, nil
	}
	if found := b.hurt[n]; found != nil {
		return found, nil
	}
	t, err := b.c.v.loadTree(ctx, id)
	if err != nil {
		return nil, err
	}
	found := findings{}
	for _, node := range t.Nodes {
		if err := b.node(ctx, path.Join(dir, node.Name), node, &found); err != nil {
			return nil, err
		}
	}
	if odd := b.c.odd[n]; odd != nil {
		for _, name := range odd.names {
			odd.f.file(path.Join(dir, name))
		}
		found.add(odd.f)
	}
	if found.list == nil {
		b.clean.add(n)
	} else {
		b.hurt[n] = found.list
	}
	return found.list, nil
}

func (b *blamer) node(ctx context.Context, name string, node *format.Node, found *findings) error {
	if node.Subtree != nil {
		below, err := b.tree(ctx, name, *node.Subtree)
		for _, f := range below {
			found.add(f)
		}
		return err
	}
	own := findings{}
	for _, id := range node.Content {
		if f := b.c.why(format.Handle{ID: id}); f != nil && own.add(f) {
			f.file(name)
			found.add(f)
		}
	}
	return nil
}

// findings is a set.
type findings struct {
	list []*Finding
	has  map[*Finding]bool
}

// add tells whether the finding is new.
func (s *findings) add(f *Finding) bool {
	if s.has[f] {
		return false
	}
	if s.has == nil {
		s.has = map[*Finding]bool{}
	}
	s.has[f] = true
	s.list = append(s.list, f)
	return true
}
