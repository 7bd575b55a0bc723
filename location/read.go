package location

import (
	"context"
	"fmt"
	"io"
	"time"
)

// ReadOptions may be nil.
type ReadOptions struct {
	// Progress is called with the bytes read so far, at most four times a second and once at the end of the stream.
	// It must not block. Default none.
	Progress func(bytes int64)
}

// Read copies the object to w and verifies it. What w got before an error must not be used.
//
// An absent object is ErrNotFound. One that is not as recorded is ErrCorrupt; if its size already shows that, w gets
// nothing. An object that was never recorded is read all the same; its Info has no SHA256.
func (b *Bucket) Read(ctx context.Context, key string, w io.Writer, opts *ReadOptions) (Info, error) {
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
	got, err := b.measure(ctx, full, w, rec, progress)
	if err != nil {
		return Info{}, err
	}
	info := Info{Key: b.relative(full), Size: got.size, ModTime: got.modTime}
	if rec == nil {
		return info, nil
	}
	if rec.matches(got.size, got.sum) {
		info.SHA256 = got.sum
		return info, nil
	}
	// The object may have been replaced between the two reads.
	if now, err := b.readRecord(ctx, full); err == nil && now != nil && now.matches(got.size, got.sum) {
		info.SHA256 = got.sum
		return info, nil
	}
	return Info{}, corrupt(full, rec, got.size, got.sum)
}

// Verify reads the object and compares it with what was recorded. One that was never recorded is ErrUnverified.
func (b *Bucket) Verify(ctx context.Context, key string) (Info, error) {
	info, err := b.Read(ctx, key, io.Discard, nil)
	if err == nil && info.SHA256 == "" {
		return info, fmt.Errorf("verify object %q: %w", info.Key, ErrUnverified)
	}
	return info, err
}

// measured is what a read found.
type measured struct {
	size    int64
	sum     string
	modTime time.Time
}

// measure copies the object to w. If rec is not nil, an object whose size cannot match it is refused unread. A stream that
// is shorter or longer than the store says the object is, is an error.
func (b *Bucket) measure(ctx context.Context, full string, w io.Writer, rec *record, progress func(int64)) (measured, error) {
	r, err := b.blob.NewReader(ctx, full, nil)
	if err != nil {
		return measured{}, b.absentOr(ctx, "read object", full, err)
	}
	defer func() { _ = r.Close() }()
	if rec != nil && !rec.hasSize(r.Size()) {
		if now, err := b.readRecord(ctx, full); err != nil || now == nil || !now.hasSize(r.Size()) {
			return measured{}, corrupt(full, rec, r.Size(), "")
		}
	}
	m := newMeter(progress)
	if err := b.copyOut(ctx, w, io.LimitReader(r, r.Size()+1), m); err != nil {
		return measured{}, failed(ctx, "read object", full, err)
	}
	if m.size != r.Size() {
		return measured{}, fmt.Errorf("%w: object %q gave %s, the store says it has %d", ErrCorrupt, full, gave(m.size, r.Size()), r.Size())
	}
	m.done()
	return measured{m.size, m.sum(), r.ModTime()}, nil
}

func gave(got, want int64) string {
	if got > want {
		return "more bytes than it has"
	}
	return fmt.Sprintf("%d bytes", got)
}

func (b *Bucket) copyOut(ctx context.Context, w io.Writer, r io.Reader, m *meter) error {
	buf := b.buffers.Get().(*buffer)
	defer b.buffers.Put(buf)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := r.Read(buf[:])
		if n > 0 {
			m.add(buf[:n])
			if wrote, werr := w.Write(buf[:n]); werr != nil {
				return &callers{fmt.Errorf("hand over what was read: %w", werr)}
			} else if wrote != n {
				return fmt.Errorf("hand over what was read: %w", io.ErrShortWrite)
			}
		}
		if err == io.EOF { // a reader that wraps io.EOF reports a failure
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (b *Bucket) absentOr(ctx context.Context, verb, full string, err error) error {
	if isAbsent(err) {
		return fmt.Errorf("%s %q: %w", verb, full, ErrNotFound)
	}
	return failed(ctx, verb, full, err)
}
