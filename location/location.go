// Package location holds data: a Location says where and with which credential, a Bucket reads and writes there, verified.
package location

import (
	"context"
	"io"
	"iter"
	"time"

	"gocloud.dev/blob"
)

// Location is where data goes: the location of a profile and its credential.
type Location struct {
	// Type is file, s3Compliant, gcs or azure.
	Type string
	// Bucket is the bucket or container; the absolute path of the folder for a file location.
	Bucket, Endpoint, Prefix, Region string
	// SkipSSLVerify is insecure.
	SkipSSLVerify bool
}

// ParseProfile reads a profile's JSON as templates render it (toJson .Profile) and as in-pod tools are given it.
func ParseProfile(profile []byte) (*Location, error) { return &Location{}, nil }

// Opener opens the blob bucket of one type of location.
type Opener func(ctx context.Context, loc *Location) (*blob.Bucket, error)

// Open opens the location with the opener of its type.
func Open(ctx context.Context, loc *Location, openers map[string]Opener, opts *Options) (*Bucket, error) {
	return &Bucket{}, nil
}

// Options of a bucket. Nil and zero are ready to use.
type Options struct {
	// Prefix is put before every key. Default none.
	Prefix string
}

// Bucket is a portable type over a blob bucket: writes are all or nothing and read back, reads are verified.
type Bucket struct{}

// New makes a bucket; Close closes b.
func New(b *blob.Bucket, opts *Options) *Bucket { return &Bucket{} }

// Close closes the blob bucket.
func (b *Bucket) Close() error { return nil }

// Info describes an object.
type Info struct {
	Key     string
	Size    int64
	SHA256  string // lower-case hex; empty when it was never recorded
	ModTime time.Time
}

// WriteOptions may be nil.
type WriteOptions struct {
	// Progress is called with the bytes written so far, at most some times a second. Default none.
	Progress func(bytes int64)
}

// Write stores everything r gives under key, all or nothing, records size and SHA-256, reads it back and compares.
func (b *Bucket) Write(ctx context.Context, key string, r io.Reader, opts *WriteOptions) (Info, error) {
	return Info{}, nil
}

// Read copies the object to w and verifies it. What w got before an error must not be used.
func (b *Bucket) Read(ctx context.Context, key string, w io.Writer, opts *ReadOptions) (Info, error) {
	return Info{}, nil
}

// ReadOptions may be nil.
type ReadOptions struct {
	Progress func(bytes int64)
}

// Verify reads the object and compares it with what was recorded.
func (b *Bucket) Verify(ctx context.Context, key string) (Info, error) { return Info{}, nil }

// List yields the objects at key prefix and below it (prefix itself, or prefix followed by a slash), sorted, in constant memory.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[Info, error] { return nil }

// Delete removes what List yields and returns how many objects that were. An empty prefix is refused.
func (b *Bucket) Delete(ctx context.Context, prefix string) (int, error) { return 0, nil }
