package repository

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// index makes the index list the packs that are there, as they are.
func (p *repair) index(ctx context.Context) error {
	x := p.v.idx
	for id := range p.v.bad {
		p.report.IndexDamaged = append(p.report.IndexDamaged, id.String())
	}
	slices.Sort(p.report.IndexDamaged)
	for n := range x.packs {
		if x.packs[n].lost {
			p.report.PacksGone = append(p.report.PacksGone, x.packs[n].id.String())
		}
	}
	headers, err := p.headers(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.SortedFunc(maps.Keys(headers), func(a, b format.ID) int { return bytes.Compare(a[:], b[:]) }) {
		blobs := headers[id]
		if blobs == nil {
			p.report.PacksUnreadable = append(p.report.PacksUnreadable, id.String())
			continue
		}
		p.report.PacksAdded = append(p.report.PacksAdded, id.String())
		if n, ok := x.byID[id]; ok {
			x.packs[n].lost = true
		}
		x.addPack(id, blobs)
	}
	p.v.count()
	changed := len(p.report.IndexDamaged)+len(p.report.PacksGone)+len(p.report.PacksAdded) > 0
	p.v.bad = nil
	if !changed || p.opts.DryRun {
		return nil
	}
	return p.writeIndex(ctx, nil)
}

// writeIndex replaces the index files by those that list what is not lost. Those in kept stay.
func (p *repair) writeIndex(ctx context.Context, kept map[format.ID]bool) error {
	written := map[format.ID]bool{}
	maps.Copy(written, kept)
	if err := p.v.writeIndex(ctx, func(n uint32) bool { return !p.v.idx.packs[n].lost }, written); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.v.removeIndex(ctx, written)
}

// headers reads those of the packs that the index does not have as they are. One that cannot be read has no blobs.
func (p *repair) headers(ctx context.Context) (map[format.ID][]format.Blob, error) {
	var mu sync.Mutex
	headers := map[format.ID][]format.Blob{}
	tasks, tctx := errgroup.WithContext(ctx)
	tasks.SetLimit(p.v.opts.Connections)
	for id, size := range p.sizes {
		if tctx.Err() != nil {
			break
		}
		if n, ok := p.v.idx.byID[id]; ok && packSize(p.v.blobs(n, nil)) == size {
			continue
		}
		tasks.Go(func() error {
			blobs, err := p.v.packHeader(tctx, id, size)
			if err != nil && !damaged(err) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			headers[id] = blobs
			return nil
		})
	}
	return headers, tasks.Wait()
}
