package location_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
)

func create(t *testing.T, b *location.Bucket, content string) error {
	t.Helper()
	_, err := b.Write(t.Context(), "k", strings.NewReader(content), &location.WriteOptions{IfNotExist: true})
	return err
}

func reads(t *testing.T, b *location.Bucket, want string) {
	t.Helper()
	var got bytes.Buffer
	info, err := b.Read(t.Context(), "k", &got, nil)
	require.NoError(t, err)
	require.Equal(t, want, got.String())
	require.NotEmpty(t, info.SHA256)
}

func TestCreate(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	b := location.New(raw, nil)
	require.NoError(t, create(t, b, "first"))
	require.ErrorIs(t, create(t, b, "second"), location.ErrExists)
	reads(t, b, "first")
	require.Equal(t, []string{".davit/sum/k.json", "k"}, rawKeys(t, raw))
}

// A create that died between its record and its object is in nobody's way, and a third one that died after its object is recorded.
func TestCreateBesideTheDead(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	dies := func(op locationtest.Op, at int) *location.Bucket {
		n := 0
		return location.New(locationtest.Faulty(raw, locationtest.Faults{Before: func(_ context.Context, is locationtest.Op, key string) error {
			if is == op {
				if n++; n >= at {
					return errBoom
				}
			}
			return nil
		}}), nil)
	}
	require.Error(t, create(t, dies(locationtest.OpCommit, 2), "the first dies with its record"))
	require.Equal(t, []string{".davit/sum/k.json"}, rawKeys(t, raw))

	// The second one has its record beside the first one's, its object, and no time to tidy.
	err := create(t, dies(locationtest.OpCommit, 4), "the second has an object")
	require.ErrorIs(t, err, errBoom)
	b := location.New(raw, nil)
	if exists, err := raw.Exists(t.Context(), "k"); err == nil && exists {
		reads(t, b, "the second has an object")
		require.ErrorIs(t, create(t, b, "third"), location.ErrExists)
	} else {
		require.NoError(t, create(t, b, "third"))
		reads(t, b, "third")
	}
	_, err = b.Delete(t.Context(), "k")
	require.NoError(t, err)
	require.Empty(t, rawKeys(t, raw), "records of the dead go with the object")
	require.NoError(t, create(t, b, "again"))
	reads(t, b, "again")
}

// vouching is a store that says what it has.
type vouching struct {
	wrapblob.Bucket
	crc       uint32
	retention location.Retention
	reads     []string
}

func (d *vouching) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	up := &location.Upload{}
	err := opts.BeforeWrite(func(i any) bool {
		p, ok := i.(**location.Upload)
		if ok {
			*p = up
		}
		return ok
	})
	if err != nil {
		return nil, err
	}
	d.retention = up.Retention
	up.Confirm(d.crc)
	return d.Bucket.NewTypedWriter(ctx, key, contentType, &driver.WriterOptions{IfNotExist: opts.IfNotExist})
}

func (d *vouching) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	d.reads = append(d.reads, key)
	return d.Bucket.NewRangeReader(ctx, key, offset, length, opts)
}

func TestWhatTheStoreConfirmsIsNotReadBack(t *testing.T) {
	d := &vouching{Bucket: wrapblob.Bucket{B: memblob.OpenBucket(nil)}, crc: 0x9a71bb4c} // CRC-32C of hello
	raw := blob.NewBucket(d)
	_, err := location.New(raw, nil).Write(t.Context(), "k", strings.NewReader("hello"), nil)
	require.NoError(t, err)
	require.NotContains(t, d.reads, "k")

	_, err = location.New(raw, &location.Options{ReadBack: true}).Write(t.Context(), "k", strings.NewReader("hello"), nil)
	require.NoError(t, err)
	require.Contains(t, d.reads, "k")

	d.crc++
	_, err = location.New(raw, nil).Write(t.Context(), "k", strings.NewReader("hello"), nil)
	require.ErrorIs(t, err, location.ErrCorrupt)
	require.ErrorContains(t, err, "the store's checksum is 9a71bb4d, that of what was written 9a71bb4c")
	require.Empty(t, rawKeys(t, d.B), "what is not what was written does not stay")
}

func TestRetention(t *testing.T) {
	opts := &location.WriteOptions{Retention: location.Retention{Until: time.Now().Add(time.Hour), Compliance: true}}
	raw := memblob.OpenBucket(nil)
	_, err := location.New(raw, nil).Write(t.Context(), "k", strings.NewReader("hello"), opts)
	require.ErrorIs(t, err, location.ErrUnsupported)
	require.Empty(t, rawKeys(t, raw))

	d := &vouching{Bucket: wrapblob.Bucket{B: raw}, crc: 0x9a71bb4c}
	_, err = location.New(blob.NewBucket(d), nil).Write(t.Context(), "k", strings.NewReader("hello"), opts)
	require.NoError(t, err)
	require.Equal(t, opts.Retention, d.retention)
}
