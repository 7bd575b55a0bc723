//go:build e2e

package gcs_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/gcs"
	"github.com/davit-project/davit/location/locationtest"
)

// fake-gcs-server ignores conditions on deletes, asks for no credential and keeps no object retention.

var openers = map[string]location.Opener{location.TypeGCS: gcs.Open}

func place(t *testing.T) *location.Location {
	s := testserver.GCS(t)
	return &location.Location{Type: location.TypeGCS, Bucket: s.GCSBucket(t), Endpoint: s.Endpoint, Prefix: "some/prefix"}
}

func open(t *testing.T, loc *location.Location) *location.Bucket {
	b, err := location.Open(t.Context(), loc, openers, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func driverOf(t *testing.T, loc *location.Location) *blob.Bucket {
	b, err := gcs.Open(t.Context(), loc)
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
		if r.Method == http.MethodGet && r.URL.Path == "/"+loc.Bucket+"/some/prefix/big" {
			reads.Add(1)
		}
	}
	loc.Endpoint = p.URL
	b := open(t, loc)
	for _, size := range []int64{0, 1, 256 << 10, 256<<10 + 1, 16 << 20, 16<<20 + 1, 40 << 20} {
		info, err := b.Write(t.Context(), "big", random(size), nil)
		require.NoError(t, err, size)
		require.Equal(t, size, info.Size)
		require.Equal(t, hash(t, random(size)), info.SHA256)
		require.Zero(t, reads.Load())
	}
	_, err := b.Verify(t.Context(), "big")
	require.NoError(t, err)
	require.NotZero(t, reads.Load(), "the test does not see reads")
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
	p.Unanswered = func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/upload/")
	}
	b := driverOf(t, loc)
	p.CutAnswers.Store(1)
	require.NoError(t, b.Upload(t.Context(), "a", strings.NewReader("mine"), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true}))
	require.EqualValues(t, 1, p.Cuts.Load())
	err := b.Upload(t.Context(), "a", strings.NewReader("other"), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
	require.ErrorIs(t, err, location.ErrExists)
	a, err := b.Attributes(t.Context(), "a")
	require.NoError(t, err)
	require.Empty(t, a.Metadata, "the identity of the write shows")

	p.Unanswered = func(r *http.Request) bool { // the last chunk
		size := r.Header.Get("Content-Range")
		return size != "" && !strings.HasSuffix(size, "/*")
	}
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

// The server keeps what it is told of a retention, which is all that can be seen of it there.
func TestRetention(t *testing.T) {
	loc := place(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	for mode, compliance := range map[string]bool{"Locked": true, "Unlocked": false} {
		_, err := open(t, loc).Write(t.Context(), mode, strings.NewReader("a"), &location.WriteOptions{
			Retention: location.Retention{Until: until, Compliance: compliance},
		})
		require.NoError(t, err)
		a, err := driverOf(t, loc).Attributes(t.Context(), "some/prefix/"+mode)
		require.NoError(t, err)
		var got storage.ObjectAttrs
		require.True(t, a.As(&got))
		require.Equal(t, mode, got.Retention.Mode)
		require.True(t, until.Equal(got.Retention.RetainUntil))
	}
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
