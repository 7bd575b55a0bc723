package repository

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// view is the repository with an index of its own, that holds what was stored when it was loaded and changes by nothing but its owner: entries can be named by their numbers.
type view struct {
	*Repository
	// first is the number of the first entry of each pack; the entries of a pack are neighbours.
	first []uint32
	// files are the index files that were read, bad those that could not be.
	files []stored
	bad   map[format.ID]error
}

// newView loads the index anew. Index files that are damaged are kept in bad; what cannot be read for other reasons is an error.
func (r *Repository) newView(ctx context.Context) (*view, error) {
	copied := *r
	v := &view{Repository: &copied, bad: map[format.ID]error{}}
	v.idx = newIndex()
	v.windows = newWindows(v.Repository)
	for f, err := range r.list(ctx, indexFile) {
		if err != nil {
			return nil, err
		}
		v.files = append(v.files, f)
	}
	failures := make([]error, len(v.files))
	tasks, tctx := errgroup.WithContext(ctx)
	tasks.SetLimit(r.opts.Connections)
	for i, f := range v.files {
		tasks.Go(func() error {
			failures[i] = v.loadIndexFile(tctx, f.ID)
			if failures[i] != nil && !damaged(failures[i]) {
				return failures[i]
			}
			return nil
		})
	}
	if err := tasks.Wait(); err != nil {
		return nil, err
	}
	for i, err := range failures {
		if err != nil {
			v.bad[v.files[i].ID] = err
		}
	}
	v.count()
	return v, nil
}

// count finds the first entry of each pack.
func (v *view) count() {
	v.first = make([]uint32, len(v.idx.packs))
	before := ^uint32(0)
	for n := range v.idx.count {
		if p := v.idx.entry(n).pack >> 1; p != before {
			v.first[p], before = n, p
		}
	}
}

// entries is how many entries there are.
func (v *view) entries() uint32 { return v.idx.count }

// pack is the number of the pack that an entry is of.
func (v *view) pack(n uint32) uint32 { return v.idx.entry(n).pack >> 1 }

// blob is the blob of an entry.
func (v *view) blob(n uint32) format.Blob { return v.idx.place(v.idx.entry(n)).Blob }

// size is the length of the content of an entry's blob, in bytes.
func (v *view) size(n uint32) uint64 {
	e := v.idx.entry(n)
	if e.uncompressed != 0 {
		return uint64(e.uncompressed)
	}
	return uint64(max(0, int(e.length)-format.Overhead))
}

// find returns the entry that stands for the blob: of several copies always the same one.
func (v *view) find(h format.Handle) (uint32, bool) {
	for n := range v.copies(h) {
		return n, true
	}
	return 0, false
}

// copies yields the entries of a blob, those of lost packs left out.
func (v *view) copies(h format.Handle) func(func(uint32) bool) {
	return func(yield func(uint32) bool) {
		x := v.idx
		if len(x.table) == 0 {
			return
		}
		for at := x.slot(&h.ID); x.table[at] != 0; at = (at + 1) & uint32(len(x.table)-1) { //nolint:gosec // the table is shorter than 2^32
			n := x.table[at] - 1
			e := x.entry(n)
			if e.id == h.ID && format.BlobType(e.pack&1) == h.Type && !x.packs[e.pack>>1].lost && !yield(n) {
				return
			}
		}
	}
}

// blobs are the blobs of a pack for which want is true, sorted by their offsets. A nil want takes all.
func (v *view) blobs(pack uint32, want func(n uint32) bool) []format.Blob {
	var blobs []format.Blob
	for n := v.first[pack]; n < v.first[pack]+v.idx.packs[pack].entries; n++ {
		if want == nil || want(n) {
			blobs = append(blobs, v.blob(n))
		}
	}
	slices.SortFunc(blobs, func(a, b format.Blob) int { return cmp.Compare(a.Offset, b.Offset) })
	return blobs
}

// packSize is how long a pack of these blobs is, in bytes.
func packSize(blobs []format.Blob) int64 {
	size := int64(format.Overhead + format.FooterSize)
	for _, b := range blobs {
		size += int64(b.Length) + headerEntry(b)
	}
	return size
}

// headerEntry is what a blob takes in the header of its pack, in bytes.
func headerEntry(b format.Blob) int64 {
	const plain = 1 + 4 + format.IDSize
	if b.Uncompressed != 0 {
		return plain + 4
	}
	return plain
}

// bitset is a set of entries.
type bitset []uint64

func newBitset(n uint32) bitset { return make(bitset, n/64+1) }

func (b bitset) has(n uint32) bool { return atomic.LoadUint64(&b[n/64])&(1<<(n%64)) != 0 }

// add tells whether the entry is new. It is safe for concurrent use.
func (b bitset) add(n uint32) bool {
	bit := uint64(1) << (n % 64)
	return !b.has(n) && atomic.OrUint64(&b[n/64], bit)&bit == 0
}
