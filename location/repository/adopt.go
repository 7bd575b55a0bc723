package repository

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// adopt writes an index for packs that are in none: a backup that was killed has left them. It does nothing while somebody else holds a lock, whose packs they may be. The dead
// backup may not have come to confirm what was stored, so a pack is read in whole and taken only if its hash is its name. Others are left to a prune.
func (r *Repository) adopt(ctx context.Context) error {
	locks, err := r.Locks(ctx)
	if err != nil {
		return fmt.Errorf("look for locks: %w", err)
	}
	others := -1
	for _, l := range locks {
		if !l.Stale {
			others++
		}
	}
	if others > 0 {
		return nil
	}
	var found []format.IndexPack
	blobs := 0
	for f, err := range r.list(ctx, packFile) {
		if err != nil {
			return err
		}
		if r.idx.hasPack(f.ID) {
			continue
		}
		header, err := r.wholePack(ctx, f)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.log.WarnContext(ctx, "a pack without an index cannot be read", "pack", f.ID.Short(), "error", err)
			continue
		}
		found = append(found, indexPack(f.ID, header))
		if blobs += len(header); blobs >= indexBlobs {
			if err := r.addIndex(ctx, found); err != nil {
				return err
			}
			found, blobs = nil, 0
		}
	}
	return r.addIndex(ctx, found)
}

// maxAdopted is how long a pack may be that is read in whole, in bytes; restic's have up to 128 MiB.
const maxAdopted = 160 << 20

// wholePack reads a pack, compares its hash with its name, and returns its header.
func (r *Repository) wholePack(ctx context.Context, f stored) ([]format.Blob, error) {
	content, err := r.objects.ReadAll(ctx, r.file(packFile, f.ID), maxAdopted)
	if err != nil {
		return nil, err
	}
	if format.Hash(content) != f.ID {
		return nil, fmt.Errorf("%w: the content of the pack has another hash", ErrDamaged)
	}
	if len(content) < format.FooterSize {
		return nil, fmt.Errorf("%w: the pack has %d bytes", ErrDamaged, len(content))
	}
	size := int64(len(content))
	length, err := format.HeaderLength(content[len(content)-format.FooterSize:], size)
	if err != nil {
		return nil, err
	}
	end := len(content) - format.FooterSize
	return format.ParseHeader(content[end-length:end], r.key, size)
}

// addIndex writes an index file of the packs and takes them into the index.
func (r *Repository) addIndex(ctx context.Context, packs []format.IndexPack) error {
	if len(packs) == 0 {
		return nil
	}
	id, err := r.saveIndex(ctx, packs)
	if err != nil {
		return err
	}
	r.log.InfoContext(ctx, "packs that an earlier backup had left are in the index now", "packs", len(packs))
	for _, p := range packs {
		blobs := make([]format.Blob, len(p.Blobs))
		for i, b := range p.Blobs {
			blobs[i] = b.Blob()
		}
		r.idx.addPack(p.ID, blobs)
	}
	r.idx.mu.Lock()
	defer r.idx.mu.Unlock()
	r.idx.files[id] = true
	return nil
}
