package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/location"
)

// part is one that the store has, or will have when m.wait returns.
type part struct {
	etag      string
	crc       uint32
	size      int64
	confirmed bool
}

// multipart is S3's upload in parts.
type multipart struct {
	b      *bucket
	o      *object
	id     string
	lender *lender
	// ctx ends with the first part that fails.
	ctx  context.Context
	fail context.CancelCauseFunc
	all  sync.WaitGroup

	mu    sync.Mutex
	parts []part
	size  int64
	over  bool
	// cut means that the store may still be at work on a part.
	cut bool
	// doubtful is when an upload may have begun whose name was lost on its way here.
	begun, doubtful window
	// sums tells whether parts have checksums.
	sums bool
}

// begin tells the store that an object will come in parts.
func (b *bucket) begin(ctx context.Context, o *object, l *lender) (*multipart, error) {
	from := time.Now()
	out, err := b.beginOnce(ctx, o, types.ChecksumAlgorithmCrc32c)
	sums := true
	if refusesSums(err) {
		if plain, perr := b.beginOnce(ctx, o, ""); perr == nil {
			out, err, sums = plain, nil, false
		}
	}
	begun := window{from: from, until: time.Now()}
	if err != nil {
		err = b.explain(ctx, "begin an upload", err)
		if !storefault.IsFinal(err) {
			b.forget(ctx, o.key, "", begun)
		}
		return nil, err
	}
	if aws.ToString(out.UploadId) == "" {
		return nil, incomplete("begin an upload", "upload")
	}
	m := &multipart{b: b, o: o, id: *out.UploadId, lender: l, begun: begun, sums: sums}
	if tries, ok := retry.GetAttemptResults(out.ResultMetadata); ok && len(tries.Results) > 1 {
		m.doubtful = begun
	}
	m.ctx, m.fail = context.WithCancelCause(ctx)
	return m, nil
}

// beginOnce asks for the upload; with no algorithm, one without checksums.
func (b *bucket) beginOnce(ctx context.Context, o *object, algorithm types.ChecksumAlgorithm) (*s3.CreateMultipartUploadOutput, error) {
	mode, until := o.lockMode()
	in := &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &o.key, Metadata: o.metadata, ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
		ContentType: some(o.content), CacheControl: some(o.opts.CacheControl), ContentDisposition: some(o.opts.ContentDisposition),
		ContentEncoding: some(o.opts.ContentEncoding), ContentLanguage: some(o.opts.ContentLanguage),
	}
	if algorithm != "" {
		in.ChecksumAlgorithm, in.ChecksumType = algorithm, o.sumType
	}
	return b.s3.CreateMultipartUpload(ctx, in)
}

// sumOf is the checksum to send, nil where the store takes none.
func (m *multipart) sumOf(crc uint32) *string {
	if !m.sums {
		return nil
	}
	return aws.String(sum(crc))
}

// add uploads the part in the background and gives its buffer back then. It returns the error of a part that has failed meanwhile.
func (m *multipart) add(p *lent) error {
	if err := m.failed(); err != nil {
		m.lender.put(p)
		return err
	}
	m.mu.Lock()
	m.parts = append(m.parts, part{size: int64(p.n)})
	m.size += int64(p.n)
	number := len(m.parts)
	m.mu.Unlock()
	m.all.Go(func() {
		defer m.lender.put(p)
		etag, confirmed, err := m.upload(number, p.bytes(), m.sumOf(p.crc))
		m.mu.Lock()
		defer m.mu.Unlock()
		if err != nil {
			m.cut = true
			if errors.Is(err, location.ErrNotFound) { // the upload's name may have been damaged on its way here
				m.doubtful = m.begun
			}
			m.fail(err)
			return
		}
		done := &m.parts[number-1]
		done.etag, done.crc, done.confirmed = etag, p.crc, confirmed
	})
	return nil
}

// sumTries is how often a part is sent whose checksum comes back wrong: more likely than the part, its answer was damaged.
const sumTries = 3

func (m *multipart) upload(number int, data []byte, want *string) (etag string, confirmed bool, err error) {
	n := int32(number)
	sending, wait := send(m.ctx, data)
	defer wait()
	for range sumTries {
		var out *s3.UploadPartOutput
		out, err = m.b.s3.UploadPart(sending, &s3.UploadPartInput{
			Bucket: &m.b.name, Key: &m.o.key, UploadId: &m.id, PartNumber: &n, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
			ChecksumCRC32C: want,
		}, signing(want)...)
		if err != nil {
			return "", false, m.b.explain(m.ctx, "upload a part", err)
		}
		got := aws.ToString(out.ChecksumCRC32C)
		switch {
		case want != nil && got != "" && got != *want:
			err = wrongSum("upload a part", *want, got)
		case aws.ToString(out.ETag) == "":
			err = incomplete("upload a part", "ETag")
		default:
			return *out.ETag, want != nil && got == *want, nil
		}
	}
	return "", false, err
}

func (m *multipart) failed() error {
	if m.ctx.Err() == nil {
		return nil
	}
	return m.b.explain(m.ctx, "upload a part", context.Cause(m.ctx))
}

// commit waits for the parts and makes them an object.
func (m *multipart) commit() (outcome, error) {
	m.all.Wait()
	if err := m.failed(); err != nil {
		return outcome{}, err
	}
	completed, crcs := make([]types.CompletedPart, len(m.parts)), make([]uint32, len(m.parts))
	var crc uint32
	confirmed := true
	for i, p := range m.parts {
		number := int32(i + 1)
		completed[i] = types.CompletedPart{ETag: &m.parts[i].etag, PartNumber: &number}
		crcs[i], crc, confirmed = p.crc, combine(crc, p.crc, p.size), confirmed && p.confirmed
		if p.confirmed {
			own := sum(p.crc)
			completed[i].ChecksumCRC32C = &own
		}
	}
	want := composite(crcs)
	if m.o.sumType == types.ChecksumTypeFullObject {
		want = sum(crc)
	}
	out, err := m.b.s3.CompleteMultipartUpload(m.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &m.b.name, Key: &m.o.key, UploadId: &m.id, IfNoneMatch: m.o.conditional(),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
	})
	if err != nil {
		return m.settle(crc, want, confirmed, err)
	}
	got := aws.ToString(out.ChecksumCRC32C)
	if got != "" && got != want {
		return m.settle(crc, want, confirmed, wrongSum("complete an upload", want, got))
	}
	m.end()
	return outcome{crc: crc, confirmed: confirmed && got == want, version: out.VersionId, etag: aws.ToString(out.ETag)}, nil
}

// settle finds out what became of the object. It first takes the upload away, so that it cannot become the object afterwards.
func (m *multipart) settle(crc uint32, want string, confirmed bool, err error) (outcome, error) {
	err = m.b.explain(m.ctx, "complete an upload", err)
	if aerr := m.abort(); aerr != nil {
		err = errors.Join(err, aerr)
	}
	done, err := m.b.settle(m.ctx, m.o, crc, want, err)
	done.confirmed = done.confirmed && confirmed
	return done, err
}

// looks is how often abort looks again, at growing intervals, whether a part came in after all.
const looks = 3

// abort takes the upload and its parts away. A second call does nothing. A part that was cut off on its way may still be at work in the store and
// bring the upload back, as the documentation of AbortMultipartUpload warns; so abort looks again, and asks until it is gone.
func (m *multipart) abort() error {
	m.fail(context.Canceled)
	m.all.Wait()
	if m.over {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), undoTime)
	defer cancel()
	err := m.abortOnce(ctx)
	for i := 0; i < looks && err == nil && m.cut; i++ {
		pause(ctx, m.b.limits.look<<(2*i))
		_, lerr := m.b.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: &m.b.name, Key: &m.o.key, UploadId: &m.id, MaxParts: aws.Int32(1)})
		if lerr == nil {
			err = m.abortOnce(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("parts of %q are left behind: %w", m.o.key, err)
	}
	m.end()
	return nil
}

// end takes away what was begun twice.
func (m *multipart) end() {
	m.over = true
	m.fail(context.Canceled)
	if !m.doubtful.from.IsZero() {
		m.b.forget(m.ctx, m.o.key, m.id, m.doubtful)
	}
}

func (m *multipart) abortOnce(ctx context.Context) error {
	_, err := m.b.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &m.b.name, Key: &m.o.key, UploadId: &m.id})
	if err = m.b.explain(ctx, "abort an upload", err); errors.Is(err, location.ErrNotFound) {
		return nil
	}
	return err
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
