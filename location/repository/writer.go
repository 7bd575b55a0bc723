package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/davit-project/davit/location/repository/internal/chunk"
	"github.com/davit-project/davit/location/repository/internal/format"
)

const (
	// dataPack and treePack are how long packs become, in bytes.
	dataPack = 16 << 20
	treePack = 4 << 20
	// packBlobs is how many blobs a pack has at most, so that its header and its part of an index stay small where files are tiny.
	packBlobs = 16 << 10
	// indexBlobs is how many blobs an index file has, about: it is written as soon as there are so many.
	indexBlobs = 16 << 10
)

// writer adds blobs to the repository: they are collected in packs, which are uploaded, and then in index files. There is one at a time for a Repository.
type writer struct {
	r      *Repository
	ctx    context.Context //nolint:containedctx // that of the uploads, which outlive the call that begins them
	cancel context.CancelCauseFunc

	mu sync.Mutex
	// open are the packs that are being filled, by type of blob.
	open [2]*pack
	// stats counts what was written.
	stats written

	uploads sync.WaitGroup
	slots   chan struct{}

	indexMu sync.Mutex
	// unsaved are packs that are uploaded and in no index file yet.
	unsaved []*pack
	pending int
	made    []*pack
	once    sync.Once
}

// written is what a writer has written.
type written struct {
	DataBlobs, TreeBlobs int
	// Content is the size of new blobs in bytes, Packed what they take in packs.
	Content, Packed uint64
}

// saved is what became of a blob.
type saved struct {
	ID format.ID
	// New is false when the repository had it.
	New bool
	// Stored is what a new blob takes in its pack, in bytes.
	Stored int
}

// pack is a pack that is being filled or uploaded.
type pack struct {
	kind   format.BlobType
	number uint32
	buf    []byte
	blobs  []format.Blob
	// filling are blobs that have their place and are being sealed into it.
	filling sync.WaitGroup
	id      format.ID
	done    bool
}

// newWriter waits for the writer before it. It must be ended by finish or abandon. The index must have been loaded.
func (r *Repository) newWriter(ctx context.Context) (*writer, error) {
	if r.opts.NoLock {
		return nil, fmt.Errorf("%w: what writes to the repository needs a lock, and NoLock is set", ErrLocked)
	}
	select {
	case <-r.writing:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	w := &writer{r: r, slots: make(chan struct{}, uploaders(r.opts.Connections))}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	return w, nil
}

// uploaders is how many packs are uploaded at once, each of which is held in memory.
func uploaders(connections int) int { return max(1, connections/4) }

// save stores a blob, unless the repository has it: hashes, compresses, seals and packs it, and waits while uploads are behind. It is safe for concurrent use;
// the content is the caller's again when it returns.
func (w *writer) save(ctx context.Context, t format.BlobType, content []byte) (saved, error) {
	h := format.Handle{ID: format.Hash(content), Type: t}
	if w.r.idx.has(h) {
		return saved{ID: h.ID}, nil
	}
	return w.saveNew(ctx, h, content)
}

func (w *writer) saveNew(ctx context.Context, h format.Handle, content []byte) (saved, error) {
	payload, uncompressed := content, uint32(0)
	if w.r.cfg.Version >= format.Version2 && (h.Type == format.TreeBlob || chunk.Compressible(content)) {
		scratch := w.r.packs.scratch()
		defer w.r.packs.done(scratch)
		*scratch = w.r.codec.Compress((*scratch)[:0], content)
		if len(*scratch) < len(content) {
			payload, uncompressed = *scratch, uint32(len(content)) //nolint:gosec // blobs are far below 4 GiB
		}
	}
	b := format.Blob{Handle: h, Length: uint32(len(payload) + format.Overhead), Uncompressed: uncompressed} //nolint:gosec // as above
	p, room, err := w.reserve(ctx, &b)
	if p == nil || err != nil {
		return saved{ID: h.ID}, err
	}
	w.r.key.Seal(room, payload)
	p.filling.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.Type == format.TreeBlob {
		w.stats.TreeBlobs++
	} else {
		w.stats.DataBlobs++
	}
	w.stats.Content += uint64(len(content))
	w.stats.Packed += uint64(b.Length)
	return saved{ID: h.ID, New: true, Stored: int(b.Length)}, nil
}

// reserve gives the blob its place in a pack, and in the index. The room has length 0 and that of the blob as its capacity. No pack means that somebody was faster.
func (w *writer) reserve(ctx context.Context, b *format.Blob) (*pack, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failed(ctx); err != nil {
		return nil, nil, err
	}
	if w.r.idx.has(b.Handle) {
		return nil, nil, nil
	}
	most := dataPack
	if b.Type == format.TreeBlob {
		most = treePack
	}
	p := w.open[b.Type]
	full := p != nil && (len(p.blobs) == packBlobs || len(p.blobs) > 0 && len(p.buf)+int(b.Length)+format.HeaderSize(len(p.blobs)+1) > most)
	if full {
		if err := w.send(ctx, p); err != nil {
			return nil, nil, err
		}
		p = nil
	}
	if p == nil {
		buf, err := w.r.packs.take(w.ctx, b.Type) //nolint:contextcheck // uploads outlive the call that begins them
		if err != nil {
			return nil, nil, err
		}
		p = &pack{kind: b.Type, buf: buf}
		w.open[b.Type], w.made = p, append(w.made, p)
		w.r.idx.mu.Lock()
		p.number = w.r.idx.newPack()
		w.r.idx.mu.Unlock()
	}
	b.Offset = uint32(len(p.buf)) //nolint:gosec // packs are far below 4 GiB
	end := len(p.buf) + int(b.Length)
	if end+format.HeaderSize(len(p.blobs)+1) > cap(p.buf) {
		// A blob that is longer than a pack, or a pack of many small ones: nobody may be writing into the old buffer.
		p.filling.Wait()
		p.buf = append(make([]byte, 0, max(2*cap(p.buf), end+format.HeaderSize(2*len(p.blobs)+64))), p.buf...)
	}
	p.buf = p.buf[:end]
	p.blobs = append(p.blobs, *b)
	p.filling.Add(1)
	w.r.idx.mu.Lock()
	w.r.idx.add(p.number, b)
	w.r.idx.mu.Unlock()
	return p, p.buf[b.Offset:b.Offset:end], nil
}

func (w *writer) failed(ctx context.Context) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx) //nolint:contextcheck // as in reserve
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// send begins the upload of a pack; w.mu is held.
func (w *writer) send(ctx context.Context, p *pack) error {
	select {
	case w.slots <- struct{}{}:
		w.open[p.kind] = nil
	case <-w.ctx.Done():
		return context.Cause(w.ctx) //nolint:contextcheck // as in reserve
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.uploads.Go(func() {
		err := w.upload(p)
		<-w.slots
		if err != nil {
			w.cancel(err)
		}
	})
	return nil
}

func (w *writer) upload(p *pack) error {
	p.filling.Wait()
	content := format.AppendHeader(p.buf, w.r.key, p.blobs)
	p.id = format.Hash(content)
	err := w.r.objects.Put(w.ctx, w.r.file(packFile, p.id), content, false)
	w.r.packs.give(p.kind, p.buf)
	p.buf = nil
	if err != nil {
		return fmt.Errorf("write a pack of the repository: %w", err)
	}
	w.r.idx.mu.Lock()
	w.r.idx.name(p.number, p.id)
	w.r.idx.mu.Unlock()
	w.indexMu.Lock()
	defer w.indexMu.Unlock()
	p.done = true
	w.unsaved = append(w.unsaved, p)
	if w.pending += len(p.blobs); w.pending < indexBlobs {
		return nil
	}
	return w.saveIndex(w.ctx)
}

// saveIndex writes an index file of the packs that are in none; w.indexMu is held.
func (w *writer) saveIndex(ctx context.Context) error {
	if len(w.unsaved) == 0 {
		return nil
	}
	packs := make([]format.IndexPack, len(w.unsaved))
	for i, p := range w.unsaved {
		packs[i] = indexPack(p.id, p.blobs)
	}
	id, err := w.r.saveIndex(ctx, packs)
	if err != nil {
		return err
	}
	for _, p := range w.unsaved {
		p.blobs = nil
	}
	w.unsaved, w.pending = nil, 0
	w.r.idx.mu.Lock()
	w.r.idx.files[id] = true
	w.r.idx.mu.Unlock()
	return nil
}

func indexPack(id format.ID, blobs []format.Blob) format.IndexPack {
	p := format.IndexPack{ID: id, Blobs: make([]format.IndexBlob, len(blobs))}
	for i, b := range blobs {
		p.Blobs[i] = format.IndexBlob{ID: b.ID, Type: b.Type, Offset: b.Offset, Length: b.Length, Uncompressed: b.Uncompressed}
	}
	return p
}

// saveIndex writes an index file.
func (r *Repository) saveIndex(ctx context.Context, packs []format.IndexPack) (format.ID, error) {
	return r.saveJSON(ctx, indexFile, format.Index{Packs: packs})
}

// finish uploads what is left and writes the index. Only then may something refer to the blobs. On failure it is as if abandon was called.
func (w *writer) finish(ctx context.Context) error {
	err := w.flush(ctx)
	if err != nil {
		w.cancel(err)
		w.abandon() //nolint:contextcheck // what was given up is cleaned up
		return err
	}
	w.once.Do(w.end)
	return nil
}

func (w *writer) flush(ctx context.Context) error {
	w.mu.Lock()
	for _, p := range w.open {
		if p != nil {
			if err := w.send(ctx, p); err != nil {
				w.mu.Unlock()
				return err
			}
		}
	}
	w.mu.Unlock()
	w.uploads.Wait()
	if err := w.failed(ctx); err != nil {
		return err
	}
	w.indexMu.Lock()
	defer w.indexMu.Unlock()
	return w.saveIndex(ctx)
}

// abandon ends a writer after a failure. What is uploaded gets its index, so that the next one need not write it again; the rest is dropped. After finish it does nothing.
func (w *writer) abandon() {
	w.once.Do(func() {
		w.cancel(errAbandoned)
		w.uploads.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), undoTime)
		defer cancel()
		w.indexMu.Lock()
		defer w.indexMu.Unlock()
		if err := w.saveIndex(ctx); err != nil {
			w.r.log.WarnContext(ctx, "no index could be written for the packs of what was given up", "error", err)
		}
		w.r.idx.mu.Lock()
		for _, p := range w.made {
			if !p.done {
				w.r.idx.packs[p.number].lost = true
			}
		}
		w.r.idx.mu.Unlock()
		for _, p := range w.open {
			if p != nil {
				w.r.packs.give(p.kind, p.buf)
			}
		}
		w.end()
	})
}

var errAbandoned = errors.New("the write to the repository was given up")

// end lets the next writer in.
func (w *writer) end() {
	w.cancel(errAbandoned)
	w.made = nil
	w.r.writing <- struct{}{}
}

// packBuffers are the buffers of packs, of which there is a fixed number, those of what is read of packs, of which as many are kept as were ever in use at once, and smaller ones.
type packBuffers struct {
	mu        sync.Mutex
	ranges    [][]byte
	data      chan []byte
	scratches sync.Pool
}

func newPackBuffers(connections int) *packBuffers {
	b := &packBuffers{data: make(chan []byte, uploaders(connections)+1)}
	for range cap(b.data) {
		b.data <- nil
	}
	b.scratches.New = func() any { return new([]byte) }
	return b
}

// take returns an empty buffer and waits until there is one.
func (b *packBuffers) take(ctx context.Context, t format.BlobType) ([]byte, error) {
	if t == format.TreeBlob {
		return make([]byte, 0, 256<<10), nil
	}
	select {
	case buf := <-b.data:
		if buf == nil {
			buf = make([]byte, 0, dataPack)
		}
		return buf[:0], nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (b *packBuffers) give(t format.BlobType, buf []byte) {
	if t == format.TreeBlob {
		return
	}
	if cap(buf) > 2*dataPack {
		buf = nil
	}
	b.data <- buf
}

// rangeBuffer returns an empty buffer with room for so many bytes.
func (b *packBuffers) rangeBuffer(size int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	best := -1
	for i, r := range b.ranges {
		if best < 0 || cap(r) > cap(b.ranges[best]) {
			best = i
		}
	}
	if best < 0 {
		return make([]byte, 0, size)
	}
	buf := b.ranges[best]
	b.ranges = slices.Delete(b.ranges, best, best+1)
	if cap(buf) < size {
		// The next one is most likely as long.
		buf = make([]byte, 0, size)
	}
	return buf[:0]
}

// rangeDone takes a buffer back. One that is longer than usual is not kept.
func (b *packBuffers) rangeDone(buf []byte) {
	if cap(buf) > dataPack {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ranges = append(b.ranges, buf)
}

func (b *packBuffers) scratch() *[]byte {
	return b.scratches.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
}

func (b *packBuffers) done(scratch *[]byte) { b.scratches.Put(scratch) }
