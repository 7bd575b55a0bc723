package s3

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob/driver"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

const (
	// undoTime bounds the clean-up after a failed write.
	undoTime = 30 * time.Second
	// smallest is the first size of the buffer of a stream, most of which are records of some hundred bytes.
	smallest = 4 << 10
	// borrowed is from what size on a stream has a buffer of the stock.
	borrowed = 1 << 20
)

// object is what is to be written.
type object struct {
	key      string
	id       string
	metadata map[string]string
	opts     driver.WriterOptions
	content  string
	lock     location.Retention
	sumType  types.ChecksumType
}

// conditional is the header that refuses to replace.
func (o *object) conditional() *string {
	if !o.opts.IfNotExist {
		return nil
	}
	return aws.String("*")
}

func (o *object) lockMode() (types.ObjectLockMode, *time.Time) {
	switch {
	case o.lock.IsZero():
		return "", nil
	case o.lock.Compliance:
		return types.ObjectLockModeCompliance, &o.lock.Until
	default:
		return types.ObjectLockModeGovernance, &o.lock.Until
	}
}

// NewTypedWriter writes.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	upload, err := wrapblob.Upload(opts)
	if err != nil {
		return nil, err
	}
	o := &object{key: escapeKey(key), id: newID(), metadata: escapeMetadata(opts.Metadata), opts: *opts, content: contentType,
		lock: upload.Retention, sumType: types.ChecksumTypeComposite}
	o.metadata[identity] = o.id
	return &writer{ctx: ctx, b: b, o: o, upload: upload, lender: b.buffers.lender()}, nil
}

// writer gathers a stream in parts. Its methods are not for concurrent use.
type writer struct {
	ctx    context.Context
	b      *bucket
	o      *object
	upload *location.Upload
	lender *lender

	// whole counts what was written of a content that is known in full.
	whole int
	small []byte
	now   *lent
	parts *assembly
	err   error
}

var errClosed = errors.New("the writer is closed")

// Write takes p. It waits for a buffer when all are on their way.
func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	total := len(p)
	if w.upload.Content != nil {
		w.whole += total
		return total, nil
	}
	if w.now == nil && w.parts == nil {
		if len(w.small)+len(p) <= min(borrowed, w.b.limits.part) {
			if w.small == nil {
				w.small = make([]byte, 0, max(smallest, len(p)))
			}
			w.small = append(w.small, p...)
			return total, nil
		}
		if err := w.outgrow(); err != nil {
			return 0, err
		}
	}
	for len(p) > 0 {
		if err := w.room(); err != nil {
			w.err = err
			return total - len(p), err
		}
		p = p[w.now.fill(p):]
	}
	return total, nil
}

// outgrow moves the beginning of the stream into a buffer of the stock.
func (w *writer) outgrow() error {
	now, err := w.lender.get(w.ctx)
	if err != nil {
		w.err = w.b.explain(w.ctx, "write", err)
		return w.err
	}
	w.now = now
	w.now.fill(w.small)
	w.small = nil
	return nil
}

// room makes a buffer that is not full the present one.
func (w *writer) room() error {
	if w.now != nil && w.now.n < len(w.now.data) {
		return nil
	}
	if err := w.send(); err != nil {
		return err
	}
	if w.now != nil {
		return nil
	}
	now, err := w.lender.get(w.ctx)
	w.now = now
	if err != nil {
		return w.b.explain(w.ctx, "upload a part", err)
	}
	return nil
}

// send uploads the present buffer as a part, in the background.
func (w *writer) send() error {
	if w.now == nil {
		return nil
	}
	if w.parts == nil {
		parts, err := w.b.assemble(w.ctx, w.o, w.lender)
		if err != nil {
			return err
		}
		w.parts = parts
	}
	part := w.now
	w.now = nil
	return w.parts.add(part)
}

// Close commits what was written, unless the context has ended. A second call is an error.
func (w *writer) Close() error {
	defer w.release()
	err := w.err
	w.err = errClosed
	if err == nil && w.ctx.Err() != nil {
		err = w.b.explain(w.ctx, "write", w.ctx.Err())
	}
	if err != nil {
		return errors.Join(err, w.abandon())
	}
	if w.parts == nil {
		return w.single()
	}
	if w.now != nil && w.now.n > 0 {
		if err := w.parts.last(w.now); err != nil {
			w.now = nil
			return errors.Join(err, w.abandon())
		}
		w.now = nil
	}
	done, err := w.parts.commit()
	if err != nil {
		return errors.Join(err, w.abandon())
	}
	return w.finish(done)
}

// abandon removes what is there of the object.
func (w *writer) abandon() error {
	if w.parts == nil {
		return nil
	}
	return w.parts.abort()
}

// release gives the memory back.
func (w *writer) release() {
	if w.now != nil {
		w.lender.put(w.now)
		w.now = nil
	}
	w.small = nil
	w.lender.close()
}

// outcome is a committed object.
type outcome struct {
	// crc is that of all bytes; confirmed, that the store has computed the same.
	crc       uint32
	confirmed bool
	version   *string
	// etag is empty where the answer was lost.
	etag string
}

// finish makes sure that what was asked for beside the bytes has come about, and says what the store has confirmed.
func (w *writer) finish(done outcome) error {
	if !w.o.lock.IsZero() {
		if err := w.b.held(w.ctx, w.o, done); err != nil {
			return err
		}
	}
	if done.confirmed {
		w.upload.Confirm(done.crc)
	}
	return nil
}

// held looks whether the object is locked as it should be: there are stores that accept a retention and do nothing. Such an object is removed.
func (b *bucket) held(ctx context.Context, o *object, done outcome) error {
	uctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	head, err := b.s3.HeadObject(uctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &o.key, VersionId: versionOf(done)})
	if err != nil {
		return b.explain(uctx, "look up the retention", err)
	}
	if until := head.ObjectLockRetainUntilDate; until != nil && !until.Before(o.lock.Until.Truncate(time.Second)) {
		return nil
	}
	refused := noLock.Failure("write", "it has taken the object but not its retention")
	refused.Cause = errAnswer
	return errors.Join(refused, b.remove(uctx, o.key, versionOf(done)))
}

// single commits a stream that fits into one request.
func (w *writer) single() error {
	data, crc := w.small, crc32.Checksum(w.small, castagnoli)
	if w.now != nil {
		data, crc = w.now.bytes(), w.now.crc
	}
	if w.upload.Content != nil {
		data, crc = w.upload.Content, crc32.Checksum(w.upload.Content, castagnoli)
		if w.whole != len(data) {
			return fmt.Errorf("write object %q: %d bytes were written, not the %d that were announced", w.o.key, w.whole, len(data))
		}
	}
	done, err := w.b.put(w.ctx, w.o, data, crc)
	if err != nil {
		return err
	}
	return w.finish(done)
}
