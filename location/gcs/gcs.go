// Package gcs opens locations of type gcs: Google Cloud Storage.
//
// It lists, reads and deletes with gocloud's gcsblob, and streams writes over one resumable upload in chunks of 16 MiB. Google computes the CRC-32C
// of what it has stored; if it is that of what was written, the bucket above need not read the object again.
//
// A write that fails leaves no object. Every object carries an identity of its write in its metadata (davit-write), by which a writer whose answer was
// lost finds out whether the object is its own.
//
// Opening makes no request to the bucket; without a key file it looks for the application default credentials, which may ask the metadata server.
//
// # Errors
//
// Those of the package location are matched with errors.Is: ErrNoBucket, ErrCredential, ErrClock, ErrUnavailable, ErrExists, ErrUnsupported, and fs.ErrPermission. What
// may pass is tried up to eight times, with growing pauses. No error text holds a key, a token or the address of an upload.
//
// # Concurrency
//
// A bucket is safe for concurrent use. Each write of more than 256 KiB that is under way needs 16 MiB.
package gcs

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"google.golang.org/api/option"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

var _ location.Opener = Open

// Open opens the bucket of the location, with the credential loc.Google(). It does not ask whether there is such a bucket.
//
// loc.Endpoint is another address of the store, such as https://storage-davit.p.googleapis.com of a private connection. The application default credentials are sent to
// addresses of Google's alone: a profile could otherwise have the identity of this process sent anywhere. Elsewhere, without a key file, requests are not
// authenticated. Over http, a key file is refused, as its tokens could be read on the way.
func Open(ctx context.Context, loc *location.Location) (*blob.Bucket, error) {
	return open(ctx, loc, usual)
}

// usual pauses between tries.
var usual = gax.Backoff{Initial: 200 * time.Millisecond, Max: 10 * time.Second, Multiplier: 2}

func open(ctx context.Context, loc *location.Location, pauses gax.Backoff) (*blob.Bucket, error) {
	if err := loc.Validate(); err != nil {
		return nil, err
	}
	at, err := address(loc)
	if err != nil {
		return nil, err
	}
	h, err := newHTTP(ctx, loc, at)
	if err != nil {
		return nil, err
	}
	// Authenticated is h.client, where it is; else the SDK would look for a credential by itself.
	client, err := storage.NewClient(ctx, option.WithHTTPClient(h.client), option.WithoutAuthentication(), option.WithEndpoint(at.String()+"/storage/v1/"))
	if err != nil {
		return nil, h.explain(ctx, "open", err)
	}
	client.SetRetry(storage.WithPolicy(storage.RetryAlways), storage.WithMaxAttempts(attempts), storage.WithBackoff(pauses), storage.WithErrorFunc(mayPass))
	under, err := gcsblob.OpenBucket(ctx, nil, loc.Bucket, &gcsblob.Options{Client: client})
	if err != nil {
		return nil, h.explain(ctx, "open", err)
	}
	return blob.NewBucket(&bucket{Bucket: wrapblob.Bucket{B: under, Idle: h.base.CloseIdleConnections}, http: h, objects: client.Bucket(loc.Bucket), pauses: pauses}), nil
}

// googles is the host of Google's own store.
const googles = "storage.googleapis.com"

// address is that of the store, without a path. A bad one is not shown: its path may hold a password.
func address(loc *location.Location) (*url.URL, error) {
	u, err := loc.EndpointURL()
	if err != nil {
		return nil, err
	}
	if u == nil {
		return &url.URL{Scheme: "https", Host: googles}, nil
	}
	if strings.Trim(strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/storage/v1"), "/") != "" {
		return nil, fmt.Errorf("%w: the endpoint of a gcs location is a server's address alone, without path, such as https://%s", location.ErrProfile, googles)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// ofGoogle tells whether the address is one that only Google answers at.
func ofGoogle(u *url.URL) bool {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	return u.Scheme == "https" && strings.HasSuffix(host, ".googleapis.com") && net.ParseIP(host) == nil
}
