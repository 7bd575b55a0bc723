//go:build linux

package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
)

// confirms has the driver confirm objects of every kind, with and without chunks: nothing is read back.
func (s Store) confirms(t *testing.T) {
	loc := s.NewPlace(t)
	p := testserver.NewProxy(t, loc.Endpoint)
	var reads atomic.Int32
	p.See = func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, loc.Bucket+"/"+prefix+"/big") {
			reads.Add(1)
		}
	}
	loc.Endpoint = p.URL
	b := s.Bucket(t, loc)
	for _, size := range []int64{0, 1, 64 << 10, 64<<10 + 1, 256 << 10, 256<<10 + 1, 8 << 20, 8<<20 + 1, 16 << 20, 16<<20 + 1, 40 << 20} {
		info, err := b.Write(t.Context(), "big", Random(size), nil)
		require.NoError(t, err, size)
		require.Equal(t, size, info.Size)
		require.Equal(t, Hash(t, Random(size)), info.SHA256)
		require.Zero(t, reads.Load())
	}
	_, err := b.Verify(t.Context(), "big")
	require.NoError(t, err)
	require.NotZero(t, reads.Load(), "the test does not see reads")
}

// oneCreatorWins makes conditional creates at the same time, of which exactly one wins, below the bucket's own care.
func (s Store) oneCreatorWins(t *testing.T) {
	b := s.Driver(t, s.NewPlace(t))
	for round := range 5 {
		key := fmt.Sprintf("contested-%d", round)
		errs := make([]error, 8)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() {
				w, err := b.NewWriter(t.Context(), key, create())
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

// lostAnswer has who loses the answer to a conditional create recognise the object as its own.
func (s Store) lostAnswer(t *testing.T) {
	loc := s.NewPlace(t)
	p := testserver.NewProxy(t, loc.Endpoint)
	loc.Endpoint = p.URL
	b := s.Driver(t, loc)
	p.Unanswered = s.Commits
	p.CutAnswers.Store(1)
	require.NoError(t, b.Upload(t.Context(), "a", strings.NewReader("mine"), create()))
	require.EqualValues(t, 1, p.Cuts.Load())
	require.ErrorIs(t, b.Upload(t.Context(), "a", strings.NewReader("other"), create()), location.ErrExists)
	a, err := b.Attributes(t.Context(), "a")
	require.NoError(t, err)
	require.Empty(t, a.Metadata, "the identity of the write shows")

	p.Unanswered = s.CommitsLarge
	p.CutAnswers.Store(1)
	require.NoError(t, b.Upload(t.Context(), "large", Random(20<<20), create()))
	require.EqualValues(t, 2, p.Cuts.Load())
	r, err := b.NewReader(t.Context(), "large", nil)
	require.NoError(t, err)
	require.Equal(t, Hash(t, Random(20<<20)), Hash(t, r))
	require.NoError(t, r.Close())
}

func (s Store) cutConnections(t *testing.T) {
	loc := s.NewPlace(t)
	p := testserver.NewProxy(t, loc.Endpoint)
	loc.Endpoint = p.URL
	b := s.Bucket(t, loc)
	const size = 40 << 20
	p.CutUploads.Store(2)
	info, err := b.Write(t.Context(), "big", Random(size), nil)
	require.NoError(t, err)
	require.Equal(t, Hash(t, Random(size)), info.SHA256)
	require.EqualValues(t, 2, p.Cuts.Load())

	p.CutDownloads.Store(3)
	h := sha256.New()
	_, err = b.Read(t.Context(), "big", h, nil)
	require.NoError(t, err)
	require.Equal(t, info.SHA256, hex.EncodeToString(h.Sum(nil)))
	require.EqualValues(t, 5, p.Cuts.Load())
}

// cancelledUpload cancels writes in their middle: they leave nothing.
func (s Store) cancelledUpload(t *testing.T) {
	b := s.Driver(t, s.NewPlace(t))
	for _, size := range []int64{1000, 40 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := b.NewWriter(ctx, "a", plain())
		require.NoError(t, err)
		_, err = io.Copy(w, Random(size))
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, w.Close(), context.Canceled)
		there, err := b.Exists(t.Context(), "a")
		require.NoError(t, err)
		require.False(t, there)
	}
}

// errors tells an object that is absent from a bucket that is.
func (s Store) errors(t *testing.T) {
	loc := s.NewPlace(t)
	b := s.Driver(t, loc)
	_, err := b.Attributes(t.Context(), "absent")
	require.ErrorIs(t, err, location.ErrNotFound)
	require.Equal(t, gcerrors.NotFound, gcerrors.Code(err))
	require.ErrorIs(t, b.Delete(t.Context(), "absent"), location.ErrNotFound)

	loc.Bucket = "absent"
	b = s.Driver(t, loc)
	for name, try := range Operations(t, b, 20<<20) {
		err := try()
		require.ErrorIs(t, err, location.ErrNoBucket, name)
		require.NotEqual(t, gcerrors.NotFound, gcerrors.Code(err), name)
	}
}

// memory does not grow with the object.
func (s Store) memory(t *testing.T) {
	b := s.Bucket(t, s.NewPlace(t))
	const size = 512 << 20
	peak := watch(t, func() {
		_, err := b.Write(t.Context(), "big", Random(size), nil)
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
	t.Helper()
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
