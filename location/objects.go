package location

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"slices"
)

// Objects is a plain view of a bucket, for formats whose objects are small, named by their content and verified by their reader, such as that of
// package location/repository: it keeps no records and uses no codecs, so that other programs that know the format find nothing else. Errors are those of Bucket.
type Objects struct {
	b *Bucket
}

// Objects returns the plain view. Keys that Bucket would refuse are refused.
func (b *Bucket) Objects() *Objects { return &Objects{b} }

// Put stores the content under key, all or nothing. The object is confirmed: by the store's own checksum of all its bytes where the driver has it, else, or with
// Options.ReadBack, by reading it back; one that is not what was written is removed. With create, an object that is there is ErrExists, else it is replaced.
func (o *Objects) Put(ctx context.Context, key string, content []byte, create bool) error {
	full, err := o.b.fullKey(key)
	if err != nil {
		return err
	}
	if content == nil {
		content = []byte{}
	}
	w := &write{b: o.b, full: full, opts: &WriteOptions{IfNotExist: create}, content: content}
	wctx, abort := context.WithCancel(ctx)
	defer abort()
	to, err := o.b.blob.NewWriter(wctx, full, w.options(nil))
	if err != nil {
		return w.exists(o.b.failed(ctx, "write object", full, err))
	}
	if _, err := io.Copy(to, bytes.NewReader(content)); err != nil {
		abort()
		_ = to.Close()
		return w.exists(o.b.failed(ctx, "write object", full, err))
	}
	if err := to.Close(); err != nil {
		return w.exists(o.b.failed(ctx, "write object", full, err))
	}
	if err := o.confirm(ctx, w, content); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		if errors.Is(err, ErrCorrupt) {
			err = errors.Join(err, o.Delete(undo, key))
		}
		return err
	}
	return nil
}

func (o *Objects) confirm(ctx context.Context, w *write, content []byte) error {
	if o.b.readBack || w.driver == nil || !w.driver.confirmed {
		return o.compare(ctx, w.full, content)
	}
	if w.driver.crc != crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)) {
		return fmt.Errorf("%w: object %q has another checksum than what was written", ErrCorrupt, w.full)
	}
	return nil
}

// compare reads the object back.
func (o *Objects) compare(ctx context.Context, full string, content []byte) error {
	r, err := o.b.blob.NewReader(ctx, full, nil)
	if err != nil {
		return o.b.absentOr(ctx, "read back object", full, err)
	}
	defer func() { _ = r.Close() }()
	buf := o.b.buffers.Get().(*[bufferSize]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer o.b.buffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if n > len(content) || !bytes.Equal(buf[:n], content[:n]) {
			return fmt.Errorf("%w: object %q, read back, differs from what was written", ErrCorrupt, full)
		}
		content = content[n:]
		if err == io.EOF && len(content) == 0 { //nolint:errorlint // it is the reader's documented end
			return nil
		}
		if err == io.EOF { //nolint:errorlint // as above
			return fmt.Errorf("%w: object %q, read back, is %d bytes too short", ErrCorrupt, full, len(content))
		}
		if err != nil {
			return o.b.failed(ctx, "read back object", full, err)
		}
	}
}

// Read appends the length bytes of the object that begin at offset to dst. A part that the object does not have in full is ErrCorrupt, an absent object ErrNotFound. A read that
// breaks is not taken up again.
func (o *Objects) Read(ctx context.Context, key string, offset, length int64, dst []byte) ([]byte, error) {
	r, err := o.open(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	before := len(dst)
	dst = slices.Grow(dst, int(length))[:before+int(length)]
	return dst, r.fill(dst[before:])
}

// Range opens the length bytes of the object that begin at offset, to be read with io.ReadFull: a part that the object does not have ends early. An absent object is ErrNotFound.
// A read that breaks is not taken up again. Close it.
func (o *Objects) Range(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	return o.open(ctx, key, offset, length)
}

// ReadUpTo returns the length bytes of the object that begin at offset, or as many as there are.
func (o *Objects) ReadUpTo(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	r, err := o.open(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	content := make([]byte, max(0, min(length, r.size-offset)))
	return content, r.fill(content)
}

// ReadAll returns the object. One of more than limit bytes is ErrCorrupt and is not read.
func (o *Objects) ReadAll(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, err := o.open(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	if r.size > limit {
		return nil, errors.Join(fmt.Errorf("%w: object %q has %d bytes, more than the %d that are expected at most", ErrCorrupt, r.full, r.size, limit), r.Close())
	}
	content := make([]byte, r.size)
	return content, r.fill(content)
}

// objectRange is a part of an object that is being read.
type objectRange struct {
	io.ReadCloser
	full string
	// size is that of the whole object.
	size   int64
	failed func(error) error
}

// open opens a part of an object; a negative length goes to its end.
func (o *Objects) open(ctx context.Context, key string, offset, length int64) (*objectRange, error) {
	full, err := o.b.fullKey(key)
	if err != nil {
		return nil, err
	}
	r, err := o.b.blob.NewRangeReader(ctx, full, offset, length, nil)
	if err != nil {
		return nil, o.b.absentOr(ctx, "read object", full, err)
	}
	return &objectRange{r, full, r.Size(), func(err error) error { return o.b.failed(ctx, "read object", full, err) }}, nil
}

func (r *objectRange) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // it is the reader's documented end
		err = r.failed(err)
	}
	return n, err
}

// fill fills the buffer and closes the range.
func (r *objectRange) fill(p []byte) error {
	defer func() { _ = r.Close() }()
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: object %q gave %d of %d bytes", ErrCorrupt, r.full, n, len(p))
	}
	return err
}

// Size is that of the object in bytes. An absent one is ErrNotFound.
func (o *Objects) Size(ctx context.Context, key string) (int64, error) {
	full, err := o.b.fullKey(key)
	if err != nil {
		return 0, err
	}
	attrs, err := o.b.blob.Attributes(ctx, full)
	if err != nil {
		return 0, o.b.absentOr(ctx, "look up object", full, err)
	}
	return attrs.Size, nil
}

// List yields the objects below key prefix, as Bucket.List does, and not the one at it. An empty prefix yields all.
func (o *Objects) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		full, err := o.b.fullPrefix(prefix)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for obj, err := range o.b.under(ctx, full) {
			if err != nil {
				yield(Info{}, err)
				return
			}
			if !isReserved(obj.Key) && !yield(Info{Key: o.b.relative(obj.Key), Size: obj.Size, ModTime: obj.ModTime}, nil) {
				return
			}
		}
	}
}

// Delete deletes the objects, in batches where the store can, else several at once. An absent one is no error. The error joins those of the objects that could not be
// deleted; after ten of them it gives up.
func (o *Objects) Delete(ctx context.Context, keys ...string) error {
	d := &deletion{b: o.b, batcher: o.b.batcher()}
	most := d.batcher.MaxBatch()
	for ; len(keys) > 0; keys = keys[min(most, len(keys)):] {
		var full []string
		for _, key := range keys[:min(most, len(keys))] {
			k, err := o.b.fullKey(key)
			if err != nil {
				return err
			}
			full = append(full, k)
		}
		d.delete(ctx, "delete object", full)
	}
	return errors.Join(d.failures...)
}
