package azure

import (
	"context"
	"io"
	"maps"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

// bucket is azureblob's with a writer of its own, and errors that say what to do.
type bucket struct {
	wrapblob.Bucket
	store  *store
	limits limits
}

var _ driver.Bucket = (*bucket)(nil)

// ErrorCode is that of gocloud for the error.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode { return codeOf(err) }

// As knows the names of the rights, beside what azureblob does.
func (b *bucket) As(i any) bool {
	const actions = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
	if p, ok := i.(*location.Permissions); ok {
		*p = location.Permissions{List: actions + "read", Read: actions + "read", Write: actions + "write", Delete: actions + "delete"}
		return true
	}
	return b.Bucket.As(i)
}

// Close ends idle connections too.
func (b *bucket) Close() error {
	err := b.Bucket.Close()
	for _, t := range b.store.transports {
		t.CloseIdleConnections()
	}
	return err
}

// Attributes hides the identity of the write.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := b.Bucket.Attributes(ctx, wrapblob.Key(key))
	if err != nil {
		return nil, b.store.explain(ctx, "look up", err)
	}
	maps.DeleteFunc(a.Metadata, func(k, _ string) bool { return isIdentity(k) })
	return a, nil
}

// ListPaged lists.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	with := *opts
	with.Prefix = wrapblob.Key(opts.Prefix)
	page, err := b.Bucket.ListPaged(ctx, &with)
	return page, b.store.explain(ctx, "list", err)
}

// Copy copies within the store.
func (b *bucket) Copy(ctx context.Context, dst, src string, opts *driver.CopyOptions) error {
	return b.store.explain(ctx, "copy", b.Bucket.Copy(ctx, wrapblob.Key(dst), wrapblob.Key(src), opts))
}

// Delete deletes the object; in an account with versions or soft deletion, it hides it.
func (b *bucket) Delete(ctx context.Context, key string) error {
	return b.store.explain(ctx, "delete", b.Bucket.Delete(ctx, wrapblob.Key(key)))
}

// SignedURL would hand out what this package keeps from view.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", &failure{location.ErrUnsupported, gcerrors.Unimplemented, "an azure location makes no signed URLs"}
}

// NewRangeReader reads.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.Bucket.NewRangeReader(ctx, wrapblob.Key(key), offset, length, opts)
	if err != nil {
		return nil, b.store.explain(ctx, "read", err)
	}
	return &reader{Reader: r, ctx: ctx, b: b}, nil
}

// reader knows its object's version, and explains its failures.
type reader struct {
	driver.Reader
	ctx context.Context
	b   *bucket
}

// Read reads.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped io.EOF is a failure
		err = r.b.store.explain(r.ctx, "read", err)
	}
	return n, err
}

// As answers for the ETag.
func (r *reader) As(i any) bool {
	p, ok := i.(*location.ETag)
	if !ok {
		return r.Reader.As(i)
	}
	var got azblob.DownloadStreamResponse
	if !r.Reader.As(&got) || got.ETag == nil || *got.ETag == "" {
		return false
	}
	*p = location.ETag(*got.ETag)
	return true
}
