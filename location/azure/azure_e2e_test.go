//go:build e2e

package azure_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	azsas "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/azure"
	"github.com/davit-project/davit/location/locationtest"
)

// azurite computes CRC-64s of blocks and compares them, as Azure does. It keeps no retention, and of two writers that commit it discards the blocks of neither.

var openers = map[string]location.Opener{location.TypeAzure: azure.Open}

func place(t *testing.T) *location.Location {
	s := testserver.Azurite(t)
	return &location.Location{Type: location.TypeAzure, Bucket: s.Container(t), Endpoint: s.Endpoint, Prefix: "some/prefix",
		Credential: location.NewKeyPair(s.Account, s.Key)}
}

func open(t *testing.T, loc *location.Location) *location.Bucket {
	b, err := location.Open(t.Context(), loc, openers, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func driverOf(t *testing.T, loc *location.Location) *blob.Bucket {
	b, err := azure.Open(t.Context(), loc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// random gives so many bytes that look random.
func random(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}), size)
}

func hash(t *testing.T, r io.Reader) string {
	h := sha256.New()
	_, err := io.Copy(h, r)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

func TestChecks(t *testing.T) {
	b := open(t, place(t))
	for _, c := range locationtest.Checks() {
		t.Run(c.Name, func(t *testing.T) { require.NoError(t, c.Run(t.Context(), b)) })
	}
}

// The driver confirms, with and without chunks: nothing is read back.
func TestConfirms(t *testing.T) {
	loc := place(t)
	p := testserver.NewProxy(t, loc.Endpoint)
	var reads atomic.Int32
	p.See = func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, loc.Bucket+"/some/prefix/big") {
			reads.Add(1)
		}
	}
	loc.Endpoint = p.URL
	b := open(t, loc)
	for _, size := range []int64{0, 1, 64 << 10, 64<<10 + 1, 8 << 20, 8<<20 + 1, 40 << 20} {
		info, err := b.Write(t.Context(), "big", random(size), nil)
		require.NoError(t, err, size)
		require.Equal(t, size, info.Size)
		require.Equal(t, hash(t, random(size)), info.SHA256)
		require.Zero(t, reads.Load())
	}
	_, err := b.Verify(t.Context(), "big")
	require.NoError(t, err)
	require.NotZero(t, reads.Load(), "the test does not see reads")

	// What is not answered with checksums is not confirmed.
	p.Strip = []string{"X-Ms-Content-Crc64", "Content-Md5"}
	for _, size := range []int64{1, 40 << 20} {
		reads.Store(0)
		_, err := b.Write(t.Context(), "big", random(size), nil)
		require.NoError(t, err)
		require.NotZero(t, reads.Load(), size)
	}
}

// Of conditional creates at the same time exactly one wins, below the bucket's own care.
func TestOneCreatorWins(t *testing.T) {
	b := driverOf(t, place(t))
	for round := range 5 {
		key := fmt.Sprintf("contested-%d", round)
		errs := make([]error, 8)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() {
				w, err := b.NewWriter(t.Context(), key, &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
				if err == nil {
					_, err = fmt.Fprintf(w, "writer %d", i)
					err = errors.Join(err, w.Close())
				}
				errs[i] = err
			})
		}
		wait.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil {
				require.Equal(t, -1, winner, "two have won")
				winner = i
				continue
			}
			require.ErrorIs(t, err, location.ErrExists)
			require.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(err))
		}
		got, err := b.ReadAll(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("writer %d", winner), string(got))
	}
}

// Who loses the answer to a conditional create recognises the object as its own.
func TestLostAnswer(t *testing.T) {
	loc := place(t)
	p := testserver.NewProxy(t, loc.Endpoint)
	loc.Endpoint = p.URL
	p.Unanswered = func(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Query().Get("comp") != "block" }
	b := driverOf(t, loc)
	p.CutAnswers.Store(1)
	require.NoError(t, b.Upload(t.Context(), "a", strings.NewReader("mine"), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true}))
	require.EqualValues(t, 1, p.Cuts.Load())
	err := b.Upload(t.Context(), "a", strings.NewReader("other"), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
	require.ErrorIs(t, err, location.ErrExists)
	a, err := b.Attributes(t.Context(), "a")
	require.NoError(t, err)
	require.Empty(t, a.Metadata, "the identity of the write shows")

	p.CutAnswers.Store(1)
	require.NoError(t, b.Upload(t.Context(), "large", random(20<<20), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true}))
	require.EqualValues(t, 2, p.Cuts.Load())
	r, err := b.NewReader(t.Context(), "large", nil)
	require.NoError(t, err)
	require.Equal(t, hash(t, random(20<<20)), hash(t, r))
	require.NoError(t, r.Close())
}

func TestCutConnections(t *testing.T) {
	loc := place(t)
	p := testserver.NewProxy(t, loc.Endpoint)
	loc.Endpoint = p.URL
	b := open(t, loc)
	const size = 40 << 20
	p.CutUploads.Store(2)
	info, err := b.Write(t.Context(), "big", random(size), nil)
	require.NoError(t, err)
	require.Equal(t, hash(t, random(size)), info.SHA256)
	require.EqualValues(t, 2, p.Cuts.Load())

	p.CutDownloads.Store(3)
	h := sha256.New()
	_, err = b.Read(t.Context(), "big", h, nil)
	require.NoError(t, err)
	require.Equal(t, info.SHA256, hex.EncodeToString(h.Sum(nil)))
	require.EqualValues(t, 5, p.Cuts.Load())
}

// A write that is cancelled in its middle leaves nothing.
func TestCancelledUpload(t *testing.T) {
	b := driverOf(t, place(t))
	for _, size := range []int64{1000, 40 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := b.NewWriter(ctx, "a", &blob.WriterOptions{ContentType: "text/plain"})
		require.NoError(t, err)
		_, err = io.Copy(w, random(size))
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, w.Close(), context.Canceled)
		there, err := b.Exists(t.Context(), "a")
		require.NoError(t, err)
		require.False(t, there)
	}
}

func TestErrorsOfTheServer(t *testing.T) {
	loc := place(t)
	b := driverOf(t, loc)
	_, err := b.Attributes(t.Context(), "absent")
	require.ErrorIs(t, err, location.ErrNotFound)
	require.Equal(t, gcerrors.NotFound, gcerrors.Code(err))
	require.ErrorIs(t, b.Delete(t.Context(), "absent"), location.ErrNotFound)

	loc.Bucket = "absent"
	b = driverOf(t, loc)
	for name, try := range map[string]func() error{
		"attributes": func() error { _, err := b.Attributes(t.Context(), "a"); return err },
		"read":       func() error { _, err := b.ReadAll(t.Context(), "a"); return err },
		"delete":     func() error { return b.Delete(t.Context(), "a") },
		"list":       func() error { _, err := b.List(nil).Next(t.Context()); return err },
		"write": func() error {
			return b.Upload(t.Context(), "a", strings.NewReader("a"), &blob.WriterOptions{ContentType: "text/plain"})
		},
	} {
		err := try()
		require.ErrorIs(t, err, location.ErrNoBucket, name)
		require.NotEqual(t, gcerrors.NotFound, gcerrors.Code(err), name)
	}
}

// The server takes a retention and keeps none: the object is removed again.
func TestRetentionThatIsNotKept(t *testing.T) {
	b := open(t, place(t))
	_, err := b.Write(t.Context(), "a", strings.NewReader("a"), &location.WriteOptions{Retention: location.Retention{Until: time.Now().Add(time.Hour)}})
	require.ErrorIs(t, err, location.ErrUnsupported)
	_, err = b.Stat(t.Context(), "a")
	require.ErrorIs(t, err, location.ErrNotFound)
}

// Memory does not grow with the object.
func TestMemory(t *testing.T) {
	loc := place(t)
	b := open(t, loc)
	const size = 512 << 20
	peak := watch(t, func() {
		_, err := b.Write(t.Context(), "big", random(size), nil)
		require.NoError(t, err)
	})
	t.Logf("writing: %d MiB", peak>>20)
	require.Less(t, peak, uint64(48<<20))
	peak = watch(t, func() {
		_, err := b.Read(t.Context(), "big", io.Discard, nil)
		require.NoError(t, err)
	})
	t.Logf("reading: %d MiB", peak>>20)
	require.Less(t, peak, uint64(80<<20))
}

// watch returns how much the heap held more at most while f ran.
func watch(t *testing.T, f func()) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m.HeapInuse, uint64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				runtime.GC()
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse-min(before, m.HeapInuse))
			}
		}
	}()
	f()
	close(stop)
	<-done
	require.NotZero(t, peak)
	return peak
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
		if _, err := b.Write(t.Context(), "a/b", random(20<<20), nil); err != nil {
			return err
		}
		_, err := b.Verify(t.Context(), "a/b")
		if err == nil {
			_, err = b.Delete(t.Context(), "a")
		}
		return err
	}
	require.NoError(t, use(open(t, place(location.AzureCredential{SAS: "?" + good}))))
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
	refused(use(open(t, place(location.AzureCredential{SAS: bad}))), bad)

	file := filepath.Join(t.TempDir(), "sas")
	b := open(t, place(location.AzureCredential{SASFile: file}))
	require.ErrorIs(t, use(b), location.ErrCredential, "there is no file yet")
	require.NoError(t, os.WriteFile(file, []byte(good+"\n"), 0o600))
	require.NoError(t, use(b))
	require.NoError(t, os.WriteFile(file, []byte(bad), 0o600))
	refused(use(b), bad)
	require.NoError(t, os.WriteFile(file, []byte("no signature"), 0o600))
	require.ErrorIs(t, use(b), location.ErrCredential)

	b = open(t, place(location.AzureCredential{Key: "b3RoZXIga2V5"}))
	require.ErrorIs(t, use(b), fs.ErrPermission) // azurite says AuthorizationFailure, where Azure says AuthenticationFailed
}

// Blocks of several buffers make the same object as those of one.
func TestWideBlocks(t *testing.T) {
	b, err := azure.OpenLowered(t.Context(), place(t), 64<<10, 3, 5, 20)
	require.NoError(t, err)
	const most = 5*64<<10 + 15*3*64<<10
	for _, size := range []int64{64 << 10, 64<<10 + 1, 5 * 64 << 10, 5*64<<10 + 1, 5*64<<10 + 3*64<<10, most - 1, most} {
		require.NoError(t, b.Upload(t.Context(), "a", random(size), &blob.WriterOptions{ContentType: "text/plain"}), size)
		r, err := b.NewReader(t.Context(), "a", nil)
		require.NoError(t, err)
		require.Equal(t, hash(t, random(size)), hash(t, r), size)
		require.NoError(t, r.Close())
	}
	require.NoError(t, b.Delete(t.Context(), "a"))
	require.ErrorContains(t, b.Upload(t.Context(), "a", random(most+1), &blob.WriterOptions{ContentType: "text/plain"}), "split it")
	there, err := b.Exists(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, there)
}
