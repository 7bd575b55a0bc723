// Package location holds data: a Location says where and with which credential, a Bucket reads and writes there, verified.
//
// A Bucket works over any blob bucket of gocloud.dev. Beside every object it keeps a record of its size and SHA-256, under
// the reserved name .davit within the bucket's prefix; a read compares. The package links no store: a host hands in an
// Opener for each type of location it wants, such as that of location/file; location/all has them all. Check tries whether a location can hold
// backups.
//
// Memory is bounded, whatever the object's size: a read or write needs at most 4 MiB, plus what the store's driver and the codecs need. A read from a driver that tells versions apart (S3, GCS,
// Azure) goes on in 4 ranges at once where one connection gives little, and needs 36 MiB then.
//
// # Errors
//
// The errors of this package are matched with errors.Is; so are the causes below them, such as fs.ErrPermission and syscall.ENOSPC. No error text holds a
// credential.
//
// # Concurrency
//
// A Bucket is safe for concurrent use. Two writers that replace one key at the same time are not: the last one to commit wins, and
// the record may be the other's, so that reads fail with ErrCorrupt. With WriteOptions.IfNotExist, one of them wins and is what is recorded.
package location

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"

	"gocloud.dev/blob"
)

// The types of location a profile can name.
const (
	TypeFile  = "file"
	TypeS3    = "s3Compliant"
	TypeGCS   = "gcs"
	TypeAzure = "azure"
)

// Location is where data goes: the location of a profile and its credential. Every way of printing it leaves out the
// secrets.
type Location struct {
	// Type is file, s3Compliant, gcs or azure.
	Type string
	// Bucket is the bucket or container; the absolute path of the folder for a file location.
	Bucket, Endpoint, Prefix, Region string
	// CABundle holds certificates in PEM that are trusted beside those of the system. Default none.
	CABundle []byte
	// Proxy is the URL of the proxy for this location. Default: that of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
	Proxy string
	// VirtualHost puts the bucket into the host name although an endpoint is set. Default: in the path with an endpoint, in the host name
	// without, as Kanister does. For s3Compliant only.
	VirtualHost bool
	// SkipSSLVerify is insecure.
	SkipSSLVerify bool
	// Credential is zero where the store needs none or takes it from its surroundings.
	Credential Credential
}

// String names the place, without secrets.
func (l Location) String() string {
	var b strings.Builder
	bucket := l.Bucket
	if l.Type != TypeFile {
		bucket = withoutSecrets(bucket)
	}
	fmt.Fprintf(&b, "%s location %q", l.Type, bucket)
	if l.Prefix != "" {
		fmt.Fprintf(&b, ", prefix %q", l.Prefix)
	}
	if l.Endpoint != "" {
		fmt.Fprintf(&b, ", endpoint %q", withoutSecrets(l.Endpoint))
	}
	if l.Region != "" {
		fmt.Fprintf(&b, ", region %q", l.Region)
	}
	if l.VirtualHost {
		b.WriteString(", virtual host")
	}
	if l.Proxy != "" {
		fmt.Fprintf(&b, ", proxy %q", withoutSecrets(l.Proxy))
	}
	if len(l.CABundle) > 0 {
		b.WriteString(", certificates of its own")
	}
	if l.SkipSSLVerify {
		b.WriteString(", insecure: certificates are not verified")
	}
	return b.String()
}

// Format prints String for every verb.
func (l Location) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(l.String())) }

// LogValue is String.
func (l Location) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalJSON gives String as JSON text. A Location is not meant to be stored: the profile is, see Profile.
func (l Location) MarshalJSON() ([]byte, error) { return json.Marshal(l.String()) }

// withoutSecrets drops of an address what can be a secret: user, password, query and fragment. A text that is no address is not shown at all if it may hold one.
func withoutSecrets(address string) string {
	if !strings.ContainsAny(address, "@?#") {
		return address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return masked
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Opener opens the blob bucket of one type of location. Its error must not hold a credential.
type Opener func(ctx context.Context, loc *Location) (*blob.Bucket, error)

// OpenProfile opens the location that a profile's JSON names; see ParseProfile and Open.
func OpenProfile(ctx context.Context, profile []byte, openers map[string]Opener) (*Bucket, error) {
	loc, err := ParseProfile(profile)
	if err != nil {
		return nil, err
	}
	return Open(ctx, loc, openers, nil)
}

// Open opens the location with the opener of its type. The location's prefix comes before that of opts, which may be nil.
// A type without an opener is ErrUnsupported; what [Location.Validate] says is wrong is not opened.
func Open(ctx context.Context, loc *Location, openers map[string]Opener, opts *Options) (*Bucket, error) {
	if loc == nil {
		return nil, fmt.Errorf("%w: there is none", ErrProfile)
	}
	open := openers[loc.Type]
	if open == nil {
		return nil, fmt.Errorf("%w: location type %q is not built into this program, which knows: %s", ErrUnsupported, short(loc.Type),
			strings.Join(slices.Sorted(maps.Keys(openers)), ", "))
	}
	if err := loc.Validate(); err != nil {
		return nil, err
	}
	prefix, err := cleanPrefix(loc.Prefix)
	if err != nil {
		return nil, err
	}
	var all Options
	if opts != nil {
		all = *opts
	}
	below, err := cleanPrefix(all.Prefix)
	if err != nil {
		return nil, err
	}
	all.Prefix = join(prefix, below)
	b, err := open(ctx, loc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", loc, err)
	}
	return New(b, &all), nil
}
