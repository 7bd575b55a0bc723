package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// PruneOptions may be nil.
type PruneOptions struct {
	// MaxUnused is the share of the repository's bytes, from 0 to 1, that may stay although no snapshot needs them, because they lie in packs with others that are needed: the
	// less, the more is written anew. 1 writes nothing anew and removes only packs of which nothing is needed. Default 0.05; less than 0 is none.
	MaxUnused float64
	// MaxRepack is how many bytes are written anew at most; the next prune goes on. Default: as many as it takes.
	MaxRepack int64
	// DryRun changes nothing; the summary is what would be done.
	DryRun bool
	// Progress is called now and then with the bytes of what is written anew. It must not block. Default none.
	Progress func(Progress)
}

// DefaultMaxUnused is that of PruneOptions.MaxUnused.
const DefaultMaxUnused = 0.05

// PruneSummary is what a prune did, or would do.
type PruneSummary struct {
	// Snapshots and the blobs they need.
	Snapshots, BlobsUsed int
	// BlobsUnused are needed by none, or are copies of those that are kept.
	BlobsUnused int
	// BytesUnused is what those take in packs, before the prune.
	BytesUnused int64
	// BlobsRemoved are gone from the repository. BlobsRepacked and BytesRepacked were written anew, out of packs that are removed.
	BlobsRemoved, BlobsRepacked int
	BytesRepacked               int64
	// PacksRemoved are all packs that are removed: unused ones, those that were in no index (PacksUnindexed), and those that were repacked (PacksRepacked).
	PacksRemoved, PacksUnindexed, PacksRepacked int
	// BytesRemoved is the size of the removed packs, BytesFreed by how much all packs together are smaller.
	BytesRemoved, BytesFreed int64
	// PacksLeft and BytesLeft is what the repository has now.
	PacksLeft int
	BytesLeft int64
}

// Prune removes what no snapshot needs, such as what only forgotten ones did. Packs of which nothing is needed go; others are repacked, the most wasteful first, until no more than
// MaxUnused is wasted, and small packs are joined.
//
// It takes an exclusive lock: somebody at work is ErrLocked, after Options.LockWait. It refuses with ErrDamaged, before it changes anything, when a snapshot or a tree cannot be
// read or something that is needed is missing: see Check and Repair.
//
// It may be killed at any point: every snapshot can be restored then, and the next prune finishes the work and goes on with the packs already written. New packs and their index
// come first, then the other index files are replaced, then packs are removed. It needs up to BytesRepacked of room meanwhile.
func (r *Repository) Prune(ctx context.Context, opts *PruneOptions) (PruneSummary, error) {
	p := &prune{}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.MaxUnused == 0 {
		p.opts.MaxUnused = DefaultMaxUnused
	}
	ctx, unlock, err := r.lock(ctx, true)
	if err != nil {
		return PruneSummary{}, fmt.Errorf("prune: %w", err)
	}
	err = p.run(ctx, r)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	r.idx.reset()
	if err = errors.Join(err, unlock()); err != nil {
		return p.summary, fmt.Errorf("prune: %w", err)
	}
	return p.summary, nil
}

// prune is one that runs.
type prune struct {
	opts    PruneOptions
	v       *view
	summary PruneSummary
	// snapshots are those whose blobs are kept.
	snapshots map[format.ID]bool
	// keep are the entries that are needed.
	keep bitset
	// packs are those of the index by their number.
	packs []prunePack
	// unindexed packs are in no index.
	unindexed []stored
	// listed packs and bytes are all there are.
	listed      int
	listedBytes int64
}

func (p *prune) run(ctx context.Context, r *Repository) error {
	if err := p.mark(ctx, r); err != nil {
		return err
	}
	p.plan()
	if p.opts.DryRun {
		return nil
	}
	made, err := p.repack(ctx)
	if err != nil {
		return fmt.Errorf("write needed blobs anew: %w", err)
	}
	if err := p.replaceIndex(ctx, made); err != nil {
		return fmt.Errorf("replace the index: %w", err)
	}
	return p.removePacks(ctx)
}

// mark finds out what is needed and what there is.
func (p *prune) mark(ctx context.Context, r *Repository) error {
	ids, roots, err := r.roots(ctx)
	if err != nil {
		return fmt.Errorf("%w: nothing was removed: repair it, or forget the snapshots that are damaged", err)
	}
	p.summary.Snapshots, p.snapshots = len(ids), map[format.ID]bool{}
	for _, id := range ids {
		p.snapshots[id] = true
	}
	if p.v, err = r.newView(ctx); err != nil {
		return err
	}
	for id, bad := range p.v.bad {
		return fmt.Errorf("index %s cannot be read: nothing was removed: repair the index: %w", id.Short(), bad)
	}
	if err := p.list(ctx); err != nil {
		return err
	}
	s := newSurvey(p.v)
	s.missing = func(h format.Handle) error {
		return fmt.Errorf("%w: a snapshot needs the blob %s, which is in no pack: nothing was removed: check the repository and repair it", ErrDamaged, h)
	}
	s.broken = func(n uint32, err error) error {
		return fmt.Errorf("the tree %s cannot be read: nothing was removed: check the repository and repair it: %w", p.v.blob(n).ID.Short(), err)
	}
	if err := s.walk(ctx, roots...); err != nil {
		return err
	}
	p.choose(s.used)
	return p.verify()
}

// roots are the snapshots and their trees. One that cannot be read is an error.
func (r *Repository) roots(ctx context.Context) (ids, roots []format.ID, err error) {
	for f, err := range r.list(ctx, snapshotFile) {
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, f.ID)
	}
	roots = make([]format.ID, len(ids))
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.SetLimit(r.opts.Connections)
	for i, id := range ids {
		tasks.Go(func() error {
			text, err := r.loadFile(ctx, snapshotFile, id)
			var sn *format.Snapshot
			if err == nil {
				sn, err = format.ParseSnapshot(text)
			}
			if err != nil {
				return fmt.Errorf("snapshot %s: %w", id.Short(), err)
			}
			roots[i] = *sn.Tree
			return nil
		})
	}
	return ids, roots, tasks.Wait()
}

// list finds out which packs there are. Those that are gone are lost to the index.
func (p *prune) list(ctx context.Context) error {
	x := p.v.idx
	p.packs = make([]prunePack, len(x.packs))
	for f, err := range p.v.list(ctx, packFile) {
		if err != nil {
			return err
		}
		p.listed++
		p.listedBytes += f.Size
		n, ok := x.byID[f.ID]
		if !ok {
			p.unindexed = append(p.unindexed, f)
			continue
		}
		p.packs[n].there, p.packs[n].size = true, f.Size
	}
	for n := range x.packs {
		x.packs[n].lost = !p.packs[n].there
	}
	return nil
}

// verify refuses packs that are not as long as they must be to hold what is needed.
func (p *prune) verify() error {
	for n := range p.packs {
		pack := &p.packs[n]
		if pack.kept == 0 {
			continue
		}
		if want := packSize(p.v.blobs(uint32(n), nil)); want != pack.size { //nolint:gosec // there are fewer
			return fmt.Errorf("%w: the pack %s has %d bytes, by the index %d: nothing was removed: repair the index", ErrDamaged, p.v.idx.packs[n].id.Short(), pack.size, want)
		}
	}
	return nil
}

// safe refuses to remove anything when the exclusive lock is gone, or a snapshot has come that nobody asked about.
func (p *prune) safe(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	held, err := p.holds(ctx)
	if err == nil && !held {
		// It may just have been replaced by its refreshed one.
		held, err = p.holds(ctx)
	}
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("%w: it is not there, or too old: nothing more is removed: prune again", ErrLockLost)
	}
	for f, err := range p.v.list(ctx, snapshotFile) {
		if err != nil {
			return err
		}
		if !p.snapshots[f.ID] {
			return fmt.Errorf("%w: the snapshot %s was written meanwhile: nothing more is removed: prune again", ErrLockLost, f.ID.Short())
		}
	}
	return nil
}

// holds tells whether the exclusive lock is there.
func (p *prune) holds(ctx context.Context) (bool, error) {
	locks, err := p.v.Locks(ctx)
	own := func(l LockInfo) bool {
		return l.Exclusive && l.PID == os.Getpid() && l.Host == p.v.lockHost() && time.Since(l.Time) < lockLost
	}
	return slices.ContainsFunc(locks, own), err
}

// replaceIndex writes an index of the packs that stay and removes the others, but those made now.
func (p *prune) replaceIndex(ctx context.Context, made *view) error {
	if !p.indexChanges() {
		return nil
	}
	written := map[format.ID]bool{}
	if made != nil {
		for id := range made.idx.files {
			written[id] = true
		}
	}
	if err := p.v.writeIndex(ctx, func(n uint32) bool { return p.packs[n].stays() }, written); err != nil {
		return err
	}
	if err := p.safe(ctx); err != nil {
		return err
	}
	return p.v.removeIndex(ctx, written)
}

// indexChanges tells whether the index files are not what they should be.
func (p *prune) indexChanges() bool {
	for n := range p.packs {
		if !p.packs[n].stays() {
			return true
		}
	}
	return len(p.v.files) > 8+2*int(p.v.entries()/indexBlobs)
}

// writeIndex writes index files of all packs that stay, and adds their IDs.
func (v *view) writeIndex(ctx context.Context, stays func(pack uint32) bool, written map[format.ID]bool) error {
	var packs []format.IndexPack
	blobs := 0
	save := func() error {
		if len(packs) == 0 {
			return nil
		}
		id, err := v.saveIndex(ctx, packs)
		written[id] = true
		packs, blobs = nil, 0
		return err
	}
	for n := range v.idx.packs {
		pack := uint32(n) //nolint:gosec // there are fewer
		if !stays(pack) {
			continue
		}
		entry := indexPack(v.idx.packs[n].id, v.blobs(pack, nil))
		packs = append(packs, entry)
		if blobs += len(entry.Blobs); blobs >= indexBlobs {
			if err := save(); err != nil {
				return err
			}
		}
	}
	return save()
}

// removeIndex removes the index files that were read, but those in kept.
func (v *view) removeIndex(ctx context.Context, kept map[format.ID]bool) error {
	var old []format.ID
	for _, f := range v.files {
		if !kept[f.ID] {
			old = append(old, f.ID)
		}
	}
	return v.remove(ctx, indexFile, old...)
}

// removePacks removes what nobody needs any more and no index has.
func (p *prune) removePacks(ctx context.Context) error {
	var old []format.ID
	for _, f := range p.unindexed {
		old = append(old, f.ID)
	}
	for n := range p.packs {
		if p.packs[n].there && !p.packs[n].stays() {
			old = append(old, p.v.idx.packs[n].id)
		}
	}
	for batch := range slices.Chunk(old, 1000) {
		if err := p.safe(ctx); err != nil {
			return err
		}
		if err := p.v.remove(ctx, packFile, batch...); err != nil {
			return err
		}
	}
	return nil
}
