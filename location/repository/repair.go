package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// RepairOptions say what is repaired, in this order. What Check finds says which is needed; with none, nothing is.
type RepairOptions struct {
	// Index writes the index anew: packs that no index file lists, or that have another size than it says, are looked into, and packs that are gone are left out. Needed for
	// FoundIndex, FoundPackUnindexed where something is missing, FoundPackMissing and FoundPackGone.
	Index bool
	// Packs are IDs, or beginnings of them, of packs out of which what is good is copied into new ones; or "all", which reads all packs to find those that need it. What is
	// bad cannot be brought back, but by a backup of the same content. The old packs stay until the next prune. Needed for FoundPackSize, FoundPackDamaged and FoundPackHeader.
	Packs []string
	// Snapshots writes snapshots that lack something anew, without the files and folders that cannot be restored in whole. The new ones have the tag "repaired" and name the old as their
	// original. Needed for FoundTree, FoundBlob, FoundFileSize, and where packs have lost blobs.
	Snapshots bool
	// Forget removes the snapshots that were written anew, and those of which nothing can be restored. Default: they stay, and Prune refuses to work while there are any.
	Forget bool
	// DryRun changes nothing; the report is what would be done.
	DryRun bool
	// Progress is called now and then, with the bytes of packs that are read. It must not block. Default none.
	Progress func(Progress)
}

// RepairReport is what a repair did, or would do.
type RepairReport struct {
	// IndexDamaged are index files that could not be read and were replaced.
	IndexDamaged []string
	// PacksAdded were not in the index, or not as they are. PacksGone were in it and are not there. PacksUnreadable have a header that cannot be read: of those that were in no index nothing can be used,
	// of the others repair the pack.
	PacksAdded, PacksGone, PacksUnreadable []string
	// Packs out of which blobs were copied.
	Packs []RepairedPack
	// Snapshots that lack something, the oldest first.
	Snapshots []RepairedSnapshot
}

// RepairedPack is a pack out of which blobs were copied.
type RepairedPack struct {
	ID string
	// Saved blobs were copied, Lost ones are bad.
	Saved, Lost int
}

// RepairedSnapshot is a snapshot that lacks something.
type RepairedSnapshot struct {
	// ID is that of the snapshot as it was, New that of the one without what is lost; empty if nothing of it can be restored, or in a dry run.
	ID, New string
	// Lost is why nothing of it can be restored. Default nil: something can.
	Lost error
	// Forgotten is set when it was removed.
	Forgotten bool
	// Files are what was changed, the first thousand; Changes how many those are.
	Files   []RepairedFile
	Changes int
}

// RepairedFile is a file or folder that was changed in a snapshot.
type RepairedFile struct {
	// Path ends in a slash if it is a folder.
	Path string
	// Why is what was done to it, and why.
	Why string
}

// maxRepaired is how many files a RepairedSnapshot names.
const maxRepaired = 1000

// repairedTag is on snapshots that a repair has written.
const repairedTag = "repaired"

// Repair repairs what can be repaired. It never removes data: what it replaces are index files and, with Forget, snapshots. It takes an exclusive lock: somebody at
// work is ErrLocked, after Options.LockWait. It may be killed at any point and begun again.
//
// What is nowhere cannot be repaired. But a backup of the same content stores the pieces again that are missing from the index, and so heals the snapshots that had them: repair
// the index and the packs, back up, and only then repair the snapshots.
func (r *Repository) Repair(ctx context.Context, opts *RepairOptions) (RepairReport, error) {
	p := &repair{}
	if opts != nil {
		p.opts = *opts
	}
	ctx, unlock, err := r.lock(ctx, true)
	if err != nil {
		return p.report, fmt.Errorf("repair: %w", err)
	}
	p.meter = newMeter(p.opts.Progress)
	err = p.run(ctx, r)
	p.meter.finish()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	r.idx.reset()
	if err = errors.Join(err, unlock()); err != nil {
		return p.report, fmt.Errorf("repair: %w", err)
	}
	return p.report, nil
}

// repair is one that runs.
type repair struct {
	opts   RepairOptions
	v      *view
	meter  *meter
	report RepairReport
	// sizes are those of the packs that are there.
	sizes map[format.ID]int64
}

func (p *repair) run(ctx context.Context, r *Repository) error {
	if err := p.load(ctx, r); err != nil {
		return err
	}
	if p.opts.Index {
		if err := p.index(ctx); err != nil {
			return fmt.Errorf("index: %w", err)
		}
		if !p.opts.DryRun {
			if err := p.load(ctx, r); err != nil {
				return err
			}
		}
	}
	for id, err := range p.v.bad {
		return fmt.Errorf("the index file %s cannot be read: repair the index too: %w", id.Short(), err)
	}
	if len(p.opts.Packs) > 0 {
		if err := p.packs(ctx); err != nil {
			return fmt.Errorf("packs: %w", err)
		}
		if !p.opts.DryRun {
			if err := p.load(ctx, r); err != nil {
				return err
			}
		}
	}
	if p.opts.Snapshots {
		if err := p.snapshots(ctx); err != nil {
			return fmt.Errorf("snapshots: %w", err)
		}
	}
	return nil
}

// load reads what is there: index files, damaged ones too, and the sizes of packs. Packs that are gone are lost to the index.
func (p *repair) load(ctx context.Context, r *Repository) error {
	var err error
	if p.v, err = r.newView(ctx); err != nil {
		return err
	}
	p.sizes = map[format.ID]int64{}
	for f, err := range r.list(ctx, packFile) {
		if err != nil {
			return err
		}
		p.sizes[f.ID] = f.Size
	}
	for n := range p.v.idx.packs {
		if _, ok := p.sizes[p.v.idx.packs[n].id]; !ok {
			p.v.idx.packs[n].lost = true
		}
	}
	return nil
}
