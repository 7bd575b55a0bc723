package s3

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// window is a time by this machine's clock.
type window struct{ from, until time.Time }

// skew is how much the store's clock may differ. A store refuses requests that are off by 15 minutes, but most are off by far less.
const skew = 5 * time.Second

// forget aborts uploads of the key that were begun in the window and have no part: those of tries whose answer was lost, so that nobody knows their
// names. One of another writer looks the same only between its beginning and the end of its first part. An upload without parts costs nothing, so a
// failure to find or abort it does no harm.
func (b *bucket) forget(ctx context.Context, key, except string, w window) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	once := func(o *s3.Options) { o.Retryer = aws.NopRetryer{} }
	list, err := b.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &key}, once)
	if err != nil {
		return
	}
	for _, u := range list.Uploads {
		begun := aws.ToTime(u.Initiated)
		if aws.ToString(u.Key) != key || aws.ToString(u.UploadId) == except || begun.Before(w.from.Add(-skew)) || begun.After(w.until.Add(skew)) {
			continue
		}
		parts, err := b.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: &b.name, Key: &key, UploadId: u.UploadId, MaxParts: aws.Int32(1)}, once)
		if err == nil && len(parts.Parts) == 0 {
			_, _ = b.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &key, UploadId: u.UploadId}, once)
		}
	}
}
