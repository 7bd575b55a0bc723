package repository

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// packs copies what is good out of damaged packs.
func (p *repair) packs(ctx context.Context) error {
	packs, err := p.chosen(ctx)
	if err != nil || len(packs) == 0 {
		return err
	}
	var c *copier
	if !p.opts.DryRun {
		if c, err = p.v.newCopier(ctx); err != nil {
			return err
		}
		defer c.w.abandon() //nolint:contextcheck // it must work after the context has ended
	}
	for _, n := range packs {
		good, err := p.salvage(ctx, c, n)
		if err != nil {
			return err
		}
		id := p.v.idx.packs[n].id
		p.report.Packs = append(p.report.Packs, RepairedPack{ID: id.String(), Saved: len(good), Lost: int(p.v.idx.packs[n].entries) - len(good)})
		p.v.idx.packs[n].lost = true
		if p.opts.DryRun {
			// As if they had been copied.
			p.v.idx.addPack(id, good)
		}
	}
	if p.opts.DryRun {
		p.v.count()
		return nil
	}
	if err := c.w.finish(ctx); err != nil {
		return err
	}
	return p.writeIndex(ctx, c.made.idx.files)
}

// chosen are the numbers of the packs to be repaired.
func (p *repair) chosen(ctx context.Context) ([]uint32, error) {
	var packs []uint32
	taken := map[uint32]bool{}
	for _, name := range p.opts.Packs {
		if name == "all" {
			return p.find(ctx)
		}
		n, err := p.pack(name)
		if err != nil {
			return nil, err
		}
		if !taken[n] {
			taken[n] = true
			packs = append(packs, n)
		}
	}
	return packs, nil
}

// pack is the number of the pack that begins so.
func (p *repair) pack(name string) (uint32, error) {
	found, count := uint32(0), 0
	for n := range p.v.idx.packs {
		if s := &p.v.idx.packs[n]; name != "" && !s.lost && strings.HasPrefix(s.id.String(), strings.ToLower(name)) {
			found = uint32(n) //nolint:gosec // there are fewer
			count++
		}
	}
	if count != 1 {
		return 0, fmt.Errorf("the pack %.80q: %d of those in the index and there begin so; if it is in no index, repair the index first", name, count)
	}
	return found, nil
}

// find reads all packs and returns those that are not good.
func (p *repair) find(ctx context.Context) ([]uint32, error) {
	var packs []uint32
	var total int64
	for _, size := range p.sizes {
		total += size
	}
	p.meter.total(0, total)
	var there []uint32
	for n := range p.v.idx.packs {
		if !p.v.idx.packs[n].lost {
			there = append(there, uint32(n)) //nolint:gosec // there are fewer
		}
	}
	var mu sync.Mutex
	err := p.v.eachPack(ctx, there, func(ctx context.Context, n uint32, b *checkBuffers) error {
		size := p.sizes[p.v.idx.packs[n].id]
		result, err := p.v.verifyPack(ctx, n, size, b, p.meter)
		if err == nil && !result.good() {
			result, err = p.v.verifyPack(ctx, n, size, b, nil)
		}
		if err == nil && !result.good() {
			mu.Lock()
			packs = append(packs, n)
			mu.Unlock()
		}
		return err
	})
	slices.Sort(packs)
	return packs, err
}

// salvage copies the good blobs of a pack, or only finds them if there is no copier.
func (p *repair) salvage(ctx context.Context, c *copier, pack uint32) ([]format.Blob, error) {
	id := p.v.idx.packs[pack].id
	var within []format.Blob
	for _, b := range p.v.blobs(pack, nil) {
		if int64(b.Offset)+int64(b.Length) <= p.sizes[id] {
			within = append(within, b)
		}
	}
	var good, bad []format.Blob
	each := func(o opened) error {
		switch {
		case o.err == nil && c != nil:
			good = append(good, o.Blob)
			return c.w.saveSealed(ctx, o.Blob, o.sealed)
		case o.err == nil:
			good = append(good, o.Blob)
		case !damaged(o.err):
			return o.err
		default:
			bad = append(bad, o.Blob)
		}
		return nil
	}
	err := runs(within, func(run []format.Blob) error { return p.v.readRun(ctx, id, run, true, each) })
	// A part of the file that the store cannot read takes its neighbours with it: each for itself, then.
	again := bad
	for _, b := range again {
		if err == nil {
			err = p.v.readRun(ctx, id, []format.Blob{b}, true, each)
		}
	}
	return good, err
}
