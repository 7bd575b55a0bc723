package repository

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// place is a blob and the pack it is in.
type place struct {
	Pack format.ID
	format.Blob
}

// index knows which blob is where. An entry takes 52 bytes, and 4 to 8 more in the table.
type index struct {
	mu sync.RWMutex
	// pages hold the entries; table has, at the place that an ID's first bytes give, or after it, the number of the entry plus one.
	pages [][]entry
	count uint32
	table []uint32
	packs []packState
	byID  map[format.ID]uint32
	// files are the index files that were read.
	files map[format.ID]bool
}

type packState struct {
	id format.ID
	// lost packs were never written, or are gone.
	lost bool
	// entries of it that are in the index.
	entries uint32
}

type entry struct {
	id format.ID
	// pack is its number, times two, plus one for a tree.
	pack                         uint32
	offset, length, uncompressed uint32
}

const pageSize = 4096

func newIndex() *index { return &index{byID: map[format.ID]uint32{}, files: map[format.ID]bool{}} }

func (x *index) entry(n uint32) *entry { return &x.pages[n/pageSize][n%pageSize] }

func (x *index) slot(id *format.ID) uint32 {
	return uint32(binary.LittleEndian.Uint64(id[:]) & uint64(len(x.table)-1)) //nolint:gosec // the table is shorter than 2^32
}

// addPack adds a pack and its blobs. A pack that is known, and not lost, is left as it is.
func (x *index) addPack(id format.ID, blobs []format.Blob) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n, ok := x.byID[id]; ok && !x.packs[n].lost && x.packs[n].entries > 0 {
		return
	}
	n := x.newPack()
	x.name(n, id)
	for i := range blobs {
		x.add(n, &blobs[i])
	}
}

func (x *index) newPack() uint32 {
	x.packs = append(x.packs, packState{})
	return uint32(len(x.packs) - 1) //nolint:gosec // there are fewer
}

func (x *index) name(n uint32, id format.ID) {
	x.packs[n].id = id
	x.byID[id] = n
}

func (x *index) add(pack uint32, b *format.Blob) {
	if uint64(x.count+1)*4 > uint64(len(x.table))*3 {
		x.grow()
	}
	if int(x.count/pageSize) == len(x.pages) {
		x.pages = append(x.pages, make([]entry, pageSize))
	}
	*x.entry(x.count) = entry{b.ID, pack<<1 | uint32(b.Type), b.Offset, b.Length, b.Uncompressed}
	x.packs[pack].entries++
	x.count++
	x.put(x.count)
}

func (x *index) put(n uint32) {
	at := x.slot(&x.entry(n - 1).id)
	for x.table[at] != 0 {
		at = (at + 1) & uint32(len(x.table)-1) //nolint:gosec // as in slot
	}
	x.table[at] = n
}

func (x *index) grow() {
	x.table = make([]uint32, max(pageSize, 2*len(x.table)))
	for n := range x.count {
		x.put(n + 1)
	}
}

// lookup finds a blob. That of a pack that is being written has no ID of a pack yet.
func (x *index) lookup(h format.Handle) (place, bool) {
	for p := range x.places(h) {
		return p, true
	}
	return place{}, false
}

// places yields every place of the blob.
func (x *index) places(h format.Handle) iter.Seq[place] {
	return func(yield func(place) bool) {
		x.mu.RLock()
		found := x.find(h, nil)
		x.mu.RUnlock()
		for _, p := range found {
			if !yield(p) {
				return
			}
		}
	}
}

// find appends the places of a blob; the lock is held.
func (x *index) find(h format.Handle, found []place) []place {
	if len(x.table) == 0 {
		return found
	}
	for at := x.slot(&h.ID); x.table[at] != 0; at = (at + 1) & uint32(len(x.table)-1) { //nolint:gosec // as in slot
		e := x.entry(x.table[at] - 1)
		if e.id == h.ID && format.BlobType(e.pack&1) == h.Type && !x.packs[e.pack>>1].lost {
			found = append(found, x.place(e))
		}
	}
	return found
}

func (x *index) place(e *entry) place {
	return place{x.packs[e.pack>>1].id, format.Blob{
		Handle: format.Handle{ID: e.id, Type: format.BlobType(e.pack & 1)}, Offset: e.offset, Length: e.length, Uncompressed: e.uncompressed,
	}}
}

// has tells whether the blob is there, or being written.
func (x *index) has(h format.Handle) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var room [2]place
	return len(x.find(h, room[:0])) > 0
}

// all yields every entry, duplicates included, in no order. The index must not be changed meanwhile by the same goroutine.
func (x *index) all() iter.Seq[place] {
	return func(yield func(place) bool) {
		x.mu.RLock()
		defer x.mu.RUnlock()
		for n := range x.count {
			if e := x.entry(n); !x.packs[e.pack>>1].lost && !yield(x.place(e)) {
				return
			}
		}
	}
}

// hasPack tells whether the pack is in the index.
func (x *index) hasPack(id format.ID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n, ok := x.byID[id]
	return ok && !x.packs[n].lost
}

// loadIndex reads the index files that are new since the last call. When one is gone, as after a prune, everything is read anew, unless a writer is at work: its packs have their
// numbers in the index, and what is gone is of no use but does no harm.
func (r *Repository) loadIndex(ctx context.Context) error {
	select {
	case <-r.writing:
		defer func() { r.writing <- struct{}{} }()
		return r.loadIndexAs(ctx, true)
	default:
		return r.loadIndexAs(ctx, false)
	}
}

// loadIndexAs is loadIndex; anew tells whether everything may be read anew: nobody else is writing.
func (r *Repository) loadIndexAs(ctx context.Context, anew bool) error {
	now := map[format.ID]bool{}
	for f, err := range r.list(ctx, indexFile) {
		if err != nil {
			return err
		}
		now[f.ID] = true
	}
	r.idx.mu.RLock()
	gone := false
	var missing []format.ID
	for id := range r.idx.files {
		gone = gone || anew && !now[id]
	}
	for id := range now {
		if gone || !r.idx.files[id] {
			missing = append(missing, id)
		}
	}
	r.idx.mu.RUnlock()
	if gone {
		r.idx.reset()
		missing = missing[:0]
		for id := range now {
			missing = append(missing, id)
		}
	}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.SetLimit(r.opts.Connections)
	for _, id := range missing {
		tasks.Go(func() error { return r.loadIndexFile(ctx, id) })
	}
	return tasks.Wait()
}

func (r *Repository) loadIndexFile(ctx context.Context, id format.ID) error {
	text, err := r.loadFile(ctx, indexFile, id)
	if errors.Is(err, location.ErrNotFound) {
		// It was replaced meanwhile.
		return nil
	}
	var parsed *format.Index
	if err == nil {
		parsed, err = format.ParseIndex(text)
	}
	if err != nil {
		return fmt.Errorf("index %s: %w: rebuild the index with a repair", id.Short(), err)
	}
	for _, p := range parsed.Packs {
		blobs := make([]format.Blob, len(p.Blobs))
		for i, b := range p.Blobs {
			blobs[i] = b.Blob()
			if err := blobs[i].Check(maxPack); err != nil {
				return fmt.Errorf("index %s, pack %s: %w", id.Short(), p.ID.Short(), err)
			}
		}
		r.idx.addPack(p.ID, blobs)
	}
	r.idx.mu.Lock()
	r.idx.files[id] = true
	r.idx.mu.Unlock()
	return nil
}

func (x *index) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pages, x.count, x.table, x.packs = nil, 0, nil, nil
	x.byID, x.files = map[format.ID]uint32{}, map[format.ID]bool{}
}

// maxPack is how long a pack may be, in bytes: offsets have 32 bits.
const maxPack = 1<<32 - 1
