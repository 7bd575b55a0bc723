package repository

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// repack writes what is needed of the packs that go into new ones. The view it returns holds those, which have an index already; it is nil if there is nothing to do.
func (p *prune) repack(ctx context.Context) (*view, error) {
	if p.summary.PacksRepacked == 0 {
		return nil, nil //nolint:nilnil // there is nothing to do, as the comment says
	}
	c, err := p.v.newCopier(ctx)
	if err != nil {
		return nil, err
	}
	defer c.w.abandon() //nolint:contextcheck // it must work after the context has ended
	m := newMeter(p.opts.Progress)
	defer m.finish()
	m.total(0, p.summary.BytesRepacked)
	tasks, tctx := errgroup.WithContext(ctx)
	tasks.SetLimit(p.v.opts.Connections)
	for n := range p.packs {
		if !p.packs[n].repack {
			continue
		}
		if tctx.Err() != nil {
			break
		}
		pack := uint32(n) //nolint:gosec // there are fewer
		tasks.Go(func() error {
			return c.copy(tctx, pack, p.keep.has, func(o opened) error {
				if o.err == nil {
					m.add(0, int64(o.Length))
				}
				return o.err
			})
		})
	}
	if err := tasks.Wait(); err != nil {
		return nil, fmt.Errorf("nothing was removed: check the repository with all data and repair it: %w", err)
	}
	if err := c.w.finish(ctx); err != nil {
		return nil, err
	}
	made := c.made
	p.summary.PacksLeft = p.listed - p.summary.PacksRemoved + len(made.idx.packs)
	size := made.bytes()
	p.summary.BytesFreed = p.summary.BytesRemoved - size
	p.summary.BytesLeft = p.listedBytes - p.summary.BytesFreed
	return made, nil
}

// bytes is the size of all packs. Their entries may lie in any order: packs of data and of trees grow beside each other.
func (v *view) bytes() int64 {
	size := int64(len(v.idx.packs)) * packSize(nil)
	for n := range v.entries() {
		b := v.blob(n)
		size += int64(b.Length) + headerEntry(b)
	}
	return size
}

// copier copies blobs as they are sealed into new packs.
type copier struct {
	v, made *view
	w       *writer
}

// newCopier begins new packs. Its writer must be ended.
func (v *view) newCopier(ctx context.Context) (*copier, error) {
	// The new packs have an index of their own, in which their blobs are new.
	copied := *v.Repository
	made := &view{Repository: &copied}
	made.idx = newIndex()
	w, err := made.newWriter(ctx)
	if err != nil {
		return nil, err
	}
	return &copier{v: v, made: made, w: w}, nil
}

// copy copies those blobs of a pack that are wanted and good. Each is told of every one of them.
func (c *copier) copy(ctx context.Context, pack uint32, want func(n uint32) bool, each func(opened) error) error {
	return runs(c.v.blobs(pack, want), func(run []format.Blob) error {
		return c.v.readRun(ctx, c.v.idx.packs[pack].id, run, true, func(o opened) error {
			if o.err == nil {
				if err := c.w.saveSealed(ctx, o.Blob, o.sealed); err != nil {
					return err
				}
			}
			return each(o)
		})
	})
}

// saveSealed is save for a blob that is already sealed, and verified.
func (w *writer) saveSealed(ctx context.Context, b format.Blob, sealed []byte) error {
	p, room, err := w.reserve(ctx, &b)
	if p == nil || err != nil {
		return err
	}
	copy(room[:len(sealed)], sealed)
	p.filling.Done()
	return nil
}
