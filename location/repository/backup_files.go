package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/davit-project/davit/location/repository/internal/chunk"
	"github.com/davit-project/davit/location/repository/internal/format"
)

const (
	// segmentSize is how much of a file is read at once, in bytes; where chunks can be longer, as much as needed.
	segmentSize = 512 << 10
	// keptSegment is how long a buffer may be to be used again.
	keptSegment = 2 << 20
	// hole is how long a hole must be to be stored as pieces of that size, without its zeros being read, in bytes.
	hole = 8 << 20
)

// reading is a file that is being read. Several goroutines may save what another one reads.
type reading struct {
	dir  *dir
	slot int
	// size is what is expected, less than 0 if nothing is; old is what the parent has.
	size int64
	old  *format.Node
	// parts are the IDs of the chunks of each segment.
	parts [][]format.ID
	total int64
	// pending counts segments that are not saved, and the reader.
	pending atomic.Int64
	err     error
}

// segment is a piece of a file in memory, and the lengths of the chunks it begins with.
type segment struct {
	file *reading
	buf  []byte
	cuts []int
	ids  []format.ID
}

// startWorkers starts what reads and saves, until files is closed. A worker saves segments of others before it begins another file, and does itself what nobody is free for.
func (b *backup) startWorkers(ctx context.Context) *sync.WaitGroup {
	n := b.opts.Workers
	b.files, b.segments, b.idle = make(chan *reading, 64*n), make(chan *segment, n), make(chan *segment, 2*n+2)
	for range cap(b.idle) {
		b.idle <- &segment{}
	}
	b.zeros = sync.OnceValues(func() (format.ID, error) {
		s, err := b.w.save(ctx, format.DataBlob, make([]byte, hole))
		return s.ID, err
	})
	count := n
	if _, ok := b.src.(Planner); ok {
		count = 1
	}
	var readers, savers sync.WaitGroup
	for range count {
		readers.Go(func() { b.readFiles(ctx) })
	}
	for range n - count {
		savers.Go(func() {
			for s := range b.segments {
				b.saveSegment(ctx, s)
			}
		})
	}
	var all sync.WaitGroup
	all.Go(func() {
		readers.Wait()
		close(b.segments)
		savers.Wait()
	})
	return &all
}

func (b *backup) readFiles(ctx context.Context) {
	for {
		select {
		case s := <-b.segments:
			b.saveSegment(ctx, s)
			continue
		default:
		}
		select {
		case s := <-b.segments:
			b.saveSegment(ctx, s)
		case f, ok := <-b.files:
			if !ok {
				return
			}
			b.readFile(ctx, f)
		}
	}
}

// readFile does a file, but for the segments that others save.
func (b *backup) readFile(ctx context.Context, f *reading) {
	f.pending.Store(1)
	f.err = b.open(ctx, f)
	b.saved(ctx, f)
}

func (b *backup) open(ctx context.Context, f *reading) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	in, err := f.dir.folder.Open(ctx, f.dir.nodes[f.slot].Name)
	if err != nil {
		return err
	}
	err = (&fileReader{b: b, f: f, in: in, split: b.rule.Splitter()}).read(ctx)
	if c, ok := in.(ChangeReader); err == nil && (f.size >= 0 && f.total != f.size || ok && c.Changed()) {
		b.mu.Lock()
		b.sum.Changed.add(f.dir.child(f.dir.nodes[f.slot].Name), nil)
		b.mu.Unlock()
	}
	if closeErr := in.Close(); err == nil {
		err = closeErr
	}
	return err
}

// saved says that a segment of the file, or the reader, is done.
func (b *backup) saved(ctx context.Context, f *reading) {
	if f.pending.Add(-1) > 0 {
		return
	}
	n := f.dir.nodes[f.slot]
	switch {
	case ctx.Err() != nil:
	case f.err != nil:
		f.dir.nodes[f.slot] = nil
		b.problem(f.dir.child(n.Name), f.err)
	default:
		n.Size, n.Content = uint64(f.total), f.content() //nolint:gosec // not negative
		what := &b.sum.FilesNew
		switch {
		case f.old == nil:
		case slices.Equal(f.old.Content, n.Content):
			what = &b.sum.FilesUnmodified
		default:
			what = &b.sum.FilesChanged
		}
		b.count(what, n.Size)
		b.meter.add(1, 0)
	}
	if ctx.Err() == nil {
		b.ready(f.dir, f.slot)
	}
	b.done(ctx, f.dir)
}

// content is all chunks in order, not nil for an empty file.
func (f *reading) content() []format.ID {
	if len(f.parts) == 1 {
		return f.parts[0]
	}
	all := slices.Concat(f.parts...)
	if all == nil {
		all = []format.ID{}
	}
	return all
}

// fileReader reads a file into segments.
type fileReader struct {
	b     *backup
	f     *reading
	in    io.Reader
	split chunk.Splitter
	seg   *segment
	// gap is what is left of a hole.
	gap int64
	end bool
}

func (r *fileReader) read(ctx context.Context) (err error) {
	if r.seg, err = r.b.take(ctx); err != nil {
		return err
	}
	defer func() { r.b.give(r.seg) }()
	for !r.end {
		if err := r.fill(ctx); err != nil {
			return err
		}
		rest := r.cut(r.end || r.gap >= hole)
		switch {
		case len(r.seg.cuts) > 0 && r.end:
			// The last one is saved here: nobody would gain from waiting for another.
			r.begin()
			r.b.saveChunks(ctx, r.seg)
		case len(r.seg.cuts) > 0:
			if err := r.pass(ctx, rest); err != nil {
				return err
			}
		case !r.end && len(r.seg.buf) == cap(r.seg.buf):
			r.seg.buf = slices.Grow(r.seg.buf, cap(r.seg.buf))
		}
		if err := r.skip(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fill reads until the segment is full, the file ends, or a long hole begins.
func (r *fileReader) fill(ctx context.Context) error {
	sparse, _ := r.in.(SparseReader)
	for empty := 0; len(r.seg.buf) < cap(r.seg.buf); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if sparse != nil && r.gap == 0 {
			var err error
			if r.gap, err = sparse.Hole(); err != nil {
				return err
			}
		}
		if r.gap >= hole {
			return nil
		}
		room := r.seg.buf[len(r.seg.buf):cap(r.seg.buf)]
		if r.gap > 0 {
			room = room[:min(r.gap, int64(len(room)))]
			clear(room)
			r.gap -= int64(len(room))
			r.seg.buf = r.seg.buf[:len(r.seg.buf)+len(room)]
			continue
		}
		n, err := r.in.Read(room)
		r.seg.buf = r.seg.buf[:len(r.seg.buf)+n]
		if errors.Is(err, io.EOF) {
			r.end = true
			return nil
		}
		if err != nil {
			return err
		}
		if empty++; n > 0 {
			empty = 0
		} else if empty == 100 {
			return io.ErrNoProgress
		}
	}
	return nil
}

// cut finds the chunks in the segment and returns what is left of it.
func (r *fileReader) cut(end bool) []byte {
	rest := r.seg.buf
	for len(rest) > 0 {
		n := r.split.Next(rest, end)
		if n == 0 {
			break
		}
		r.seg.cuts = append(r.seg.cuts, n)
		r.f.total += int64(n)
		rest = rest[n:]
	}
	return rest
}

// begin makes room for the IDs of the segment's chunks.
func (r *fileReader) begin() {
	r.seg.file, r.seg.ids = r.f, make([]format.ID, len(r.seg.cuts))
	r.f.parts = append(r.f.parts, r.seg.ids)
}

// pass has the segment saved by somebody else, if somebody is free, and goes on with a new one that begins with the rest.
func (r *fileReader) pass(ctx context.Context, rest []byte) error {
	r.begin()
	next, err := r.b.take(ctx)
	if err != nil {
		return err
	}
	next.buf = append(next.buf, rest...)
	full := r.seg
	r.seg = next
	r.f.pending.Add(1)
	select {
	case r.b.segments <- full:
	default:
		r.b.saveSegment(ctx, full)
	}
	return nil
}

// skip stores a long hole, as far as it goes without reading.
func (r *fileReader) skip(ctx context.Context) error {
	if r.gap < hole {
		return nil
	}
	id, err := r.b.zeros()
	if err != nil {
		r.b.fail(err)
		return err
	}
	n := r.gap / hole
	for left := n; left > 0; left -= min(left, 1<<20) {
		r.f.parts = append(r.f.parts, slices.Repeat([]format.ID{id}, int(min(left, 1<<20))))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	r.gap -= n * hole
	r.f.total += n * hole
	r.split.Pass(n * hole)
	r.b.meter.add(0, n*hole)
	return nil
}

// take returns an empty segment, saving those of others while there is none.
func (b *backup) take(ctx context.Context) (*segment, error) {
	for {
		select {
		case s := <-b.idle:
			if cap(s.buf) < segmentSize {
				s.buf = make([]byte, 0, segmentSize)
			}
			return s, nil
		case s := <-b.segments:
			b.saveSegment(ctx, s)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (b *backup) give(s *segment) {
	if cap(s.buf) > keptSegment {
		s.buf = nil
	}
	s.file, s.ids, s.buf, s.cuts = nil, nil, s.buf[:0], s.cuts[:0]
	b.idle <- s
}

// saveSegment saves the chunks of a segment that was passed on.
func (b *backup) saveSegment(ctx context.Context, s *segment) {
	b.saveChunks(ctx, s)
	f := s.file
	b.give(s)
	b.saved(ctx, f)
}

// saveChunks saves the chunks of a segment. A failure ends the backup: it is the repository's.
func (b *backup) saveChunks(ctx context.Context, s *segment) {
	rest := s.buf
	for i, n := range s.cuts {
		blob, err := b.w.save(ctx, format.DataBlob, rest[:n])
		if err != nil {
			b.fail(fmt.Errorf("store a piece of %q: %w", s.file.dir.nodes[s.file.slot].Name, err))
			return
		}
		s.ids[i] = blob.ID
		rest = rest[n:]
		b.meter.add(0, int64(n))
	}
}
