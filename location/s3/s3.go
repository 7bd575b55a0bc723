// Package s3 opens locations of type s3Compliant: Amazon S3 and the stores that speak like it.
//
// It reads, lists and deletes with gocloud's s3blob. Its writer is its own: parts of 8 MiB go up in parallel out of a fixed set of buffers, each
// with its CRC-32C, which the store computes anew and compares. Where the store has confirmed them all, the bucket above need not read the
// object again. A stream smaller than one part is one request; one that outgrows 9,000 parts is gathered in temporary objects under the reserved
// name .davit/parts, which are copied within the store and then deleted, so that neither memory nor parts run out before 5 TiB.
//
// A write that fails leaves neither object nor parts. A process that is killed amid one leaves its parts, which are seen nowhere but are paid for: give the
// bucket a lifecycle rule that aborts incomplete uploads after some days, and one that deletes what is older below .davit/parts. Every object carries an identity of its write in its metadata (davit-write), by which a writer
// whose answer was lost finds out whether the object is its own.
//
// Opening makes no request. The region is that of the location, else that of the surroundings, else us-east-1; a store that names another one is
// believed.
//
// # Errors
//
// Those of the package location are matched with errors.Is: ErrNoBucket, ErrCredential, ErrClock, ErrUnavailable, ErrExists, ErrUnsupported, and
// fs.ErrPermission. What may pass is tried up to eight times, with pauses of up to 20 seconds. No error text holds a key.
//
// # Concurrency
//
// A bucket is safe for concurrent use. Its memory is 32 MiB, and 8 MiB for each write of a mebibyte or more that is under way.
package s3

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

var _ location.Opener = Open

// Open opens the bucket of the location; see New.
func Open(ctx context.Context, loc *location.Location) (*blob.Bucket, error) {
	return New(ctx, loc, nil)
}

// Options of New. Nil and zero are ready to use.
type Options struct {
	// Attempts is how often a request is tried when what goes wrong may pass. Default 8.
	Attempts int

	limits limits
	// backoff is the longest pause between two attempts; tests shorten it. Default 20 seconds.
	backoff time.Duration
}

// limits are those of S3 and of this package's memory; tests lower them.
type limits struct {
	// part is the size of a part and of a buffer, buffers how many there are of them at once for one stream.
	part    int
	buffers int
	// direct is how many parts are uploaded as such; what comes after them is gathered in segments.
	direct int
	// segment is how many parts become one; S3 copies at most 5 GiB at once.
	segment int
	// look is the shortest time after which an aborted upload is looked for again.
	look time.Duration
	// idle is how long a connection may carry nothing while a request is under way.
	idle time.Duration
}

const (
	partSize    = 8 << 20
	partBuffers = 5
	directParts = 9000
	// maxParts is S3's own.
	maxParts = 10000
	// segmentParts of 8 MiB are 5 GiB, the most that S3 copies at once.
	segmentParts = 640
	lookAfter    = 50 * time.Millisecond
)

func (l limits) orDefault() limits {
	if l.part == 0 {
		l.part = partSize
	}
	if l.buffers == 0 {
		l.buffers = partBuffers
	}
	if l.direct == 0 {
		l.direct = directParts
	}
	if l.segment == 0 {
		l.segment = segmentParts
	}
	if l.look == 0 {
		l.look = lookAfter
	}
	if l.idle == 0 {
		l.idle = idleTime
	}
	return l
}

// New opens the bucket of the location. It makes no request: what is wrong with the bucket or the credential shows with the first use. What is wrong
// with the location itself is ErrProfile.
//
// With an endpoint, the bucket is in the path of requests, unless loc.VirtualHost is set; an endpoint without a scheme is https. The credential is
// loc.AWS(): its keys, its role assumed with them for 60 minutes at a time, or what the SDK finds in its surroundings. opts may be nil.
func New(ctx context.Context, loc *location.Location, opts *Options) (*blob.Bucket, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := loc.Validate(); err != nil {
		return nil, err
	}
	client, err := newClient(ctx, loc, opts)
	if err != nil {
		return nil, err
	}
	under, err := s3blob.OpenBucket(ctx, client.s3, loc.Bucket, nil)
	if err != nil {
		return nil, err
	}
	l := opts.limits.orDefault()
	b := &bucket{
		Bucket: wrapblob.Bucket{B: under, Idle: client.close}, client: client, name: loc.Bucket, prefix: strings.Trim(loc.Prefix, "/"), limits: l,
		buffers: newBuffers(l.part, l.buffers-1),
	}
	return blob.NewBucket(b), nil
}

// client is the store and what must not show in its errors.
type client struct {
	s3   *s3.Client
	hide *strings.Replacer
	// close ends its idle connections.
	close func()
}
