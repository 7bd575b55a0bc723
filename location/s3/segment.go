package s3

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// copyIn adds an object of the store, with that key and size, as the next part. The parts before it may still be on their way.
func (m *multipart) copyIn(key string, size int64, from outcome) error {
	m.mu.Lock()
	number := int32(len(m.parts) + 1)
	m.mu.Unlock()
	p, err := m.copyPart(number, key, from)
	if unable(err) {
		p, err = m.carryPart(number, key, size, from)
	}
	if err != nil {
		return err
	}
	p.crc, p.size = from.crc, size
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts = append(m.parts, p)
	m.size += size
	return nil
}

// unable tells whether a store has refused to copy, or has not copied what it should have. MinIO does not copy into an upload that has checksums.
func unable(err error) bool {
	if errors.Is(err, errAnswer) {
		return true
	}
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && (resp.HTTPStatusCode() == http.StatusBadRequest || resp.HTTPStatusCode() == http.StatusNotImplemented)
}

// copyPart has the store copy.
func (m *multipart) copyPart(number int32, key string, from outcome) (part, error) {
	source := url.PathEscape(m.b.name + "/" + key)
	if v := versionOf(from); v != nil {
		source += "?versionId=" + url.QueryEscape(*v)
	}
	out, err := m.b.s3.UploadPartCopy(m.ctx, &s3.UploadPartCopyInput{
		Bucket: &m.b.name, Key: &m.o.key, UploadId: &m.id, PartNumber: &number, CopySource: &source, CopySourceIfMatch: some(from.etag),
	})
	if err != nil {
		return part{}, m.b.explain(m.ctx, "copy a segment", err)
	}
	if out.CopyPartResult == nil || aws.ToString(out.CopyPartResult.ETag) == "" {
		return part{}, incomplete("copy a segment", "ETag")
	}
	got, want := aws.ToString(out.CopyPartResult.ChecksumCRC32C), sum(from.crc)
	if got != "" && got != want {
		return part{}, wrongSum("copy a segment", want, got)
	}
	return part{etag: *out.CopyPartResult.ETag, confirmed: got != "" && from.confirmed}, nil
}

// carryPart reads the object and sends what comes as the part, for stores that do not copy. Its checksum is known beforehand.
func (m *multipart) carryPart(number int32, key string, size int64, from outcome) (part, error) {
	var err error
	for range sumTries {
		var p part
		if p, err = m.carryOnce(number, key, size, from); err == nil || m.ctx.Err() != nil {
			return p, err
		}
	}
	return part{}, err
}

func (m *multipart) carryOnce(number int32, key string, size int64, from outcome) (part, error) {
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	in, err := m.b.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &m.b.name, Key: &key, VersionId: versionOf(from)})
	if err != nil {
		return part{}, m.b.explain(ctx, "read a segment", err)
	}
	defer func() { _ = in.Body.Close() }()
	want := sum(from.crc)
	sent := m.sumOf(from.crc)
	out, err := m.b.s3.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &m.b.name, Key: &m.o.key, UploadId: &m.id, PartNumber: &number, Body: in.Body, ContentLength: &size, ChecksumCRC32C: sent,
	}, unsigned)
	if err != nil {
		return part{}, m.b.explain(ctx, "upload a segment", err)
	}
	got := aws.ToString(out.ChecksumCRC32C)
	switch {
	case got != "" && got != want:
		return part{}, wrongSum("upload a segment", want, got)
	case aws.ToString(out.ETag) == "":
		return part{}, incomplete("upload a segment", "ETag")
	default:
		return part{etag: *out.ETag, confirmed: got == want}, nil
	}
}

// versionOf is the version of the object in a bucket that keeps them.
func versionOf(o outcome) *string {
	if v := aws.ToString(o.version); v == "" || v == "null" {
		return nil
	}
	return o.version
}
