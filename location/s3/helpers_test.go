package s3

import (
	"context"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
)

// confirmedOf is the upload of a driver that has confirmed these bytes.
func confirmedOf(data []byte) location.Upload {
	var up location.Upload
	up.Confirm(crc32.Checksum(data, castagnoli))
	return up
}

// open opens the location with this package.
func open(t *testing.T, loc *location.Location, opts *Options) *blob.Bucket {
	t.Helper()
	b, err := New(t.Context(), loc, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// stream is n bytes that look random and are the same for the same seed.
func stream(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

func content(t *testing.T, seed byte, n int64) []byte {
	t.Helper()
	all, err := io.ReadAll(stream(seed, n))
	require.NoError(t, err)
	return all
}

// write writes the stream and returns whether the driver has confirmed it and as what.
func write(ctx context.Context, b *blob.Bucket, key string, r io.Reader, opts *blob.WriterOptions) (*location.Upload, error) {
	var up *location.Upload
	if opts == nil {
		opts = &blob.WriterOptions{}
	}
	before := opts.BeforeWrite
	opts.ContentType = "application/octet-stream"
	opts.BeforeWrite = func(as func(any) bool) error {
		if !as(&up) {
			panic("the driver knows no uploads")
		}
		if before != nil {
			return before(func(any) bool { return false })
		}
		return nil
	}
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	w, err := b.NewWriter(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(struct{ io.Writer }{w}, r); err != nil {
		abort()
		_ = w.Close()
		return nil, err
	}
	return up, w.Close()
}
