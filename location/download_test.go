package location_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

// versioned is a store that tells versions apart, so that it is read in ranges, and whose connections can break.
type versioned struct {
	wrapblob.Bucket
	// breaks tells for a request from where and how much of it is given before it breaks; -1 is all.
	breaks func(request int64, offset int64) int64
	// pause is how long every read takes.
	pause time.Duration
	// replaced is called before each request.
	replaced func(request int64)

	requests atomic.Int64
	mu       sync.Mutex
	offsets  []int64
}

func (d *versioned) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	n := d.requests.Add(1)
	if d.replaced != nil {
		d.replaced(n)
	}
	attrs, err := d.B.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	r, err := d.Bucket.NewRangeReader(ctx, key, offset, length, opts)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.offsets = append(d.offsets, offset)
	d.mu.Unlock()
	v := &version{Reader: r, in: r, etag: location.ETag(attrs.ETag), pause: d.pause}
	if give := d.gives(n, offset); give >= 0 {
		v.in = io.MultiReader(io.LimitReader(r, give), broken{})
	}
	return v, nil
}

func (d *versioned) gives(n, offset int64) int64 {
	if d.breaks == nil {
		return -1
	}
	return d.breaks(n, offset)
}

type version struct {
	driver.Reader
	in    io.Reader
	etag  location.ETag
	pause time.Duration
}

func (v *version) Read(p []byte) (int, error) {
	time.Sleep(v.pause) // in the bubble's clock
	return v.in.Read(p)
}

func (v *version) As(i any) bool {
	if p, ok := i.(*location.ETag); ok {
		*p = v.etag
		return true
	}
	return v.Reader.As(i)
}

type broken struct{}

var errReset = errors.New("connection reset by peer")

func (broken) Read([]byte) (int, error) { return 0, errReset }

func noise(t *testing.T, size int) []byte {
	t.Helper()
	p := make([]byte, size)
	_, err := rand.Read(p)
	require.NoError(t, err)
	return p
}

func versionedWith(t *testing.T, content []byte) (*versioned, *location.Bucket) {
	t.Helper()
	d := &versioned{Bucket: wrapblob.Bucket{B: memblob.OpenBucket(nil)}}
	b := location.New(blob.NewBucket(d), nil)
	_, err := b.Write(t.Context(), "k", bytes.NewReader(content), nil)
	require.NoError(t, err)
	d.requests.Store(0)
	d.offsets = nil
	return d, b
}

// A connection that gives little is helped out by others; one that is fast stays alone.
func TestReadInRanges(t *testing.T) {
	const part = 8 << 20
	for _, slow := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			for _, size := range []int{0, 1, part, 2 * part, 3 * part, 3*part + 1, 5*part + 17} {
				content := noise(t, size)
				d, b := versionedWith(t, content)
				if slow {
					d.pause = 10 * time.Millisecond // for 256 KiB
				}
				var got bytes.Buffer
				info, err := b.Read(t.Context(), "k", &got, nil)
				require.NoError(t, err, size)
				require.True(t, bytes.Equal(content, got.Bytes()), size)
				require.EqualValues(t, size, info.Size)
				want := []int64{0, 0} // the record and the stream
				for at := 2 * part; slow && size > 3*part && at < size; at += part {
					want = append(want, int64(at))
				}
				slices.Sort(d.offsets)
				require.Equal(t, want, d.offsets, "%d bytes, slow: %v", size, slow)
			}
		})
	}
}

// Connections that break again and again are made again, from where they broke, in ranges and in one stream.
func TestReadOverBrokenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{3 << 20, 20 << 20, 40 << 20} {
			content := noise(t, size)
			d, b := versionedWith(t, content)
			if size == 40<<20 {
				d.pause = 10 * time.Millisecond
			}
			d.breaks = func(request, _ int64) int64 {
				return 1 << 20 * (request % 3) // sometimes nothing at all
			}
			var got bytes.Buffer
			_, err := b.Read(t.Context(), "k", &got, nil)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got.Bytes()))
			require.Greater(t, len(d.offsets), 3)
		}
	})
}

func TestReadGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := versionedWith(t, noise(t, 20<<20))
		d.breaks = func(_, offset int64) int64 {
			if offset == 0 {
				return 16 << 20
			}
			return 0
		}
		var got bytes.Buffer
		_, err := b.Read(t.Context(), "k", &got, nil)
		require.ErrorIs(t, err, errReset)
		require.ErrorContains(t, err, `read object "k"`)
		require.EqualValues(t, 1+6, d.requests.Load(), "the record and six tries in all, one of which has given something")
	})
}

// What is read is of one write, also if it has no record.
func TestReplacedWhileRead(t *testing.T) {
	for _, recorded := range []bool{true, false} {
		for _, size := range []int{6 << 20, 40 << 20} {
			d, b := versionedWith(t, noise(t, size))
			if size > 20<<20 {
				d.pause = 2 * time.Millisecond
			}
			if !recorded {
				require.NoError(t, d.B.Delete(t.Context(), ".davit/sum/k.json"))
			}
			other := noise(t, size)
			d.breaks = func(_, _ int64) int64 { return 5 << 20 }
			d.replaced = func(request int64) {
				if request == 3 {
					require.NoError(t, d.B.WriteAll(t.Context(), "k", other, nil))
				}
			}
			_, err := b.Read(t.Context(), "k", io.Discard, nil)
			require.ErrorContains(t, err, "replaced while it was read", "%v %d", recorded, size)
		}
	}
}

func TestReadIntoAWriterThatFailsEndsAllRanges(t *testing.T) {
	d, b := versionedWith(t, noise(t, 40<<20))
	d.pause = 2 * time.Millisecond
	n := 0
	_, err := b.Read(t.Context(), "k", writerFunc(func(p []byte) (int, error) {
		if n += len(p); n > 20<<20 {
			return 0, errReset
		}
		return len(p), nil
	}), nil)
	require.ErrorIs(t, err, errReset)
	require.LessOrEqual(t, d.requests.Load(), int64(2+3), "no range is read anew")
	require.NoError(t, b.Close())
}

func TestReadInRangesIsCancelled(t *testing.T) {
	d, b := versionedWith(t, noise(t, 40<<20))
	d.pause = 2 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := b.Read(ctx, "k", writerFunc(func(p []byte) (int, error) {
		if n += len(p); n > 20<<20 {
			cancel()
		}
		return len(p), nil
	}), nil)
	require.ErrorIs(t, err, context.Canceled)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// batching deletes in batches.
type batching struct {
	wrapblob.Bucket
	batches [][]string
	refuse  func(keys []string) (map[string]error, error)
}

func (d *batching) As(i any) bool {
	if p, ok := i.(*location.BatchDeleter); ok {
		*p = d
		return true
	}
	return d.Bucket.As(i)
}

func (d *batching) MaxBatch() int { return 10 }

func (d *batching) DeleteBatch(ctx context.Context, keys []string) (map[string]error, error) {
	d.batches = append(d.batches, append([]string(nil), keys...))
	if d.refuse != nil {
		return d.refuse(keys)
	}
	for _, key := range keys {
		if err := d.B.Delete(ctx, key); err != nil {
			return map[string]error{key: err}, nil //nolint:nilerr // it is one key's
		}
	}
	return nil, nil
}

func TestDeleteInBatches(t *testing.T) {
	d := &batching{Bucket: wrapblob.Bucket{B: memblob.OpenBucket(nil)}}
	b := location.New(blob.NewBucket(d), nil)
	for i := range 25 {
		_, err := b.Write(t.Context(), fmt.Sprintf("d/%d", i), bytes.NewReader(nil), nil)
		require.NoError(t, err)
	}
	d.refuse = func([]string) (map[string]error, error) { return nil, errReset }
	n, err := b.Delete(t.Context(), "d")
	require.ErrorIs(t, err, errReset)
	require.Zero(t, n)
	d.refuse = func(keys []string) (map[string]error, error) { return map[string]error{keys[0]: errReset}, nil }
	_, err = b.Delete(t.Context(), "d")
	require.ErrorIs(t, err, errReset)

	d.refuse, d.batches = nil, nil
	n, err = b.Delete(t.Context(), "d")
	require.NoError(t, err)
	require.Equal(t, 25, n)
	require.Len(t, d.batches, 6, "objects and records, ten at a time")
	require.Empty(t, rawKeys(t, d.B))
}
