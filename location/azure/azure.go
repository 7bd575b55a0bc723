// Package azure opens locations of type azure: Azure Blob Storage.
//
// It lists, reads and deletes with gocloud's azureblob. Its writer is its own: blocks of 8 MiB go up four at a time, each with its CRC-64, which Azure
// computes anew, compares and answers with. Where it has done so for all of them, the bucket above need not read the object again. Of the 50,000 blocks that a
// blob can have, those after the first 20,000 are of 32 MiB, out of the same four buffers: an object can have about 1,090 GiB.
//
// A write that fails leaves no object; its blocks are nowhere to be seen, and Azure discards them within a week. Every object carries an identity of its write in its
// metadata (davit_write), by which a writer whose answer was lost finds out whether the object is its own. Of two writers of one key at the same time, the one
// that commits later fails, as Azure discards its blocks when the other commits.
//
// Opening makes no request.
//
// # Errors
//
// Those of the package location are matched with errors.Is: ErrNoBucket, ErrCredential, ErrClock, ErrUnavailable, ErrExists, ErrUnsupported, and fs.ErrPermission. What
// may pass is tried up to eight times, with growing pauses. No error text holds a key, a signature or a token.
//
// # Concurrency
//
// A bucket is safe for concurrent use. Each write under way needs as much memory as the object has, up to 32 MiB.
package azure

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"

	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

var _ location.Opener = Open

// Open opens the container loc.Bucket of the account, with the credential loc.Azure(). It does not ask whether there is such a container.
//
// loc.Endpoint is another address of the account than https://ACCOUNT.blob.core.windows.net or what the cloud has instead; that of an emulator ends with the
// account. The identity of the surroundings is sent to addresses of Azure's alone: a profile could otherwise have it sent anywhere. Tokens go over https only.
func Open(ctx context.Context, loc *location.Location) (*blob.Bucket, error) {
	return open(ctx, loc, defaults, retries)
}

func open(ctx context.Context, loc *location.Location, l limits, retry policy.RetryOptions) (*blob.Bucket, error) {
	if err := loc.Validate(); err != nil {
		return nil, err
	}
	cred, err := loc.Azure()
	if err != nil {
		return nil, err
	}
	at, err := address(loc, &cred)
	if err != nil {
		return nil, err
	}
	s, err := newStore(loc, &cred, at, retry)
	if err != nil {
		return nil, err
	}
	under, err := azureblob.OpenBucket(ctx, s.container, nil)
	if err != nil {
		return nil, s.explain(ctx, "open", err)
	}
	return blob.NewBucket(&bucket{Bucket: wrapblob.Bucket{B: under, Idle: s.idle}, store: s, limits: l}), nil
}

// suffixes of the hosts of accounts in each cloud: https://learn.microsoft.com/en-us/azure/storage/common/storage-account-overview and Azure's libraries.
var suffixes = map[string]string{
	"":                              "blob.core.windows.net",
	location.AzurePublicCloud:       "blob.core.windows.net",
	location.AzureUSGovernmentCloud: "blob.core.usgovcloudapi.net",
	location.AzureChinaCloud:        "blob.core.chinacloudapi.cn",
}

// address is that of the container.
func address(loc *location.Location, cred *location.AzureCredential) (*url.URL, error) {
	if len(loc.Bucket) < 3 {
		return nil, fmt.Errorf("%w: %q is no name of a container of Azure's: it has 3 to 63 letters, digits and dashes", location.ErrProfile, loc.Bucket)
	}
	suffix, known := suffixes[cred.Environment]
	if !known {
		return nil, fmt.Errorf("%w: there is no cloud %q of Azure, but %s", location.ErrProfile, storefault.Cut(cred.Environment, 80), strings.Join(location.AzureEnvironments(), ", "))
	}
	if cred.Account == "" {
		return nil, fmt.Errorf("%w: an azure location needs the name of a storage account in its credential", location.ErrProfile)
	}
	u, err := loc.EndpointURL()
	if err != nil {
		return nil, err
	}
	if u == nil {
		u = &url.URL{Scheme: "https", Host: suffix}
	}
	if isSuffix(u.Host) {
		u.Host = cred.Account + "." + u.Host
	}
	if path := strings.Trim(u.Path, "/"); path == "" && (net.ParseIP(u.Hostname()) != nil || u.Hostname() == "localhost") {
		u.Path = "/" + cred.Account // emulators have the account in the path
	}
	return u.JoinPath(loc.Bucket), nil
}

func isSuffix(host string) bool {
	for _, s := range suffixes {
		if strings.EqualFold(host, s) {
			return true
		}
	}
	return false
}

// ofAzure tells whether the address is one that only Azure answers at.
func ofAzure(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	for _, s := range suffixes {
		if strings.HasSuffix(host, "."+s) {
			return u.Scheme == "https"
		}
	}
	return u.Scheme == "https" && strings.HasSuffix(host, ".blob.storage.azure.net")
}
