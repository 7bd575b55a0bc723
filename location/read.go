package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ReadOptions may be nil.
type ReadOptions struct {
	// Progress is called with the bytes read from the store so far, at most four times a second and once at the end of the stream.
	// It must not block. Default none.
	Progress func(bytes int64)
}

// Read copies the object to w, back through the codecs it was written with, and verifies it. What w got before an error must not be used.
//
// Where the driver can tell versions apart, a connection that breaks is made again, and when one connection gives little, the rest of a large object is read in several
// ranges at once. An object that is replaced meanwhile is an error then.
//
// An absent object is ErrNotFound. One that is not as recorded is ErrCorrupt; if its size already shows that, w gets
// nothing. An object that was never recorded is read all the same; its Info has no SHA256. One that needs a codec that the bucket does not have, or lacks
// one that the bucket requires, is ErrCodec, and w gets nothing.
func (b *Bucket) Read(ctx context.Context, key string, w io.Writer, opts *ReadOptions) (Info, error) {
	return b.read(ctx, key, w, opts, true)
}

// Verify reads the object and compares it with what was recorded. One that was never recorded is ErrUnverified. It needs no codec.
func (b *Bucket) Verify(ctx context.Context, key string) (Info, error) {
	info, err := b.read(ctx, key, io.Discard, nil, false)
	if err == nil && info.SHA256 == "" {
		return info, fmt.Errorf("verify object %q: %w", info.Key, ErrUnverified)
	}
	return info, err
}

func (b *Bucket) read(ctx context.Context, key string, w io.Writer, opts *ReadOptions, decode bool) (Info, error) {
	full, err := b.fullKey(key)
	if err != nil {
		return Info{}, err
	}
	rec, err := b.readRecord(ctx, full)
	if err != nil {
		return Info{}, err
	}
	var progress func(int64)
	if opts != nil {
		progress = opts.Progress
	}
	d, err := b.download(ctx, full, rec)
	if err != nil {
		return Info{}, err
	}
	defer d.close()
	info, err := d.written(ctx)
	if err != nil {
		return Info{}, err
	}
	var got measured
	if decode && (len(info.Codecs) > 0 || b.requires()) {
		if err := b.readable(full, info.Codecs); err != nil {
			return Info{}, err
		}
		got, info.Content, err = d.decoded(ctx, info, w, progress)
	} else {
		got, err = d.copyTo(ctx, w, progress)
	}
	if err != nil || d.rec == nil {
		return info, err
	}
	matches := func(r *record) bool { return r.matches(got.size, got.sum) }
	if !matches(d.rec) {
		if now, err := b.recordOf(ctx, full, matches); err != nil || now == nil {
			return Info{}, corrupt(full, d.rec, got.size, got.sum)
		}
	}
	info.SHA256 = got.sum
	return info, nil
}

// measured is what a read found.
type measured struct {
	size    int64
	sum     string
	modTime time.Time
}

// measure reads the object as it is stored, to nowhere.
func (b *Bucket) measure(ctx context.Context, full string) (measured, error) {
	d, err := b.download(ctx, full, nil)
	if err != nil {
		return measured{}, err
	}
	defer d.close()
	return d.copyTo(ctx, io.Discard, nil)
}

// copyTo copies the whole object. A stream that is shorter or longer than the store says the object is, is an error.
func (d *download) copyTo(ctx context.Context, w io.Writer, progress func(int64)) (measured, error) {
	m := newMeter(progress)
	err := d.stream(ctx, w, m)
	if errors.Is(err, errSlow) {
		err = d.ranges(ctx, m.size, w, m)
	}
	if err != nil {
		return measured{}, d.b.failed(ctx, "read object", d.full, err)
	}
	if m.size != d.size {
		return measured{}, fmt.Errorf("%w: object %q gave %s, the store says it has %d", ErrCorrupt, d.full, gave(m.size, d.size), d.size)
	}
	m.done()
	return measured{m.size, m.sum(), d.modTime}, nil
}

func gave(got, want int64) string {
	if got > want {
		return "more bytes than it has"
	}
	return fmt.Sprintf("%d bytes", got)
}

func handOver(w io.Writer, p []byte, m *meter) error {
	m.add(p)
	if wrote, err := w.Write(p); err != nil {
		return &callers{fmt.Errorf("hand over what was read: %w", err)}
	} else if wrote != len(p) {
		return &callers{fmt.Errorf("hand over what was read: %w", io.ErrShortWrite)}
	}
	return nil
}

func (b *Bucket) absentOr(ctx context.Context, verb, full string, err error) error {
	if isAbsent(err) {
		return fmt.Errorf("%s %q: %w", verb, full, ErrNotFound)
	}
	return b.failed(ctx, verb, full, err)
}
