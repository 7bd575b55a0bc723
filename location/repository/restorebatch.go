//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/davit-project/davit/location/repository/internal/format"
)

const (
	// batchChunks and batchBytes are how much is planned before it is read. A file counts as fileChunks of them, which is about the memory that it takes.
	batchChunks = 32 << 10
	batchBytes  = 2 << 30
	fileChunks  = 4
)

// batch is a plan: chunks, where they are, and where they go. A chunk that is used many times is in it once.
type batch struct {
	chunks []wantedChunk
	uses   []chunkUse
	byID   map[format.ID]int32
	// packs are numbered in the order in which they are needed first, so that files are complete soon.
	packs map[format.ID]int32
	bytes int64
	files int
}

// wantedChunk is a chunk that is used at least once; uses are a list.
type wantedChunk struct {
	place
	rank int32
	uses int32
}

// chunkUse is a place in a file where a chunk goes; next is the number of the next, or -1.
type chunkUse struct {
	file *outFile
	off  int64
	next int32
}

func newBatch() *batch { return &batch{byID: map[format.ID]int32{}, packs: map[format.ID]int32{}} }

// add wants a chunk at a place in a file.
func (b *batch) add(p place, f *outFile, off int64) {
	b.bytes += int64(p.Size())
	use := int32(len(b.uses)) //nolint:gosec // a batch has few
	i, ok := b.byID[p.ID]
	if !ok {
		rank, ok := b.packs[p.Pack]
		if !ok {
			rank = int32(len(b.packs)) //nolint:gosec // as above
			b.packs[p.Pack] = rank
		}
		i = int32(len(b.chunks)) //nolint:gosec // as above
		b.byID[p.ID] = i
		b.chunks = append(b.chunks, wantedChunk{p, rank, -1})
	}
	b.uses = append(b.uses, chunkUse{f, off, b.chunks[i].uses})
	b.chunks[i].uses = use
}

func (b *batch) full() bool {
	return len(b.uses)+fileChunks*b.files >= batchChunks || b.bytes >= batchBytes
}

// packRun are chunks of one pack that one request reads.
type packRun struct {
	batch *batch
	pack  format.ID
	blobs []format.Blob
}

// runs divides the batch into requests, those of the pack that is needed first in front. The numbers of chunks are of no use afterwards.
func (b *batch) runs() []packRun {
	order := make([]int32, len(b.chunks))
	for i := range order {
		order[i] = int32(i) //nolint:gosec // as in add
	}
	slices.SortFunc(order, func(i, j int32) int {
		return cmp.Or(cmp.Compare(b.chunks[i].rank, b.chunks[j].rank), cmp.Compare(b.chunks[i].Offset, b.chunks[j].Offset))
	})
	var runs []packRun
	for len(order) > 0 {
		n := 1
		for n < len(order) && b.chunks[order[n]].rank == b.chunks[order[0]].rank {
			n++
		}
		blobs := make([]format.Blob, n)
		for i := range blobs {
			blobs[i] = b.chunks[order[i]].Blob
		}
		for _, part := range joinBlobs(blobs) {
			runs = append(runs, packRun{b, b.chunks[order[0]].Pack, part})
		}
		order = order[n:]
	}
	return runs
}

// readRun reads a run and puts its chunks where they go. Chunks that cannot be had fail their files.
func (x *restorer) readRun(ctx context.Context, p *runReader, run packRun) error {
	b := run.batch
	return p.run(ctx, run.pack, run.blobs, func(blob format.Blob, content []byte, err error) error {
		if err != nil && !beyondRepair(err) {
			return err
		}
		if err != nil {
			err = fmt.Errorf("its content is missing or damaged: %w", err)
		}
		for use := b.chunks[b.byID[blob.ID]].uses; use >= 0; use = b.uses[use].next {
			u := b.uses[use]
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				u.file.fail(err)
			} else if fatal := x.write(u.file, content, u.off); fatal != nil {
				return fatal
			}
			x.meter.add(0, int64(blob.Size()))
			if fatal := x.chunkDone(u.file); fatal != nil {
				return fatal
			}
		}
		return nil
	})
}
