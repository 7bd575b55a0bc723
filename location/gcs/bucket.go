package gcs

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/iterator"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

// bucket is gcsblob's with a writer that confirms, and errors that say what to do.
type bucket struct {
	wrapblob.Bucket
	http    *httpClient
	objects *storage.BucketHandle
	pauses  gax.Backoff
	// there is set once it is known that the bucket exists.
	there atomic.Bool
}

var _ driver.Bucket = (*bucket)(nil)

// ErrorCode is that of gocloud for the error. gcsblob's takes what is forbidden for what is absent.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode { return storefault.Code(err) }

// As knows the names of the rights, beside what gcsblob does.
func (b *bucket) As(i any) bool {
	if p, ok := i.(*location.Permissions); ok {
		*p = location.Permissions{List: "storage.objects.list", Read: "storage.objects.get", Write: "storage.objects.create, and storage.objects.delete to replace",
			Delete: "storage.objects.delete"}
		return true
	}
	return b.Bucket.As(i)
}

// Attributes hides the identity of the write.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := b.Bucket.Attributes(ctx, key)
	if err != nil {
		return nil, b.ofObject(ctx, "look up", err)
	}
	b.there.Store(true)
	maps.DeleteFunc(a.Metadata, func(k, _ string) bool { return strings.EqualFold(k, identity) })
	return a, nil
}

// ListPaged lists.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	page, err := b.Bucket.ListPaged(ctx, opts)
	if err == nil {
		b.there.Store(true)
		wrapblob.Names(page, nameOf)
		return page, nil
	}
	if err = b.http.explain(ctx, "list", err); errors.Is(err, location.ErrNotFound) {
		return nil, noBucket.Failure("list", "it has none of that name")
	}
	return nil, err
}

// nameOf is an object's name, or a folder's.
func nameOf(o *driver.ListObject) *string {
	var object storage.ObjectAttrs
	if !o.AsFunc(&object) {
		return nil
	}
	if o.IsDir {
		return &object.Prefix
	}
	return &object.Name
}

// Copy copies within the store.
func (b *bucket) Copy(ctx context.Context, dst, src string, opts *driver.CopyOptions) error {
	return b.ofObject(ctx, "copy", b.Bucket.Copy(ctx, dst, src, opts))
}

// Delete deletes the object; in a bucket with versions, it hides it.
func (b *bucket) Delete(ctx context.Context, key string) error {
	return b.ofObject(ctx, "delete", b.Bucket.Delete(ctx, key))
}

// SignedURL needs what the opener does not keep.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", &storefault.Failure{Kind: location.ErrUnsupported, Code: gcerrors.Unimplemented, Text: "a gcs location makes no signed URLs"}
}

// NewRangeReader reads the object as it is stored, compressed or not.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	before := opts.BeforeRead
	asStored := func(as func(any) bool) error {
		var object **storage.ObjectHandle
		if as(&object) {
			*object = (*object).ReadCompressed(true)
		}
		if before == nil {
			return nil
		}
		return before(as)
	}
	r, err := b.Bucket.NewRangeReader(ctx, key, offset, length, &driver.ReaderOptions{BeforeRead: asStored})
	if err != nil {
		return nil, b.ofObject(ctx, "read", err)
	}
	b.there.Store(true)
	var etag location.ETag
	var got *storage.Reader
	if r.As(&got) && got.Attrs.Generation > 0 {
		etag = location.ETag(strconv.FormatInt(got.Attrs.Generation, 10))
	}
	return &wrapblob.Versioned{Reader: r, ETag: etag, Explain: func(err error) error { return b.http.explain(ctx, "read", err) }}, nil
}

// ofObject explains an error of one object. That an object is absent and that the bucket is have one answer; the bucket is asked for, once.
func (b *bucket) ofObject(ctx context.Context, verb string, err error) error {
	if err = b.http.explain(ctx, verb, err); err == nil || !errors.Is(err, location.ErrNotFound) || b.there.Load() {
		return err
	}
	it := b.objects.Objects(ctx, &storage.Query{Projection: storage.ProjectionNoACL})
	it.PageInfo().MaxSize = 1
	_, listed := it.Next()
	switch {
	case listed == nil, errors.Is(listed, iterator.Done):
		b.there.Store(true)
		return err
	case errors.Is(b.http.explain(ctx, verb, listed), location.ErrNotFound):
		return noBucket.Failure(verb, "it has none of that name")
	default:
		return err // who may not list learns no more
	}
}
