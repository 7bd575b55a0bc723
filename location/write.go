package location

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// undoTime bounds the clean-up after a failed write.
const undoTime = 30 * time.Second

// WriteOptions may be nil.
type WriteOptions struct {
	// Progress is called with the bytes taken from the reader so far, at most four times a second and once at the end of the stream.
	// It must not block. Default none.
	Progress func(bytes int64)
	// IfNotExist makes the write fail with ErrExists, at its beginning or at its end, if there is an object of that key by then: of several such writers at the same
	// time one wins. Default: what was there is replaced.
	IfNotExist bool
	// Retention locks the object, and its record. Stores that cannot refuse the write. Default none.
	Retention Retention
}

// Write stores everything r gives under key, all or nothing, and records size and SHA-256. The object is confirmed: by the store's own checksums of all its bytes
// where the driver has them, else, or with Options.ReadBack, by reading it back.
//
// When r fails, ctx ends or the store refuses, nothing is stored and an object that was there before is untouched. When the
// object cannot be confirmed, it is removed; the one it replaced is then gone too, as stores have no undo. But if only ctx ends
// then, or the record alone is refused, an object that has replaced another stays, recorded: it is better than none. What
// could not be removed is named in the error.
//
// Write returns soon after ctx ends even if r.Read blocks; that one Read then goes on until r lets go of it, and what it
// gives is lost.
func (b *Bucket) Write(ctx context.Context, key string, r io.Reader, opts *WriteOptions) (Info, error) {
	full, err := b.fullKey(key)
	if err != nil {
		return Info{}, err
	}
	if opts == nil {
		opts = &WriteOptions{}
	}
	w := &write{b: b, full: full, opts: opts}
	if err := w.upload(ctx, r); err != nil {
		return Info{}, err
	}
	info, err := w.confirm(ctx)
	switch {
	case err == nil:
		return info, nil
	case w.old.rec != nil && !errors.Is(err, ErrCorrupt) && (ctx.Err() != nil || errors.Is(err, errRecord)):
		// Nothing speaks against the object, it is recorded, and what it replaced is gone: a removal would leave nothing.
		return Info{}, fmt.Errorf("%w; the new object stays, as it has replaced another", err)
	default:
		return Info{}, errors.Join(err, b.undo(ctx, full))
	}
}

// write is one write under way.
type write struct {
	b    *Bucket
	full string
	opts *WriteOptions
	// content is all there is to write, where that is known.
	content []byte
	// old is what stood there before, rec what is written.
	old earlier
	rec record
	crc uint32
	// claimed is where a conditional create has announced itself beside another one; empty if it is alone.
	claimed string
	// driver is nil where the driver has nothing to say.
	driver *Upload
}

// errRecord means that an object is whole but its record could not be made final.
var errRecord = errors.New("the object is whole, but its record could not be made final")

// earlier is what stands at the key before a write.
type earlier struct {
	exists bool
	rec    *record
	attrs  *blob.Attributes
}

func (b *Bucket) before(ctx context.Context, full string) (earlier, error) {
	attrs, err := b.blob.Attributes(ctx, full)
	if isAbsent(err) {
		return earlier{}, nil
	}
	if err != nil {
		return earlier{}, b.failed(ctx, "look up object", full, err)
	}
	rec, err := b.readRecord(ctx, full)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return earlier{}, err
	}
	old := earlier{exists: true, rec: rec, attrs: attrs}
	if rec == nil || rec.Previous == nil {
		return old, nil
	}
	return old, b.settle(ctx, full, &old)
}

// settle finds out which of two recorded objects is there, after a write that died. It is read if its size does not tell.
func (b *Bucket) settle(ctx context.Context, full string, old *earlier) error {
	hash := old.rec.hashOf(old.attrs.Size)
	if hash == "" && old.rec.hasSize(old.attrs.Size) {
		got, err := b.measure(ctx, full)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
		hash = got.sum
	}
	if p := old.rec.Previous; p.Size == old.attrs.Size && p.SHA256 == hash {
		old.rec = &record{sum: *p}
	}
	return nil
}

// upload streams r into the store and commits it, the record first.
func (w *write) upload(ctx context.Context, r io.Reader) error {
	// A blob writer is committed by Close unless its context has ended.
	wctx, abort := context.WithCancel(ctx)
	defer abort()
	to, err := w.b.blob.NewWriter(wctx, w.full, w.options(w.b.metadata()))
	if err != nil {
		return w.b.failed(ctx, "write object", w.full, err)
	}
	drop := func() {
		abort()
		_ = to.Close()
	}
	if err := w.fill(ctx, to, r); err != nil {
		drop()
		return err
	}
	if err := w.announce(ctx); err != nil {
		drop()
		if errors.Is(err, ErrExists) {
			return err
		}
		return errors.Join(err, w.retract(ctx, err))
	}
	if err := to.Close(); err != nil {
		err = w.exists(w.b.failed(ctx, "write object", w.full, err))
		return errors.Join(err, w.retract(ctx, err))
	}
	return nil
}

func (w *write) options(metadata map[string]string) *blob.WriterOptions {
	return &blob.WriterOptions{
		ContentType: "application/octet-stream", Metadata: metadata, IfNotExist: w.opts.IfNotExist,
		BeforeWrite: func(as func(any) bool) error { return w.ask(as, &w.driver) },
	}
}

// ask tells the driver what is wanted of a write.
func (w *write) ask(as func(any) bool, into **Upload) error {
	var up *Upload
	if !as(&up) {
		if !w.opts.Retention.IsZero() {
			return fmt.Errorf("%w: this location cannot lock objects: write without retention", ErrUnsupported)
		}
		return nil
	}
	up.Retention, up.Content = w.opts.Retention, w.content
	*into = up
	return nil
}

// exists recognises the refusal of a conditional create.
func (w *write) exists(err error) error {
	if code := gcerrors.Code(err); !w.opts.IfNotExist || errors.Is(err, ErrExists) || code != gcerrors.FailedPrecondition && code != gcerrors.AlreadyExists {
		return err
	}
	return fmt.Errorf("%w: %w", ErrExists, err)
}

// fill copies everything r gives to the store, and finds out what it is going to replace.
func (w *write) fill(ctx context.Context, to io.Writer, r io.Reader) (err error) {
	if w.old, err = w.b.before(ctx, w.full); err != nil {
		return err
	}
	if w.opts.IfNotExist && w.old.exists {
		return fmt.Errorf("write object %q: %w", w.full, ErrExists)
	}
	in, content := w.b.encoded(r)
	defer func() { _ = in.Close() }()
	m := newMeter(w.opts.Progress)
	m.sums = true
	m.shown = content.n.Load
	if err := w.b.copyIn(ctx, to, in, m); err != nil {
		return w.b.failed(ctx, "write object", w.full, err)
	}
	m.done()
	w.crc = m.crc
	w.rec = record{sum: sum{Size: m.size, SHA256: m.sum(), Written: time.Now().UTC(), Codecs: w.b.writes()}}
	if len(w.rec.Codecs) > 0 {
		n := content.n.Load()
		w.rec.Content = &n
	}
	return nil
}

func (b *Bucket) copyIn(ctx context.Context, w io.Writer, r io.Reader, m *meter) error {
	src := b.newSource(r)
	defer b.stop(src)
	for {
		c := src.next(ctx)
		if c.n > 0 {
			m.add(c.buf[:c.n])
			if _, err := w.Write(c.buf[:c.n]); err != nil {
				return err
			}
		}
		if c.buf != nil {
			src.recycle(c.buf)
		}
		if c.err == io.EOF { //nolint:errorlint // a reader that wraps io.EOF reports a failure
			return context.Cause(ctx)
		}
		if c.err != nil {
			return &callers{fmt.Errorf("read what is to be written: %w", c.err)}
		}
	}
}

// announce stores the record before the object, next to that of the object it replaces. An object without record is
// left without until it is replaced: it would be taken for a damaged one.
func (w *write) announce(ctx context.Context) error {
	if w.old.exists && w.old.rec == nil {
		return nil
	}
	rec := w.rec
	if w.old.rec != nil {
		rec.Previous = &w.old.rec.sum
	}
	if w.opts.IfNotExist {
		return w.claim(ctx, rec)
	}
	return w.writeRecord(ctx, w.recordKey(), rec, false)
}

// claim announces a conditional create. Where another one has announced itself and its object is not there yet, it may be under way or dead: its
// record stays, and this one stands beside it until it is known who has won.
func (w *write) claim(ctx context.Context, rec record) error {
	err := w.exists(w.writeRecord(ctx, w.recordKey(), rec, true))
	if !errors.Is(err, ErrExists) {
		return err
	}
	if _, err := w.b.blob.Attributes(ctx, w.full); err == nil {
		return fmt.Errorf("write object %q: %w", w.full, ErrExists)
	} else if !isAbsent(err) {
		return w.b.failed(ctx, "look up object", w.full, err)
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	w.claimed = w.b.claimsOf(w.full) + "/" + hex.EncodeToString(id[:]) + recorded
	return w.writeRecord(ctx, w.claimed, rec, false)
}

// unclaim removes what claim has put beside another's record.
func (w *write) unclaim(ctx context.Context) error {
	if w.claimed == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := w.b.blob.Delete(ctx, w.claimed); err != nil && !isAbsent(err) {
		return w.b.failed(ctx, "delete the record", w.claimed, err)
	}
	return nil
}

// retract undoes announce after the object was not committed. A failure to do so does no harm: the record names the old
// object too.
func (w *write) retract(ctx context.Context, why error) error {
	switch {
	case w.opts.IfNotExist && errors.Is(why, ErrExists):
		return w.unclaim(ctx)
	case w.opts.IfNotExist:
		return nil // the object may be there all the same, where the store's answer was lost; a Delete takes the record away
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	attrs, err := w.b.blob.Attributes(ctx, w.full)
	switch {
	case isAbsent(err):
		return w.b.deleteRecord(ctx, w.full)
	case err != nil || w.old.rec == nil || attrs.ETag != w.old.attrs.ETag || !attrs.ModTime.Equal(w.old.attrs.ModTime):
		return nil
	default:
		return w.writeRecord(ctx, w.recordKey(), *w.old.rec, false)
	}
}

// confirm makes sure that the store has what was written, and makes the record final.
func (w *write) confirm(ctx context.Context) (Info, error) {
	info, err := w.compare(ctx)
	if err != nil {
		return Info{}, err
	}
	final := !w.old.exists && w.claimed == ""
	if final { // a Delete of what is above the key may have taken the record for one whose object is gone; another create may have announced itself
		now, err := w.b.readRecord(ctx, w.full)
		if err != nil {
			return Info{}, err
		}
		final = now != nil && now.Previous == nil && now.SHA256 == w.rec.SHA256
	}
	if !final {
		err := w.writeRecord(ctx, w.recordKey(), w.rec, false)
		if err == nil {
			err = w.unclaim(ctx)
		}
		if err != nil {
			return Info{}, fmt.Errorf("%w: %w", errRecord, err)
		}
	}
	info.Content, info.Codecs = w.rec.content(), w.rec.Codecs
	return info, nil
}

// compare looks what the store has, by its checksums or by reading it.
func (w *write) compare(ctx context.Context) (Info, error) {
	info := Info{Key: w.b.relative(w.full), Size: w.rec.Size, SHA256: w.rec.SHA256}
	if up := w.driver; up != nil && up.confirmed && !w.b.readBack {
		if up.crc != w.crc {
			return Info{}, fmt.Errorf("%w: object %q: the store's checksum is %08x, that of what was written %08x", ErrCorrupt, w.full, up.crc, w.crc)
		}
		attrs, err := w.b.blob.Attributes(ctx, w.full)
		if err != nil {
			return Info{}, w.b.absentOr(ctx, "look up object", w.full, err)
		}
		if attrs.Size != w.rec.Size {
			return Info{}, corrupt(w.full, &w.rec, attrs.Size, "")
		}
		info.ModTime = attrs.ModTime
		return info, nil
	}
	got, err := w.b.measure(ctx, w.full)
	if err != nil {
		return Info{}, fmt.Errorf("read back: %w", err)
	}
	if got.size != w.rec.Size || got.sum != w.rec.SHA256 {
		return Info{}, fmt.Errorf("read back: %w", corrupt(w.full, &w.rec, got.size, got.sum))
	}
	info.ModTime = got.modTime
	return info, nil
}

// undo removes an object that was committed but could not be confirmed, and its record.
func (b *Bucket) undo(ctx context.Context, full string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := b.blob.Delete(ctx, full); err != nil && !isAbsent(err) {
		return b.failed(ctx, "remove the unusable object", full, err)
	}
	return b.deleteRecord(ctx, full)
}
