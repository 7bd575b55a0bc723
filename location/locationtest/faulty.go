package locationtest

import (
	"context"
	"io"
	"maps"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

// Op is what is done to a store.
type Op string

// The operations of a store. Commit is the end of a write, when the object appears.
const (
	OpStat   Op = "stat"
	OpList   Op = "list"
	OpRead   Op = "read"
	OpWrite  Op = "write"
	OpCommit Op = "commit"
	OpDelete Op = "delete"
)

// Faults says what goes wrong. A nil field does nothing. The functions may be called at the same time.
type Faults struct {
	// Before is called before an operation on the key, or the list's prefix; its error is the operation's. A failed commit
	// leaves nothing.
	Before func(ctx context.Context, op Op, key string) error
	// Read wraps what is read of an object.
	Read func(key string, r io.Reader) io.Reader
	// Write wraps what an object is written to.
	Write func(key string, w io.Writer) io.Writer
	// List changes a page of a list.
	List func(page []*driver.ListObject) []*driver.ListObject
	// CommitCancelled makes a write whose context has ended appear all the same, as far as it came.
	CommitCancelled bool
}

// Faulty returns a bucket over b that has these faults. Closing it closes b.
func Faulty(b *blob.Bucket, f Faults) *blob.Bucket {
	return blob.NewBucket(&faulty{wrapblob.Bucket{B: b}, f})
}

// Fail returns a Before that always fails the operation with err.
func Fail(op Op, err error) func(context.Context, Op, string) error {
	return func(_ context.Context, is Op, _ string) error {
		if is == op {
			return err
		}
		return nil
	}
}

// FailOnce returns a Before that fails the operation with err the first time.
func FailOnce(op Op, err error) func(context.Context, Op, string) error {
	var done atomic.Bool
	return func(_ context.Context, is Op, _ string) error {
		if is == op && done.CompareAndSwap(false, true) {
			return err
		}
		return nil
	}
}

// Slow returns a Before that takes that long, or until the context ends.
func Slow(op Op, d time.Duration) func(context.Context, Op, string) error {
	return func(ctx context.Context, is Op, _ string) error {
		if is != op {
			return nil
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// CutRead returns a Read that ends after n bytes as if the object did.
func CutRead(n int64) func(string, io.Reader) io.Reader {
	return func(_ string, r io.Reader) io.Reader { return io.LimitReader(r, n) }
}

// FlipBit returns a Read that changes the lowest bit of the byte at that place.
func FlipBit(at int64) func(string, io.Reader) io.Reader {
	return func(_ string, r io.Reader) io.Reader { return &flipper{r: r, at: at} }
}

// FailWriteAt returns a Write that takes n bytes of an object and then fails with err.
func FailWriteAt(n int64, err error) func(string, io.Writer) io.Writer {
	return func(_ string, w io.Writer) io.Writer { return &limited{w: w, left: n, err: err} }
}

type flipper struct {
	r  io.Reader
	at int64
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.at >= 0 && f.at < int64(n) {
		p[f.at] ^= 1
	}
	f.at -= int64(n)
	return n, err
}

type limited struct {
	w    io.Writer
	left int64
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) <= l.left {
		n, err := l.w.Write(p)
		l.left -= int64(n)
		return n, err
	}
	n, err := l.w.Write(p[:l.left])
	l.left -= int64(n)
	if err == nil {
		err = l.err
	}
	return n, err
}

// faulty is a driver over a bucket.
type faulty struct {
	wrapblob.Bucket
	f Faults
}

var _ driver.Bucket = (*faulty)(nil)

func (d *faulty) before(ctx context.Context, op Op, key string) error {
	if d.f.Before == nil {
		return nil
	}
	return d.f.Before(ctx, op, key)
}

// As answers for all but what would go around the faults.
func (d *faulty) As(i any) bool {
	batch, ok := i.(*location.BatchDeleter)
	if !ok {
		return d.Bucket.As(i)
	}
	var below location.BatchDeleter
	if !d.Bucket.As(&below) {
		return false
	}
	*batch = &faultyBatch{below, d}
	return true
}

type faultyBatch struct {
	location.BatchDeleter
	d *faulty
}

func (b *faultyBatch) DeleteBatch(ctx context.Context, keys []string) (map[string]error, error) {
	failed := map[string]error{}
	var rest []string
	for _, key := range keys {
		if err := b.d.before(ctx, OpDelete, key); err != nil {
			failed[key] = err
		} else {
			rest = append(rest, key)
		}
	}
	if len(rest) == 0 {
		return failed, nil
	}
	more, err := b.BatchDeleter.DeleteBatch(ctx, rest)
	maps.Copy(failed, more)
	return failed, err
}

func (d *faulty) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if err := d.before(ctx, OpStat, key); err != nil {
		return nil, err
	}
	return d.Bucket.Attributes(ctx, key)
}

func (d *faulty) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if err := d.before(ctx, OpList, opts.Prefix); err != nil {
		return nil, err
	}
	page, err := d.Bucket.ListPaged(ctx, opts)
	if err == nil && d.f.List != nil {
		page.Objects = d.f.List(page.Objects)
	}
	return page, err
}

func (d *faulty) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	if err := d.before(ctx, OpRead, key); err != nil {
		return nil, err
	}
	r, err := d.Bucket.NewRangeReader(ctx, key, offset, length, opts)
	if err != nil || d.f.Read == nil {
		return r, err
	}
	return &faultyReader{r, d.f.Read(key, r)}, nil
}

type faultyReader struct {
	driver.Reader
	r io.Reader
}

func (r *faultyReader) Read(p []byte) (int, error) { return r.r.Read(p) }

func (d *faulty) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	if err := d.before(ctx, OpWrite, key); err != nil {
		return nil, err
	}
	if d.f.CommitCancelled {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, abort := context.WithCancel(ctx)
	w, err := d.Bucket.NewTypedWriter(ctx, key, contentType, opts)
	if err != nil {
		abort()
		return nil, err
	}
	var to io.Writer = w
	if d.f.Write != nil {
		to = d.f.Write(key, w)
	}
	return &faultyWriter{Writer: to, w: w, abort: abort, commit: func() error { return d.before(ctx, OpCommit, key) }}, nil
}

type faultyWriter struct {
	io.Writer
	w      driver.Writer
	abort  context.CancelFunc
	commit func() error
}

func (w *faultyWriter) Close() error {
	defer w.abort()
	if err := w.commit(); err != nil {
		w.abort()
		_ = w.w.Close()
		return err
	}
	return w.w.Close()
}

func (d *faulty) Copy(ctx context.Context, dst, src string, opts *driver.CopyOptions) error {
	if err := d.before(ctx, OpWrite, dst); err != nil {
		return err
	}
	return d.Bucket.Copy(ctx, dst, src, opts)
}

func (d *faulty) Delete(ctx context.Context, key string) error {
	if err := d.before(ctx, OpDelete, key); err != nil {
		return err
	}
	return d.Bucket.Delete(ctx, key)
}
