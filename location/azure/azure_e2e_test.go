//go:build e2e

package azure_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	azsas "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/internal/storetest"
	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/azure"
)

// store is azurite, which computes CRC-64s of blocks and compares them, as Azure does. It keeps no retention, and of two writers that commit it discards the
// blocks of neither.
var store = storetest.Store{
	Open: azure.Open,
	Place: func(t *testing.T) *location.Location {
		s := testserver.Azurite(t)
		return &location.Location{Type: location.TypeAzure, Bucket: s.Container(t), Endpoint: s.Endpoint, Credential: location.NewKeyPair(s.Account, s.Key)}
	},
	Commits: commits, CommitsLarge: commits,
}

func commits(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("comp") != "block"
}

func TestStore(t *testing.T) { store.Run(t) }

// What is not answered with checksums is not confirmed.
func TestUnconfirmed(t *testing.T) {
	loc := store.NewPlace(t)
	p := testserver.NewProxy(t, loc.Endpoint)
	p.Strip = []string{"X-Ms-Content-Crc64", "Content-Md5"}
	var reads atomic.Int32
	p.See = func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, loc.Bucket+"/some/prefix/big") {
			reads.Add(1)
		}
	}
	loc.Endpoint = p.URL
	b := store.Bucket(t, loc)
	for _, size := range []int64{1, 40 << 20} {
		reads.Store(0)
		_, err := b.Write(t.Context(), "big", storetest.Random(size), nil)
		require.NoError(t, err)
		require.NotZero(t, reads.Load(), size)
	}
}

// The server takes a retention and keeps none: the object is removed again.
func TestRetentionThatIsNotKept(t *testing.T) {
	b := store.Bucket(t, store.NewPlace(t))
	_, err := b.Write(t.Context(), "a", strings.NewReader("a"), &location.WriteOptions{Retention: location.Retention{Until: time.Now().Add(time.Hour)}})
	require.ErrorIs(t, err, location.ErrUnsupported)
	_, err = b.Stat(t.Context(), "a")
	require.ErrorIs(t, err, location.ErrNotFound)
}

// sas signs an account's signature for the service of blobs.
func sas(t *testing.T, s *testserver.Server, start, end time.Time) string {
	key, err := service.NewSharedKeyCredential(s.Account, s.Key)
	require.NoError(t, err)
	client, err := service.NewClientWithSharedKeyCredential(s.Endpoint, key, nil)
	require.NoError(t, err)
	address, err := client.GetSASURL(azsas.AccountResourceTypes{Container: true, Object: true, Service: true},
		azsas.AccountPermissions{Read: true, Write: true, Delete: true, List: true, Create: true}, end, &service.GetSASURLOptions{StartTime: &start})
	require.NoError(t, err)
	_, query, found := strings.Cut(address, "?")
	require.True(t, found)
	return query
}

// A signature works as a text and as a file, which may change, and is in no error.
func TestSignatures(t *testing.T) {
	s := testserver.Azurite(t)
	now := time.Now()
	good, bad := sas(t, s, now.Add(-time.Hour), now.Add(time.Hour)), sas(t, s, now.Add(-2*time.Hour), now.Add(-time.Hour))
	place := func(c location.AzureCredential) *location.Location {
		c.Account = s.Account
		return &location.Location{Type: location.TypeAzure, Bucket: s.Container(t), Endpoint: s.Endpoint, Credential: location.NewAzure(c)}
	}
	use := func(b *location.Bucket) error {
		if _, err := b.Write(t.Context(), "a/b", storetest.Random(20<<20), nil); err != nil {
			return err
		}
		_, err := b.Verify(t.Context(), "a/b")
		if err == nil {
			_, err = b.Delete(t.Context(), "a")
		}
		return err
	}
	require.NoError(t, use(store.Bucket(t, place(location.AzureCredential{SAS: "?" + good}))))
	refused := func(err error, text string) {
		t.Helper()
		require.ErrorIs(t, err, location.ErrCredential)
		sig, err2 := url.ParseQuery(text)
		require.NoError(t, err2)
		for _, canary := range []string{text, sig.Get("sig"), url.QueryEscape(sig.Get("sig"))} {
			require.NotContains(t, err.Error(), canary)
			require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), canary)
		}
	}
	refused(use(store.Bucket(t, place(location.AzureCredential{SAS: bad}))), bad)

	file := filepath.Join(t.TempDir(), "sas")
	b := store.Bucket(t, place(location.AzureCredential{SASFile: file}))
	require.ErrorIs(t, use(b), location.ErrCredential, "there is no file yet")
	require.NoError(t, os.WriteFile(file, []byte(good+"\n"), 0o600))
	require.NoError(t, use(b))
	require.NoError(t, os.WriteFile(file, []byte(bad), 0o600))
	refused(use(b), bad)
	require.NoError(t, os.WriteFile(file, []byte("no signature"), 0o600))
	require.ErrorIs(t, use(b), location.ErrCredential)

	b = store.Bucket(t, place(location.AzureCredential{Key: "b3RoZXIga2V5"}))
	require.ErrorIs(t, use(b), fs.ErrPermission) // azurite says AuthorizationFailure, where Azure says AuthenticationFailed
}

// Blocks of several buffers make the same object as those of one.
func TestWideBlocks(t *testing.T) {
	b, err := azure.OpenLowered(t.Context(), store.NewPlace(t), 64<<10, 3, 5, 20)
	require.NoError(t, err)
	const most = 5*64<<10 + 15*3*64<<10
	for _, size := range []int64{64 << 10, 64<<10 + 1, 5 * 64 << 10, 5*64<<10 + 1, 5*64<<10 + 3*64<<10, most - 1, most} {
		require.NoError(t, b.Upload(t.Context(), "a", storetest.Random(size), &blob.WriterOptions{ContentType: "text/plain"}), size)
		r, err := b.NewReader(t.Context(), "a", nil)
		require.NoError(t, err)
		require.Equal(t, storetest.Hash(t, storetest.Random(size)), storetest.Hash(t, r), size)
		require.NoError(t, r.Close())
	}
	require.NoError(t, b.Delete(t.Context(), "a"))
	require.ErrorContains(t, b.Upload(t.Context(), "a", storetest.Random(most+1), &blob.WriterOptions{ContentType: "text/plain"}), "split it")
	there, err := b.Exists(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, there)
}
