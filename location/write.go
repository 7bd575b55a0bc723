package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
)

// undoTime bounds the clean-up after a failed write.
const undoTime = 30 * time.Second

// WriteOptions may be nil.
type WriteOptions struct {
	// Progress is called with the bytes written so far, at most four times a second and once at the end of the stream.
	// It must not block. Default none.
	Progress func(bytes int64)
}

// Write stores everything r gives under key, all or nothing, records size and SHA-256, reads it back and compares.
//
// When r fails, ctx ends or the store refuses, nothing is stored and an object that was there before is untouched. When the
// read back fails, the new object is removed; the one it replaced is then gone too, as stores have no undo. But if only ctx ends
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
	rec, old, err := b.upload(ctx, full, r, opts.Progress)
	if err != nil {
		return Info{}, err
	}
	info, err := b.confirm(ctx, full, rec, old)
	switch {
	case err == nil:
		return info, nil
	case old.rec != nil && !errors.Is(err, ErrCorrupt) && (ctx.Err() != nil || errors.Is(err, errRecord)):
		// Nothing speaks against the object, it is recorded, and what it replaced is gone: a removal would leave nothing.
		return Info{}, fmt.Errorf("%w; the new object stays, as it has replaced another", err)
	default:
		return Info{}, errors.Join(err, b.undo(ctx, full))
	}
}

// errRecord means that an object is whole but its record could not be made final.
var errRecord = errors.New("the object was read back, but its record could not be made final")

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
		return earlier{}, failed(ctx, "look up object", full, err)
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
		got, err := b.measure(ctx, full, io.Discard, nil, nil)
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
func (b *Bucket) upload(ctx context.Context, full string, r io.Reader, progress func(int64)) (record, earlier, error) {
	// A blob writer is committed by Close unless its context has ended.
	wctx, abort := context.WithCancel(ctx)
	defer abort()
	w, err := b.blob.NewWriter(wctx, full, &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return record{}, earlier{}, failed(ctx, "write object", full, err)
	}
	rec, old, err := b.fill(ctx, full, w, r, progress)
	if err != nil {
		abort()
		_ = w.Close()
		return record{}, earlier{}, err
	}
	if err := b.announce(ctx, full, rec, old); err != nil {
		abort()
		_ = w.Close()
		return record{}, earlier{}, errors.Join(err, b.retract(ctx, full, old))
	}
	if err := w.Close(); err != nil {
		return record{}, earlier{}, errors.Join(failed(ctx, "write object", full, err), b.retract(ctx, full, old))
	}
	return rec, old, nil
}

// fill copies everything r gives to w and returns what that was, and what it is going to replace.
func (b *Bucket) fill(ctx context.Context, full string, w io.Writer, r io.Reader, progress func(int64)) (record, earlier, error) {
	old, err := b.before(ctx, full)
	if err != nil {
		return record{}, earlier{}, err
	}
	m := newMeter(progress)
	if err := b.copyIn(ctx, w, r, m); err != nil {
		return record{}, earlier{}, failed(ctx, "write object", full, err)
	}
	m.done()
	return record{sum: sum{Size: m.size, SHA256: m.sum(), Written: time.Now().UTC()}}, old, nil
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
func (b *Bucket) announce(ctx context.Context, full string, rec record, old earlier) error {
	if old.exists && old.rec == nil {
		return nil
	}
	if old.rec != nil {
		rec.Previous = &old.rec.sum
	}
	return b.writeRecord(ctx, full, rec)
}

// retract undoes announce after the object was not committed. A failure to do so does no harm: the record names the old
// object too.
func (b *Bucket) retract(ctx context.Context, full string, old earlier) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	attrs, err := b.blob.Attributes(ctx, full)
	switch {
	case isAbsent(err):
		return b.deleteRecord(ctx, full)
	case err != nil || old.rec == nil || attrs.ETag != old.attrs.ETag || !attrs.ModTime.Equal(old.attrs.ModTime):
		return nil
	default:
		return b.writeRecord(ctx, full, *old.rec)
	}
}

// confirm reads the object back and makes the record final.
func (b *Bucket) confirm(ctx context.Context, full string, rec record, old earlier) (Info, error) {
	got, err := b.measure(ctx, full, io.Discard, nil, nil)
	if err != nil {
		return Info{}, fmt.Errorf("read back: %w", err)
	}
	if got.size != rec.Size || got.sum != rec.SHA256 {
		return Info{}, fmt.Errorf("read back: %w", corrupt(full, &rec, got.size, got.sum))
	}
	final := !old.exists
	if final { // a Delete of what is above the key may have taken the record for one whose object is gone
		now, err := b.readRecord(ctx, full)
		if err != nil {
			return Info{}, err
		}
		final = now != nil
	}
	if !final {
		if err := b.writeRecord(ctx, full, rec); err != nil {
			return Info{}, fmt.Errorf("%w: %w", errRecord, err)
		}
	}
	return Info{Key: b.relative(full), Size: got.size, SHA256: got.sum, ModTime: got.modTime}, nil
}

// undo removes an object that was committed but could not be confirmed, and its record.
func (b *Bucket) undo(ctx context.Context, full string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := b.blob.Delete(ctx, full); err != nil && !isAbsent(err) {
		return failed(ctx, "remove the unusable object", full, err)
	}
	return b.deleteRecord(ctx, full)
}
