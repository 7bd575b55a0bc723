package s3

import (
	"context"
	"hash/crc32"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/davit-project/davit/location"
)

func TestCombinedChecksums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.Byte()).Draw(t, "a"), rapid.SliceOf(rapid.Byte()).Draw(t, "b")
		whole := crc32.Checksum(append(append([]byte{}, a...), b...), castagnoli)
		require.Equal(t, whole, combine(crc32.Checksum(a, castagnoli), crc32.Checksum(b, castagnoli), int64(len(b))))
	})
	zeros := make([]byte, 1<<20)
	crc := crc32.Checksum([]byte("x"), castagnoli)
	want := crc
	for range 8 {
		want = crc32.Update(want, castagnoli, zeros)
	}
	require.Equal(t, want, combine(crc, crc32.Checksum(make([]byte, 8<<20), castagnoli), 8<<20))
}

// TestStreamsShareBuffers has many more streams than buffers, each of which holds one while it waits for a second.
func TestStreamsShareBuffers(t *testing.T) {
	b := newBuffers(16, 2)
	const streams = 20
	var all, hold sync.WaitGroup
	hold.Add(streams)
	for range streams {
		all.Go(func() {
			l := b.lender()
			defer l.close()
			first, err := l.get(t.Context())
			hold.Done()
			hold.Wait()
			if err != nil {
				t.Error(err)
				return
			}
			for range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { // as a part that is uploaded
					defer close(done)
					l.put(first)
				}()
				second, err := l.get(ctx)
				cancel()
				<-done
				if err != nil {
					t.Error(err)
					return
				}
				first = second
			}
			l.put(first)
		})
	}
	all.Wait()
	require.Empty(t, b.spare)
	require.Zero(t, b.active)
	require.Empty(t, b.free, "memory is given back when nobody writes")
}

func TestKeys(t *testing.T) {
	for given, want := range map[string]string{
		"a/b": "a/b", "ä 日+%": "ä 日+%", "__0x2f__": "__0x2f__", "a/../b": "a/..__0x2f__b", "a\nb": "a__0xa__b", "..": "..",
	} {
		require.Equal(t, want, escapeKey(given))
	}
}

func TestMetadataAndBatches(t *testing.T) {
	f := newFake(t)
	b := open(t, f.at(), quick())
	var batch location.BatchDeleter
	require.True(t, b.As(&batch))
	require.Equal(t, 1000, batch.MaxBatch())
	var rights location.Permissions
	require.True(t, b.As(&rights))
	require.Equal(t, "s3:PutObject", rights.Write)
}

// TestBodyIsLeftAlone ends requests whose bodies are still being read; their memory must not be read afterwards, which the race detector sees.
func TestBodyIsLeftAlone(t *testing.T) {
	f := newFake(t)
	early := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable) // before the body is read
	}))
	t.Cleanup(early.Close)
	loc := f.at()
	loc.Endpoint = early.URL
	opts := &Options{limits: limits{part: 8 << 20, look: time.Millisecond}, backoff: time.Millisecond, Attempts: 3}
	b := open(t, loc, opts)
	for _, size := range []int64{4 << 20, 8 << 20} { // in memory of the stock
		for range 5 {
			_, err := write(t.Context(), b, "key", stream(1, size), nil)
			require.ErrorIs(t, err, location.ErrUnavailable)
		}
	}
	body := &body{data: make([]byte, 100)}
	d := body.open(func() error { return nil })
	_, err := d.Read(make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	body.users.Wait()
	_, err = d.Read(make([]byte, 10))
	require.ErrorIs(t, err, fs.ErrClosed)
}
