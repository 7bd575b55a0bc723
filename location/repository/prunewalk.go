package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

const (
	// runSize is how much of a pack is read at once, in bytes, and runGap how long a part of it may be that nobody asked for.
	runSize = 4 << 20
	runGap  = 256 << 10
)

// damaged tells whether an error means that what is stored is not right, and not that it could not be looked at.
func damaged(err error) bool {
	for _, target := range []error{ErrDamaged, location.ErrCorrupt, location.ErrNotFound, syscall.EIO} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// runs splits blobs of one pack, sorted by offset, into what is read at once.
func runs(blobs []format.Blob, each func([]format.Blob) error) error {
	for len(blobs) > 0 {
		n, start := 1, int64(blobs[0].Offset)
		end := start + int64(blobs[0].Length)
		for n < len(blobs) {
			b := blobs[n]
			if int64(b.Offset) > end+runGap || int64(b.Offset)+int64(b.Length) > start+runSize {
				break
			}
			end = max(end, int64(b.Offset)+int64(b.Length))
			n++
		}
		if err := each(blobs[:n]); err != nil {
			return err
		}
		blobs = blobs[n:]
	}
	return nil
}

// opened is a blob that was read: sealed as it is in its pack, if asked for, and its content; or why it cannot be had. Both are valid until the call returns.
type opened struct {
	format.Blob
	sealed, content []byte
	err             error
}

// readRun reads blobs of one pack in one request and hands over each. What is wrong is read once more, then from other packs. With raw the sealed bytes are handed over too, and
// other packs are not looked at.
func (v *view) readRun(ctx context.Context, pack format.ID, blobs []format.Blob, raw bool, each func(opened) error) error {
	content, sealed := v.packs.scratch(), v.packs.scratch()
	defer v.packs.done(content)
	defer v.packs.done(sealed)
	start, end := int64(blobs[0].Offset), int64(0)
	for _, b := range blobs {
		end = max(end, int64(b.Offset)+int64(b.Length))
	}
	buf := v.packs.rangeBuffer(int(end - start))
	defer v.packs.rangeDone(buf)
	for second := false; len(blobs) > 0; second = true {
		got, readErr := v.objects.Read(ctx, v.file(packFile, pack), start, end-start, buf)
		var wrong []format.Blob
		for _, b := range blobs {
			o := opened{Blob: b, err: readErr}
			if readErr == nil {
				part := got[int64(b.Offset)-start:][:b.Length]
				if raw {
					*sealed = append((*sealed)[:0], part...)
					o.sealed = *sealed
				}
				o.content, o.err = v.openBlob(b, part, (*content)[:0])
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if o.err != nil && !second {
				wrong = append(wrong, b)
				continue
			}
			if o.err != nil && !raw {
				o.content, o.err = v.elsewhere(ctx, pack, b, o.err)
			}
			if cap(o.content) > cap(*content) {
				*content = o.content
			}
			if err := each(o); err != nil {
				return err
			}
		}
		blobs = wrong
	}
	return nil
}

// elsewhere reads a blob from the packs other than this one, where it cannot be read for that reason.
func (v *view) elsewhere(ctx context.Context, pack format.ID, b format.Blob, why error) ([]byte, error) {
	failures := []error{fmt.Errorf("blob %s in pack %s: %w", b.Handle, pack.Short(), why)}
	for n := range v.copies(b.Handle) {
		p := v.idx.place(v.idx.entry(n))
		if p.Pack == pack {
			continue
		}
		sealed, err := v.objects.Read(ctx, v.file(packFile, p.Pack), int64(p.Offset), int64(p.Length), nil)
		var content []byte
		if err == nil {
			content, err = v.openBlob(p.Blob, sealed, nil)
		}
		if err == nil {
			return content, nil
		}
		failures = append(failures, fmt.Errorf("blob %s in pack %s: %w", b.Handle, p.Pack.Short(), err))
	}
	return nil, errors.Join(failures...)
}

// survey walks the trees of snapshots, each tree once, however many snapshots have it. It goes level by level, so that trees that are neighbours in a pack are read at
// once, and holds a bit for each entry of the index and the numbers of the trees of a level.
type survey struct {
	v *view
	// used are the entries that stand for the blobs that snapshots have.
	used bitset
	// missing is called for what the index does not have, broken for a tree that cannot be read, and folder, if there is one, for each that can. They may be called at the
	// same time. An error of them ends the walk.
	missing func(h format.Handle) error
	broken  func(n uint32, err error) error
	folder  func(n uint32, t *format.Tree) error

	mu   sync.Mutex
	next []uint32
}

func newSurvey(v *view) *survey { return &survey{v: v, used: newBitset(v.entries())} }

// walk visits what is below these trees.
func (s *survey) walk(ctx context.Context, roots ...format.ID) error {
	for _, id := range roots {
		if err := s.use(format.Handle{ID: id, Type: format.TreeBlob}); err != nil {
			return err
		}
	}
	for len(s.next) > 0 {
		level := s.next
		s.next = nil
		if err := s.level(ctx, level); err != nil {
			return err
		}
	}
	return nil
}

// use marks a blob, and queues a tree that is new.
func (s *survey) use(h format.Handle) error {
	n, ok := s.v.find(h)
	if !ok {
		return s.missing(h)
	}
	if s.used.add(n) && h.Type == format.TreeBlob {
		s.mu.Lock()
		s.next = append(s.next, n)
		s.mu.Unlock()
	}
	return nil
}

// level reads these trees.
func (s *survey) level(ctx context.Context, trees []uint32) error {
	v := s.v
	slices.SortFunc(trees, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(v.pack(a), v.pack(b)), cmp.Compare(v.idx.entry(a).offset, v.idx.entry(b).offset))
	})
	tasks, tctx := errgroup.WithContext(ctx)
	tasks.SetLimit(v.opts.Connections)
	for len(trees) > 0 && tctx.Err() == nil {
		pack, n := v.pack(trees[0]), 1
		for n < len(trees) && v.pack(trees[n]) == pack {
			n++
		}
		// A part of a level is small, so that the blobs take little memory and the workers have something to do.
		n = min(n, max(64, len(trees)/(4*v.opts.Connections)))
		blobs := make([]format.Blob, n)
		for i, t := range trees[:n] {
			blobs[i] = v.blob(t)
		}
		trees = trees[n:]
		tasks.Go(func() error {
			return runs(blobs, func(run []format.Blob) error {
				return v.readRun(tctx, v.idx.packs[pack].id, run, false, s.read)
			})
		})
	}
	if err := tasks.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// read takes a tree in.
func (s *survey) read(o opened) error {
	n, _ := s.v.find(o.Handle)
	if o.err != nil {
		if !damaged(o.err) {
			return o.err
		}
		return s.broken(n, o.err)
	}
	t, err := format.ParseTree(o.content)
	if err != nil {
		return s.broken(n, err)
	}
	for _, node := range t.Nodes {
		if node.Subtree != nil {
			if err := s.use(format.Handle{ID: *node.Subtree, Type: format.TreeBlob}); err != nil {
				return err
			}
		}
		for _, id := range node.Content {
			if err := s.use(format.Handle{ID: id, Type: format.DataBlob}); err != nil {
				return err
			}
		}
	}
	if s.folder == nil {
		return nil
	}
	return s.folder(n, t)
}
