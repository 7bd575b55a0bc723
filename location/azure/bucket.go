package azure

import (
	"context"
	"maps"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storefault"
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
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode { return storefault.Code(err) }

// As knows the names of the rights, beside what azureblob does.
func (b *bucket) As(i any) bool {
	const actions = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
	if p, ok := i.(*location.Permissions); ok {
		*p = location.Permissions{List: actions + "read", Read: actions + "read", Write: actions + "write", Delete: actions + "delete"}
		return true
	}
	return b.Bucket.As(i)
}

// Attributes hides the identity of the write.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := b.Bucket.Attributes(ctx, keyOf(key))
	if err != nil {
		return nil, b.store.explain(ctx, "look up", err)
	}
	maps.DeleteFunc(a.Metadata, func(k, _ string) bool { return isIdentity(k) })
	return a, nil
}

// ListPaged lists.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	with := *opts
	with.Prefix = keyOf(opts.Prefix)
	page, err := b.Bucket.ListPaged(ctx, &with)
	return page, b.store.explain(ctx, "list", err)
}

// Copy copies within the store.
func (b *bucket) Copy(ctx context.Context, dst, src string, opts *driver.CopyOptions) error {
	return b.store.explain(ctx, "copy", b.Bucket.Copy(ctx, keyOf(dst), keyOf(src), opts))
}

// Delete deletes the object; in an account with versions or soft deletion, it hides it.
func (b *bucket) Delete(ctx context.Context, key string) error {
	return b.store.explain(ctx, "delete", b.Bucket.Delete(ctx, keyOf(key)))
}

// SignedURL would hand out what this package keeps from view.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", &storefault.Failure{Kind: location.ErrUnsupported, Code: gcerrors.Unimplemented, Text: "an azure location makes no signed URLs"}
}

// NewRangeReader reads.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.Bucket.NewRangeReader(ctx, keyOf(key), offset, length, opts)
	if err != nil {
		return nil, b.store.explain(ctx, "read", err)
	}
	var etag location.ETag
	var got azblob.DownloadStreamResponse
	if r.As(&got) && got.ETag != nil {
		etag = location.ETag(*got.ETag)
	}
	return &wrapblob.Versioned{Reader: r, ETag: etag, Explain: func(err error) error { return b.store.explain(ctx, "read", err) }}, nil
}
