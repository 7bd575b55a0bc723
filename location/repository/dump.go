package repository

import (
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// Dump writes what is at path in the snapshot to w: the content of a file, such as a stream that was backed up, or a folder as a tar stream, see DumpTar. The id is as for Find.
// All content is verified before it is written; nothing after the first that is missing or damaged is written of a file. An error means that what was written is not all.
// It holds a shared lock, and reads ahead; it takes about 32 MiB of memory, however long the file is.
func (r *Repository) Dump(ctx context.Context, id, path string, w io.Writer) error {
	return r.dump(ctx, id, path, w, nil)
}

func (r *Repository) dump(ctx context.Context, id, path string, w io.Writer, opts *DumpOptions) error {
	err := r.read(ctx, id, path, func(ctx context.Context, _ Snapshot, n *format.Node) error {
		switch n.Type {
		case format.TypeFile:
			return r.dumpFile(ctx, n, w)
		case format.TypeDir:
			return r.dumpFolder(ctx, n, w, opts)
		}
		return fmt.Errorf("it is a %s, which has no content", n.Type)
	})
	if err != nil {
		return fmt.Errorf("dump %q of snapshot %.8s: %w", shortPath(cleanPath(path)), id, err)
	}
	return nil
}

func (r *Repository) dumpFile(ctx context.Context, n *format.Node, w io.Writer) error {
	size, err := r.contentSize(n)
	if err != nil {
		return err
	}
	produce := func(a *ahead) error { return a.content(n) }
	err = r.inOrder(ctx, produce, func(item *aheadItem) error {
		_, err := w.Write(item.content)
		return err
	})
	if err == nil && size != clampSize(n.Size) {
		err = fmt.Errorf("%w: its content has %d bytes, and the snapshot says %d", ErrDamaged, size, n.Size)
	}
	return err
}

// contentSize is the length of a file's content; a chunk that is nowhere is an error.
func (r *Repository) contentSize(n *format.Node) (int64, error) {
	var size int64
	for _, id := range n.Content {
		at, ok := r.idx.lookup(format.Handle{ID: id, Type: format.DataBlob})
		if !ok || at.Pack.IsZero() {
			return 0, fmt.Errorf("%w: its content is missing: blob %s is in no pack that the index knows", ErrDamaged, id.Short())
		}
		if size += int64(at.Size()); size < 0 {
			return 0, fmt.Errorf("%w: its content is longer than a file can be", ErrDamaged)
		}
	}
	return size, nil
}

const (
	// aheadBytes and aheadItems are how much is read at once, aheadCount how many such windows there are.
	aheadBytes = 8 << 20
	aheadItems = 4096
	aheadCount = 3
)

// ahead reads chunks in the order of their use, some windows before they are used.
type ahead struct {
	r     *Repository
	ctx   context.Context //nolint:containedctx // that of the group of goroutines that it belongs to
	tasks *errgroup.Group
	queue chan *aheadWindow
	// free are windows that can be filled.
	free chan *aheadWindow
	now  *aheadWindow
	// readers are as many as there may be requests at once.
	readers chan *runReader
}

// aheadWindow is a piece of what is read: items in order, and the chunks they need in one buffer.
type aheadWindow struct {
	items []aheadItem
	buf   []byte
	used  int
	// at is where a chunk's content is in the buffer, and failures why one could not be read.
	at       map[format.ID]int
	blobs    map[format.ID][]format.Blob
	last     format.ID
	mu       sync.Mutex
	failures map[format.ID]error
	// text is how long the paths are; err is why nothing of it can be used; done is closed when it is read.
	text int
	err  error
	done chan struct{}
}

// aheadItem is a node that begins, or a chunk of the one before.
type aheadItem struct {
	node *format.Node
	path string
	id   format.ID
	size int
	// content is valid while the item is used.
	content []byte
}

// inOrder calls use for the items that produce makes, in order, while the next are read.
func (r *Repository) inOrder(ctx context.Context, produce func(a *ahead) error, use func(item *aheadItem) error) error {
	tasks, ctx := errgroup.WithContext(ctx)
	a := &ahead{r: r, ctx: ctx, tasks: tasks, queue: make(chan *aheadWindow, aheadCount), free: make(chan *aheadWindow, aheadCount)}
	a.readers = make(chan *runReader, r.opts.Connections)
	for range cap(a.readers) {
		a.readers <- &runReader{r: r}
	}
	for range aheadCount {
		a.free <- &aheadWindow{}
	}
	tasks.Go(func() error {
		defer close(a.queue)
		err := produce(a)
		if err == nil {
			err = a.flush()
		}
		return err
	})
	tasks.Go(func() error {
		for w := range a.queue {
			<-w.done
			if w.err != nil {
				return w.err
			}
			if err := w.each(ctx, use); err != nil {
				return err
			}
			a.free <- w
		}
		return nil
	})
	return tasks.Wait()
}

// each calls use for the items of a window that is read.
func (w *aheadWindow) each(ctx context.Context, use func(item *aheadItem) error) error {
	for i := range w.items {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		item := &w.items[i]
		if item.node == nil {
			if err := w.failures[item.id]; err != nil {
				return fmt.Errorf("its content is missing or damaged: %w", err)
			}
			from := w.at[item.id]
			item.content = w.buf[from : from+item.size]
		}
		if err := use(item); err != nil {
			return err
		}
	}
	return nil
}

// content adds the chunks of a file.
func (a *ahead) content(n *format.Node) error {
	for _, id := range n.Content {
		p, ok := a.r.idx.lookup(format.Handle{ID: id, Type: format.DataBlob})
		if !ok {
			return fmt.Errorf("%w: the index has changed: blob %s is gone", ErrDamaged, id.Short())
		}
		if w := a.now; w != nil && (w.used+p.Size() > aheadBytes || w.last != p.Pack && w.used > aheadBytes/2) {
			if err := a.flush(); err != nil {
				return err
			}
		}
		w, err := a.window()
		if err != nil {
			return err
		}
		if _, ok := w.at[id]; !ok {
			w.at[id], w.last = w.used, p.Pack
			w.used += p.Size()
			w.blobs[p.Pack] = append(w.blobs[p.Pack], p.Blob)
		}
		if err := a.add(w, aheadItem{id: id, size: p.Size()}); err != nil {
			return err
		}
	}
	return nil
}

// begin adds a node.
func (a *ahead) begin(n *format.Node, path string) error {
	w, err := a.window()
	if err != nil {
		return err
	}
	return a.add(w, aheadItem{node: n, path: path})
}

func (a *ahead) add(w *aheadWindow, item aheadItem) error {
	w.text += len(item.path)
	if w.items = append(w.items, item); len(w.items) < aheadItems && w.text < aheadBytes {
		return nil
	}
	return a.flush()
}

// window is the one that is filled; it waits for a free one.
func (a *ahead) window() (*aheadWindow, error) {
	if a.now != nil {
		return a.now, nil
	}
	select {
	case w := <-a.free:
		a.now = w
		w.items, w.used, w.text, w.last, w.err = w.items[:0], 0, 0, format.ID{}, nil
		w.at, w.blobs, w.failures, w.done = map[format.ID]int{}, map[format.ID][]format.Blob{}, map[format.ID]error{}, make(chan struct{})
		return w, nil
	case <-a.ctx.Done():
		return nil, context.Cause(a.ctx)
	}
}

// flush begins to read the window.
func (a *ahead) flush() error {
	w := a.now
	if w == nil {
		return nil
	}
	a.now = nil
	if cap(w.buf) < w.used || cap(w.buf) > 4*aheadBytes {
		w.buf = make([]byte, max(w.used, aheadBytes))
	}
	w.buf = w.buf[:cap(w.buf)]
	a.tasks.Go(func() error {
		defer close(w.done)
		w.err = w.read(a.ctx, a.readers)
		return w.err
	})
	return put(a.ctx, a.queue, w)
}

// read reads the chunks of the window.
func (w *aheadWindow) read(ctx context.Context, readers chan *runReader) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for pack, blobs := range w.blobs {
		sortBlobs(blobs)
		for _, run := range joinBlobs(blobs) {
			tasks.Go(func() error {
				p := <-readers
				defer func() { readers <- p }()
				return p.run(ctx, pack, run, func(b format.Blob, content []byte, err error) error {
					if err != nil && !beyondRepair(err) {
						return err
					}
					if err != nil {
						w.mu.Lock()
						defer w.mu.Unlock()
						w.failures[b.ID] = err
						return nil
					}
					copy(w.buf[w.at[b.ID]:], content)
					return nil
				})
			})
		}
	}
	return tasks.Wait()
}

// put sends, or returns why it is too late.
func put[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
