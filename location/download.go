package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const (
	// rangeSize is what one request of a read in ranges asks for; rangeReaders of them are under way at once.
	rangeSize    = 8 << 20
	rangeReaders = 4

	// A stream goes on in ranges when one connection gives less than slowRate bytes a second, looked at every slowWindow bytes: that is what most stores
	// give one connection over a network. Faster than that, more connections only cost more.
	slowRate   = 200_000_000
	slowWindow = 16 << 20

	// readTries is how often in a row a read may fail without having given a byte; the pauses between them double from firstPause to lastPause.
	readTries  = 6
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// download is one version of an object.
type download struct {
	b       *Bucket
	full    string
	size    int64
	modTime time.Time
	etag    ETag
	// rec is the record that it can match by its size; nil if there is none.
	rec   *record
	first *blob.Reader
	// stop ends what reads first.
	stop context.CancelFunc
}

// download begins to read. If rec is not nil, an object whose size cannot match it is refused unread.
func (b *Bucket) download(ctx context.Context, full string, rec *record) (*download, error) {
	reading, stop := context.WithCancel(ctx)
	d := &download{b: b, full: full, stop: stop}
	if err := d.open(reading); err != nil {
		stop()
		return nil, b.absentOr(ctx, "read object", full, err)
	}
	if rec != nil && !rec.hasSize(d.size) {
		now, err := b.recordOf(ctx, full, func(r *record) bool { return r.hasSize(d.size) })
		if err != nil || now == nil {
			d.close()
			return nil, corrupt(full, rec, d.size, "")
		}
		rec = now
	}
	d.rec = rec
	return d, nil
}

func (d *download) open(ctx context.Context) error {
	r, err := d.b.blob.NewReader(ctx, d.full, nil)
	if err != nil {
		return err
	}
	d.first, d.size, d.modTime = r, r.Size(), r.ModTime()
	if !r.As(&d.etag) {
		d.etag = ""
	}
	return nil
}

func (d *download) close() {
	d.stop()
	if d.first != nil {
		_ = d.first.Close()
		d.first = nil
	}
}

// at reads from there, the same version of the object.
func (d *download) at(ctx context.Context, offset, length int64) (*blob.Reader, error) {
	if offset == 0 && d.first != nil {
		r := d.first
		d.first = nil
		return r, nil
	}
	r, err := d.b.blob.NewRangeReader(ctx, d.full, offset, length, nil)
	if err != nil {
		return nil, err
	}
	var etag ETag
	if r.Size() != d.size || d.etag != "" && (!r.As(&etag) || etag != d.etag) {
		_ = r.Close()
		return nil, errReplaced
	}
	return r, nil
}

var errReplaced = errors.New("the object was replaced while it was read: read it again")

// errSlow means that a stream should go on in ranges.
var errSlow = errors.New("one connection gives too little")

// stream reads from the first byte to the last, or until it is found to be slow. What was read is hashed at once, while the processor has it at hand.
func (d *download) stream(ctx context.Context, w io.Writer, m *meter) error {
	buf := d.b.large.Get().(*[readSize]byte)
	defer d.b.large.Put(buf)
	return d.persist(ctx, 0, -1, func(r io.Reader) (n int64, err error) {
		// One byte more than there should be shows that there is more.
		r = io.LimitReader(r, d.size+1-m.size)
		looked, took := int64(0), time.Duration(0)
		for {
			if err := context.Cause(ctx); err != nil {
				return n, err
			}
			began := time.Now()
			got, err := r.Read(buf[:])
			took += time.Since(began)
			if got > 0 {
				n += int64(got)
				if err := handOver(w, buf[:got], m); err != nil {
					return n, err
				}
			}
			switch {
			case err == io.EOF: // a reader that wraps io.EOF reports a failure
				return n, nil
			case err != nil:
				return n, err
			case n-looked >= slowWindow:
				if d.slow(n-looked, took) && d.size-m.size > rangeSize {
					return n, errSlow
				}
				looked, took = n, 0
			}
		}
	})
}

// slow tells whether one connection gives too little. Only versions that can be told apart are read over several.
func (d *download) slow(bytes int64, took time.Duration) bool {
	return d.etag != "" && float64(bytes) < slowRate*took.Seconds()
}

// persist lets read have a reader from offset on, again from where it came to when it fails for a reason that may pass. Only versions that can be
// told apart are read in more than one piece. A length of -1 is all.
func (d *download) persist(ctx context.Context, offset, length int64, read func(io.Reader) (int64, error)) error {
	end := offset + length
	pause := firstPause
	for tries := 1; ; tries++ {
		left := int64(-1)
		if length >= 0 {
			left = end - offset
		}
		n, err := d.once(ctx, offset, left, read)
		offset += n
		if n > 0 {
			tries, pause = 1, firstPause
		}
		switch {
		case err == nil || !d.retries(ctx, err):
			return err
		case offset >= d.size: // it broke behind the last byte
			return nil
		case tries >= readTries:
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // it need not be a secret
		}
		pause = min(2*pause, lastPause)
	}
}

func (d *download) once(ctx context.Context, offset, length int64, read func(io.Reader) (int64, error)) (int64, error) {
	r, err := d.at(ctx, offset, length)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	n, err := read(r)
	if err == nil && d.etag != "" && offset+n < d.size && (length < 0 || n < length) {
		err = fmt.Errorf("the stream ended after %d bytes: %w", n, io.ErrUnexpectedEOF)
	}
	return n, err
}

func (d *download) retries(ctx context.Context, err error) bool {
	return d.etag != "" && ctx.Err() == nil && transient(err)
}

// transient tells whether a failure may pass by itself.
func transient(err error) bool {
	if _, ok := errors.AsType[*callers](err); ok {
		return false
	}
	for _, lasting := range []error{errSlow, errReplaced, ErrNotFound, ErrNoBucket, ErrCredential, ErrClock, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.InvalidArgument, gcerrors.Unimplemented, gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		return false
	default:
		return true
	}
}

// ranges reads several ranges at once, from there on, and hands them over in order. It needs rangeReaders buffers of rangeSize bytes.
func (d *download) ranges(ctx context.Context, from int64, w io.Writer, m *meter) error {
	ctx, cancel := context.WithCancel(ctx)
	count := (d.size - from + rangeSize - 1) / rangeSize
	lanes := make([]*lane, min(rangeReaders, count))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i := range lanes {
		l := &lane{buf: make([]byte, rangeSize), full: make(chan filled), free: make(chan struct{}, 1), from: from + int64(i)*rangeSize, step: int64(len(lanes)) * rangeSize}
		l.free <- struct{}{}
		lanes[i] = l
		running.Go(func() { d.fill(ctx, l) })
	}
	for k := range count {
		l := lanes[k%int64(len(lanes))]
		var f filled
		select {
		case f = <-l.full:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if f.err != nil {
			return f.err
		}
		if err := handOver(w, l.buf[:f.n], m); err != nil {
			return err
		}
		l.free <- struct{}{}
	}
	return nil
}

// lane reads every so manieth range into its one buffer.
type lane struct {
	buf        []byte
	full       chan filled
	free       chan struct{}
	from, step int64
}

type filled struct {
	n   int64
	err error
}

func (d *download) fill(ctx context.Context, l *lane) {
	for offset := l.from; offset < d.size; offset += l.step {
		select {
		case <-l.free:
		case <-ctx.Done():
			return
		}
		want, got := min(rangeSize, d.size-offset), int64(0)
		err := d.persist(ctx, offset, want, func(r io.Reader) (int64, error) {
			n, err := io.ReadFull(r, l.buf[got:want])
			got += int64(n)
			return int64(n), err
		})
		select {
		case l.full <- filled{got, err}:
		case <-ctx.Done():
			return
		}
	}
}
