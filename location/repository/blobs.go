package repository

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// loadBlob appends a blob's content to dst, verified. A read that fails is tried again, then other copies of the blob.
func (r *Repository) loadBlob(ctx context.Context, h format.Handle, dst []byte) ([]byte, error) {
	var failures []error
	for p := range r.idx.places(h) {
		if p.Pack.IsZero() {
			continue
		}
		var out []byte
		err := r.again(ctx, func() error {
			sealed, err := r.objects.Read(ctx, r.file(packFile, p.Pack), int64(p.Offset), int64(p.Length), nil)
			if err == nil {
				out, err = r.openBlob(p.Blob, sealed, dst)
			}
			return err
		})
		if err == nil {
			return out, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		failures = append(failures, fmt.Errorf("blob %s in pack %s: %w", h, p.Pack.Short(), err))
	}
	if failures == nil {
		return nil, fmt.Errorf("%w: blob %s is in no pack that the index knows", ErrDamaged, h)
	}
	return nil, errors.Join(failures...)
}

// openBlob appends the content of a sealed blob, which is overwritten, to dst.
func (r *Repository) openBlob(b format.Blob, sealed, dst []byte) ([]byte, error) {
	content, err := r.key.Open(sealed)
	if err != nil {
		return nil, err
	}
	before := len(dst)
	if b.Uncompressed != 0 {
		dst, err = r.codec.Decompress(dst, content, int(b.Uncompressed))
	} else {
		dst = append(dst, content...)
	}
	if err != nil {
		return nil, err
	}
	if format.Hash(dst[before:]) != b.ID {
		return nil, fmt.Errorf("%w: the content has another hash than the blob", ErrDamaged)
	}
	return dst, nil
}

// loadRun reads blobs of one pack, sorted by their offsets, in one request, gaps between them included, and hands over each with its content, which is valid until each returns,
// or with why it cannot be had. An error of each ends it. It holds the range and one blob in memory.
func (r *Repository) loadRun(ctx context.Context, pack format.ID, blobs []format.Blob, each func(b format.Blob, content []byte, err error) error) error {
	if len(blobs) == 0 {
		return nil
	}
	first, last := blobs[0], blobs[len(blobs)-1]
	length := int64(last.Offset) + int64(last.Length) - int64(first.Offset)
	buf, scratch := r.packs.rangeBuffer(int(length)), r.packs.scratch()
	defer r.packs.rangeDone(buf)
	defer r.packs.done(scratch)
	got, readErr := r.objects.Read(ctx, r.file(packFile, pack), int64(first.Offset), length, buf)
	for _, b := range blobs {
		var content []byte
		err := readErr
		if err == nil {
			at := int(b.Offset - first.Offset)
			content, err = r.openBlob(b, got[at:at+int(b.Length)], (*scratch)[:0])
		}
		if err != nil && ctx.Err() == nil {
			r.log.DebugContext(ctx, "a blob is read once more", "blob", b.String(), "pack", pack.Short(), "error", err)
			content, err = r.loadBlob(ctx, b.Handle, (*scratch)[:0])
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			*scratch = content
		}
		if err := each(b, content, err); err != nil {
			return err
		}
	}
	return nil
}

// loadTree reads a folder.
func (r *Repository) loadTree(ctx context.Context, id format.ID) (*format.Tree, error) {
	h := format.Handle{ID: id, Type: format.TreeBlob}
	content, err := r.windows.load(ctx, h)
	if err != nil {
		content, err = r.loadBlob(ctx, h, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("read a folder: %w", err)
	}
	t, err := format.ParseTree(content)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", id.Short(), err)
	}
	return t, nil
}

const (
	// windowSize is how much of a pack is read at once for trees, which lie side by side; windowCount such pieces are kept.
	windowSize  = 1 << 20
	windowCount = 12
)

// windows are pieces of packs with trees, those used last.
type windows struct {
	r  *Repository
	mu sync.Mutex
	// kept are *window, the one used last in front.
	kept  *list.List
	byKey map[windowKey]*list.Element
}

type windowKey struct {
	pack format.ID
	n    int64
}

type window struct {
	key  windowKey
	once sync.Once
	data []byte
	err  error
}

func newWindows(r *Repository) *windows {
	return &windows{r: r, kept: list.New(), byKey: map[windowKey]*list.Element{}}
}

// load reads a tree through the windows. Any failure is for loadBlob to look at.
func (ws *windows) load(ctx context.Context, h format.Handle) ([]byte, error) {
	p, ok := ws.r.idx.lookup(h)
	if !ok || p.Pack.IsZero() || p.Length > 4*windowSize {
		return nil, errNoWindow
	}
	sealed := make([]byte, 0, p.Length)
	for at, end := int64(p.Offset), int64(p.Offset)+int64(p.Length); at < end; {
		w := ws.get(windowKey{p.Pack, at / windowSize})
		w.once.Do(func() {
			w.data, w.err = ws.r.objects.ReadUpTo(ctx, ws.r.file(packFile, p.Pack), w.key.n*windowSize, windowSize)
		})
		from := at % windowSize
		if w.err != nil || from >= int64(len(w.data)) {
			ws.drop(w)
			return nil, errors.Join(errNoWindow, w.err)
		}
		piece := w.data[from:min(int64(len(w.data)), from+end-at)]
		sealed = append(sealed, piece...)
		at += int64(len(piece))
	}
	return ws.r.openBlob(p.Blob, sealed, nil)
}

var errNoWindow = errors.New("not read through a window")

func (ws *windows) get(key windowKey) *window {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if e, ok := ws.byKey[key]; ok {
		ws.kept.MoveToFront(e)
		return e.Value.(*window) //nolint:forcetypeassert // the list holds nothing else
	}
	w := &window{key: key}
	ws.byKey[key] = ws.kept.PushFront(w)
	if ws.kept.Len() > windowCount {
		old := ws.kept.Remove(ws.kept.Back()).(*window) //nolint:forcetypeassert // as above
		delete(ws.byKey, old.key)
	}
	return w
}

// drop forgets a window that could not be read.
func (ws *windows) drop(w *window) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if e, ok := ws.byKey[w.key]; ok && e.Value == any(w) {
		ws.kept.Remove(e)
		delete(ws.byKey, w.key)
	}
}
