package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/location"
)

// unsigned leaves the body out of the signature, which then need not be hashed a second time: its CRC-32C is signed.
func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// put stores an object with one request.
func (b *bucket) put(ctx context.Context, o *object, data []byte, crc uint32) (outcome, error) {
	want := sum(crc)
	out, err := b.putOnce(ctx, o, data, &want)
	if refusesSums(err) {
		if plain, perr := b.putOnce(ctx, o, data, nil); perr == nil {
			out, err = plain, nil
		}
	}
	echo := ""
	if err == nil {
		echo = aws.ToString(out.ChecksumCRC32C)
	}
	if err == nil && (echo == "" || echo == want) {
		return outcome{crc: crc, confirmed: echo == want, version: out.VersionId, etag: aws.ToString(out.ETag)}, nil
	}
	if err == nil {
		err = wrongSum("write", want, echo)
	}
	return b.settle(ctx, o, crc, want, err)
}

// putOnce sends the object; without a checksum, as the SDK does it by itself.
func (b *bucket) putOnce(ctx context.Context, o *object, data []byte, want *string) (*s3.PutObjectOutput, error) {
	mode, until := o.lockMode()
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: &o.key, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ChecksumCRC32C: want, IfNoneMatch: o.conditional(), Metadata: o.metadata, ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
		ContentType: some(o.content), CacheControl: some(o.opts.CacheControl), ContentDisposition: some(o.opts.ContentDisposition),
		ContentEncoding: some(o.opts.ContentEncoding), ContentLanguage: some(o.opts.ContentLanguage),
	}
	sending, wait := send(ctx, data)
	defer wait()
	return b.s3.PutObject(sending, in, signing(want)...)
}

// signing leaves the body out of the signature if it has a checksum.
func signing(sum *string) []func(*s3.Options) {
	if sum == nil {
		return nil
	}
	return []func(*s3.Options){unsigned}
}

// refusesSums tells whether a store may have refused a request because it knows no checksums. Most such stores ignore them.
func refusesSums(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedArgument":
		return refined(storefault.Meaning{}, api).Kind == nil
	default:
		return false
	}
}

// settle finds out what became of an object whose commit gave err: the answer may have been lost on its way, or damaged. An object that
// is this write's but not what was sent is removed.
func (b *bucket) settle(ctx context.Context, o *object, crc uint32, want string, err error) (outcome, error) {
	err = b.explain(ctx, "write", err)
	if storefault.IsFinal(err) {
		return outcome{}, err
	}
	uctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	head, ours, herr := b.mine(uctx, o)
	switch {
	case herr != nil:
		return outcome{}, fmt.Errorf("%w; whether the object was stored all the same cannot be found out: %w", err, herr)
	case !ours:
		return outcome{}, err
	}
	if got := aws.ToString(head.ChecksumCRC32C); got == "" || got == want {
		if got == "" && errors.Is(err, location.ErrCorrupt) {
			return outcome{}, errors.Join(err, b.remove(uctx, o.key, head.VersionId))
		}
		return outcome{crc: crc, confirmed: got == want, version: head.VersionId, etag: aws.ToString(head.ETag)}, nil
	}
	return outcome{}, errors.Join(err, b.remove(uctx, o.key, head.VersionId))
}

// mine looks whether the object that is there was stored by this write.
func (b *bucket) mine(ctx context.Context, o *object) (*s3.HeadObjectOutput, bool, error) {
	head, err := b.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &o.key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		err = b.explain(ctx, "look up", err)
		if errors.Is(err, location.ErrNotFound) {
			return nil, false, nil
		}
		return nil, false, err
	}
	for k, v := range head.Metadata {
		if strings.EqualFold(k, identity) {
			return head, v == o.id, nil
		}
	}
	return head, false, nil
}

// remove deletes an object of this package's own making, and in a bucket with versions that very version.
func (b *bucket) remove(ctx context.Context, key string, version *string) error {
	_, err := b.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key, VersionId: version})
	if err = b.explain(ctx, "remove", err); err != nil && !errors.Is(err, location.ErrNotFound) {
		return fmt.Errorf("%q is left behind: %w", key, err)
	}
	return nil
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
