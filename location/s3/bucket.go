package s3

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

// bucket is s3blob's with a writer of its own and errors that say what to do.
type bucket struct {
	wrapblob.Bucket
	*client
	name, prefix string
	limits       limits
	buffers      *buffers
	// there tells that the bucket exists.
	there atomic.Bool
}

var (
	_ driver.Bucket         = (*bucket)(nil)
	_ location.BatchDeleter = (*bucket)(nil)
)

// ErrorCode is that of gocloud for the error.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode { return storefault.Code(err) }

// As knows the driver's parts of a location, beside what s3blob does.
func (b *bucket) As(i any) bool {
	switch p := i.(type) {
	case *location.BatchDeleter:
		*p = b
		return true
	case *location.Permissions:
		*p = location.Permissions{List: "s3:ListBucket", Read: "s3:GetObject", Write: "s3:PutObject", Delete: "s3:DeleteObject"}
		return true
	default:
		return b.Bucket.As(i)
	}
}

// absent finds out, once, whether it is the bucket that does not exist: a store answers to a look at an object alike.
func (b *bucket) absent(ctx context.Context, verb string, err error) error {
	if err = b.explain(ctx, verb, err); !errors.Is(err, location.ErrNotFound) || b.there.Load() {
		return err
	}
	_, berr := b.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name})
	if berr == nil {
		b.there.Store(true)
		return err
	}
	if _, gone := errors.AsType[*types.NotFound](berr); gone {
		return b.explain(ctx, verb, refusal("NoSuchBucket", "the bucket is not found"))
	}
	return err // it is not known, and who may not ask is not told
}

// Attributes hides the identity of the write.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := b.Bucket.Attributes(ctx, key)
	if err != nil {
		return nil, b.absent(ctx, "look up", b.reason(ctx, key, err))
	}
	maps.DeleteFunc(a.Metadata, func(k, _ string) bool { return strings.EqualFold(k, identity) })
	return a, nil
}

// ListPaged lists.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	page, err := b.Bucket.ListPaged(ctx, opts)
	if err != nil {
		return nil, b.explain(ctx, "list", err)
	}
	wrapblob.Names(page, nameOf)
	return page, nil
}

// nameOf is an object's name, or a folder's.
func nameOf(o *driver.ListObject) *string {
	var object types.Object
	if o.AsFunc(&object) {
		return object.Key
	}
	var folder types.CommonPrefix
	o.AsFunc(&folder)
	return folder.Prefix
}

// Copy copies within the store.
func (b *bucket) Copy(ctx context.Context, dst, src string, opts *driver.CopyOptions) error {
	return b.explain(ctx, "copy", b.Bucket.Copy(ctx, dst, src, opts))
}

// Delete deletes the object; in a bucket with versions, it hides it.
func (b *bucket) Delete(ctx context.Context, key string) error {
	return b.absent(ctx, "delete", b.reason(ctx, key, b.Bucket.Delete(ctx, key))) // s3blob looks up the object first
}

// reason asks why a look-up was refused: an answer to HEAD has no body to say whether it is the credential or a right. What a read of one byte says is the
// error then; where it is allowed, err stays.
func (b *bucket) reason(ctx context.Context, key string, err error) error {
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || resp.HTTPStatusCode() != http.StatusForbidden && resp.HTTPStatusCode() != http.StatusBadRequest || resp.Response.Request.Method != http.MethodHead {
		return err
	}
	escaped := escapeKey(key)
	out, why := b.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &escaped, Range: aws.String("bytes=0-0")})
	if why == nil {
		_ = out.Body.Close()
		return err
	}
	return why
}

// MaxBatch is S3's own limit.
func (b *bucket) MaxBatch() int { return 1000 }

// DeleteBatch deletes up to a thousand objects with one request.
func (b *bucket) DeleteBatch(ctx context.Context, keys []string) (map[string]error, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	objects, given := make([]types.ObjectIdentifier, len(keys)), make(map[string]string, len(keys))
	for i, k := range keys {
		escaped := escapeKey(k)
		objects[i], given[escaped] = types.ObjectIdentifier{Key: &escaped}, k
	}
	out, err := b.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &b.name, Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)}})
	if err != nil {
		return nil, b.explain(ctx, "delete", err)
	}
	failed := map[string]error{}
	for _, e := range out.Errors {
		code := aws.ToString(e.Code)
		if code == "NoSuchKey" || code == "NoSuchVersion" {
			continue
		}
		key, ok := given[aws.ToString(e.Key)]
		if !ok {
			key = aws.ToString(e.Key)
		}
		failed[key] = b.explain(ctx, "delete", refusal(code, aws.ToString(e.Message)))
	}
	return failed, nil
}

// NewRangeReader reads.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.Bucket.NewRangeReader(ctx, key, offset, length, opts)
	if err != nil {
		return nil, b.explain(ctx, "read", err)
	}
	var etag location.ETag
	var got s3.GetObjectOutput
	if r.As(&got) {
		etag = location.ETag(aws.ToString(got.ETag))
	}
	return &wrapblob.Versioned{Reader: r, ETag: etag, Explain: func(err error) error { return b.explain(ctx, "read", err) }}, nil
}
