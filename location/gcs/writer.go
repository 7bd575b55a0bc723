package gcs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

const (
	// identity is the name of the metadata that says which write made an object.
	identity = "davit-write"
	// chunkSize is that of a resumable upload and of its buffer; what is not larger than small is one request.
	chunkSize = 16 << 20
	small     = 256 << 10
	// chunkTries is how long one chunk is tried again.
	chunkTries = 5 * time.Minute
	// undoTime bounds the clean-up after a failed write.
	undoTime = 30 * time.Second
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writer streams one object. It begins when it is known whether the object is small.
type writer struct {
	ctx  context.Context
	b    *bucket
	key  string
	opts *blob.WriterOptions
	id   string
	up   *location.Upload

	head []byte
	size int64
	crc  uint32
	// inner and object are nil until the upload begins.
	inner  *blob.Writer
	object *storage.Writer
	tries  atomic.Int32
}

// NewTypedWriter writes an object. BeforeWrite can be asked for a *location.Upload; not for gcsblob's writer, which is made later.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	up, err := wrapblob.Upload(opts)
	if err != nil {
		return nil, err
	}
	w := &writer{ctx: ctx, b: b, key: key, opts: wrapblob.WriterOptions(contentType, opts), id: rand.Text(), up: up}
	w.opts.Metadata = maps.Clone(opts.Metadata)
	if w.opts.Metadata == nil {
		w.opts.Metadata = map[string]string{}
	}
	w.opts.Metadata[identity] = w.id
	return w, nil
}

// Write adds to the object.
func (w *writer) Write(p []byte) (int, error) {
	w.crc = crc32.Update(w.crc, castagnoli, p)
	w.size += int64(len(p))
	if w.inner == nil && len(w.head)+len(p) <= small {
		w.head = append(w.head, p...)
		return len(p), nil
	}
	if w.inner == nil {
		if err := w.begin(chunkSize); err != nil {
			return 0, err
		}
	}
	n, err := w.inner.Write(p)
	return n, w.b.ofObject(w.ctx, "write", err)
}

// begin opens the upload and sends what there is.
func (w *writer) begin(chunk int) error {
	w.opts.BeforeWrite = func(as func(any) bool) error {
		var handle **storage.ObjectHandle
		if as(&handle) {
			*handle = (*handle).Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithBackoff(w.b.pauses), storage.WithErrorFunc(w.again))
		}
		if !as(&w.object) {
			return storefault.Means(nil, gcerrors.Internal, "").Failure("write", "the SDK shows no writer")
		}
		w.object.ChunkSize, w.object.ChunkRetryDeadline = chunk, chunkTries
		w.object.ProgressFunc = func(int64) { w.tries.Store(0) }
		if chunk == small {
			w.object.CRC32C, w.object.SendCRC32C = w.crc, true
		}
		w.object.Retention = retention(w.up.Retention)
		return nil
	}
	inner, err := w.b.B.NewWriter(w.ctx, w.key, w.opts)
	if err != nil {
		return w.b.http.explain(w.ctx, "write", err)
	}
	w.inner = inner
	_, err = inner.Write(w.head)
	w.head = nil
	return w.b.ofObject(w.ctx, "write", err)
}

// again bounds the tries of one chunk; the SDK bounds some of them by the context alone.
func (w *writer) again(err error) bool { return mayPass(err) && w.tries.Add(1) < attempts }

func retention(r location.Retention) *storage.ObjectRetention {
	if r.IsZero() {
		return nil
	}
	mode := "Unlocked"
	if r.Compliance {
		mode = "Locked"
	}
	return &storage.ObjectRetention{Mode: mode, RetainUntil: r.Until.UTC()}
}

// Close commits the object, unless the context has ended. After an error nothing is stored, as far as that is known; what could not be removed is named.
func (w *writer) Close() error {
	ended := w.ctx.Err() != nil
	if w.inner == nil {
		if ended {
			return w.b.http.explain(w.ctx, "write", w.ctx.Err())
		}
		if err := w.begin(small); w.inner == nil {
			return err
		}
	}
	err := w.inner.Close()
	if err != nil {
		if err = w.b.ofObject(w.ctx, "write", err); ended || storefault.IsFinal(err) {
			return err
		}
		return w.ours(err)
	}
	w.b.there.Store(true)
	return w.judge(w.object.Attrs())
}

// ours looks whether the object was stored although its writer failed.
func (w *writer) ours(failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), undoTime)
	defer cancel()
	a, err := w.b.Bucket.Attributes(ctx, w.key)
	if err != nil {
		if err = w.b.http.explain(ctx, "look up", err); !errors.Is(err, location.ErrNotFound) {
			return fmt.Errorf("%w; whether the object is there could not be found out: %w", failed, err)
		}
		return failed
	}
	var got storage.ObjectAttrs
	if !a.AsFunc(&got) || !w.wrote(got.Metadata) {
		return failed
	}
	return w.judge(&got)
}

func (w *writer) wrote(metadata map[string]string) bool {
	for k, v := range metadata {
		if strings.EqualFold(k, identity) {
			return v == w.id
		}
	}
	return false
}

// judge compares what the store has with what was written. Only that very generation is removed if it is not as it should be.
func (w *writer) judge(got *storage.ObjectAttrs) error {
	if got == nil {
		return nil // unconfirmed
	}
	if r := w.up.Retention; !r.IsZero() && (got.Retention == nil || got.Retention.RetainUntil.Before(r.Until.Truncate(time.Second))) {
		return w.remove(got, storefault.Means(location.ErrUnsupported, gcerrors.Unimplemented, "make a bucket with object retention, or ask for none").Failure("write",
			"the bucket keeps no object retention"))
	}
	if got.CRC32C == 0 && w.crc != 0 {
		return nil // a server that computes none: unconfirmed
	}
	if got.Size != w.size || got.CRC32C != w.crc {
		return w.remove(got, storefault.Means(location.ErrCorrupt, gcerrors.Unknown, "try again").Failure("write",
			fmt.Sprintf("it has kept %d bytes with the CRC-32C %08x of %d with %08x", got.Size, got.CRC32C, w.size, w.crc)))
	}
	w.up.Confirm(w.crc)
	return nil
}

func (w *writer) remove(got *storage.ObjectAttrs, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), undoTime)
	defer cancel()
	err := w.b.objects.Object(got.Name).Generation(got.Generation).Delete(ctx)
	if err = w.b.http.explain(ctx, "remove", err); err != nil && !errors.Is(err, location.ErrNotFound) {
		return fmt.Errorf("%w; it is left behind, generation %d: %w", failed, got.Generation, err)
	}
	return failed
}
