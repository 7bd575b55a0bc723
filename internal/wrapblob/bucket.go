// Package wrapblob is a driver over a blob bucket that changes nothing: what wraps one embeds it and changes what it wants.
package wrapblob

import (
	"context"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// Bucket passes every call on to B.
type Bucket struct {
	B *blob.Bucket
	// Idle ends connections that carry nothing; closing the bucket calls it last. May be nil.
	Idle func()
}

var _ driver.Bucket = (*Bucket)(nil)

// ErrorCode is that of the wrapped bucket's error.
func (d *Bucket) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }

// As asks the wrapped bucket.
func (d *Bucket) As(i any) bool { return d.B.As(i) }

// ErrorAs asks the wrapped bucket.
func (d *Bucket) ErrorAs(err error, i any) bool { return d.B.ErrorAs(err, i) }

// Close closes the wrapped bucket. Nothing may be under way.
func (d *Bucket) Close() error {
	err := d.B.Close()
	if d.Idle != nil {
		d.Idle()
	}
	return err
}

// Attributes asks the wrapped bucket.
func (d *Bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := d.B.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{ContentType: a.ContentType, Metadata: a.Metadata, CreateTime: a.CreateTime, ModTime: a.ModTime, Size: a.Size,
		MD5: a.MD5, ETag: a.ETag, AsFunc: a.As}, nil
}

// ListPaged asks the wrapped bucket.
func (d *Bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	token, size := opts.PageToken, opts.PageSize
	if token == nil {
		token = blob.FirstPageToken
	}
	if size == 0 {
		size = 1000
	}
	objects, next, err := d.B.ListPage(ctx, token, size, &blob.ListOptions{Prefix: opts.Prefix, Delimiter: opts.Delimiter, BeforeList: opts.BeforeList})
	if err != nil {
		return nil, err
	}
	page := &driver.ListPage{NextPageToken: next}
	for _, o := range objects {
		page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, ModTime: o.ModTime, Size: o.Size, MD5: o.MD5, IsDir: o.IsDir, AsFunc: o.As})
	}
	return page, nil
}

// NewRangeReader asks the wrapped bucket.
func (d *Bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := d.B.NewRangeReader(ctx, key, offset, length, &blob.ReaderOptions{BeforeRead: opts.BeforeRead})
	if err != nil {
		return nil, err
	}
	return &Reader{r}, nil
}

// Reader is a driver's reader over a blob's.
type Reader struct{ *blob.Reader }

// Attributes are those of the blob.
func (r *Reader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

// NewTypedWriter asks the wrapped bucket.
func (d *Bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	return d.B.NewWriter(ctx, key, WriterOptions(contentType, opts))
}

// WriterOptions are those of a driver as a bucket takes them.
func WriterOptions(contentType string, opts *driver.WriterOptions) *blob.WriterOptions {
	return &blob.WriterOptions{
		ContentType: contentType, DisableContentTypeDetection: contentType == "", BufferSize: opts.BufferSize, MaxConcurrency: opts.MaxConcurrency,
		CacheControl: opts.CacheControl, ContentDisposition: opts.ContentDisposition, ContentEncoding: opts.ContentEncoding,
		ContentLanguage: opts.ContentLanguage, ContentMD5: opts.ContentMD5, Metadata: opts.Metadata, BeforeWrite: opts.BeforeWrite,
		IfNotExist: opts.IfNotExist,
	}
}

// Copy asks the wrapped bucket.
func (d *Bucket) Copy(ctx context.Context, dst, src string, opts *driver.CopyOptions) error {
	return d.B.Copy(ctx, dst, src, &blob.CopyOptions{BeforeCopy: opts.BeforeCopy})
}

// Delete asks the wrapped bucket.
func (d *Bucket) Delete(ctx context.Context, key string) error { return d.B.Delete(ctx, key) }

// SignedURL asks the wrapped bucket.
func (d *Bucket) SignedURL(ctx context.Context, key string, opts *driver.SignedURLOptions) (string, error) {
	return d.B.SignedURL(ctx, key, &blob.SignedURLOptions{Expiry: opts.Expiry, Method: opts.Method, ContentType: opts.ContentType,
		EnforceAbsentContentType: opts.EnforceAbsentContentType, BeforeSign: opts.BeforeSign})
}
