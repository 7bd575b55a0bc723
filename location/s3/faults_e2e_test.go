//go:build e2e

package s3

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
)

// wired is for tests over a bad network: three parts of 5 MiB, which is the least that S3 takes, and short pauses.
func wired() *Options {
	return &Options{limits: limits{part: 5 << 20, idle: 3 * time.Second}, backoff: 100 * time.Millisecond}
}

const wiredSize = 12 << 20

// TestBadWayUp damages or cuts an upload at every tenth of it, in both directions. What is reported stored is stored, byte for byte; what is not leaves
// nothing.
func TestBadWayUp(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		name := s.Bucket(t)
		way := newWire(t, s.Endpoint)
		loc := at(s, name)
		loc.Endpoint = way.URL
		b := open(t, loc, wired())
		data := content(t, 1, wiredSize)
		way.set(direction{}, direction{})
		_, err := write(t.Context(), b, "whole", bytes.NewReader(data), nil)
		require.NoError(t, err)
		up, down := way.up.passed, way.down.passed
		kept := []string{"whole"}
		failed := map[string]int{}
		for tenth := range int64(11) {
			for kind, faults := range map[string][2]direction{
				"cut up":          {{cutAt: 1 + tenth*up/10}, {}},
				"cut down":        {{}, {cutAt: 1 + tenth*down/10}},
				"dark for a time": {{cutAt: 1 + tenth*up/10, darkness: 200 * time.Millisecond}, {}},
				"flip up":         {{flipAt: 1 + tenth*up/10}, {}},
				"flip down":       {{}, {flipAt: 1 + tenth*down/10}},
			} {
				key := fmt.Sprintf("%s-%d", kind, tenth)
				way.set(faults[0], faults[1])
				_, err := write(t.Context(), b, key, bytes.NewReader(data), &blob.WriterOptions{IfNotExist: tenth%2 == 0})
				way.set(direction{}, direction{})
				got, rerr := b.ReadAll(t.Context(), key)
				if err != nil {
					failed[kind]++
					t.Logf("%s: %v", key, err)
					require.ErrorIs(t, rerr, location.ErrNotFound, "%s: reported as failed (%v), but something is there", key, err)
					continue
				}
				require.NoError(t, rerr, key)
				require.True(t, bytes.Equal(data, got), "%s: reported stored, but is not what was sent", key)
				kept = append(kept, key)
			}
		}
		t.Logf("of 11 each, reported as failed: %v", failed)
		require.Zero(t, failed["cut up"]+failed["cut down"]+failed["dark for a time"], "a cut passes")
		requireClean(t, s, name, kept...)
	})
}

// TestBadWayDown damages or cuts a read at every tenth of it, through a bucket that verifies.
func TestBadWayDown(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		way := newWire(t, s.Endpoint)
		loc := at(s, s.Bucket(t))
		loc.Endpoint = way.URL
		under, err := New(t.Context(), loc, wired())
		require.NoError(t, err)
		b := location.New(under, nil)
		t.Cleanup(func() { _ = b.Close() })
		data := content(t, 1, wiredSize)
		_, err = b.Write(t.Context(), "key", bytes.NewReader(data), nil)
		require.NoError(t, err)
		failed := map[string]int{}
		for tenth := range int64(10) {
			for kind, d := range map[string]direction{"cut": {cutAt: 1 + tenth*wiredSize/10}, "flip": {flipAt: 1 + tenth*wiredSize/10}} {
				way.set(direction{}, d)
				var got bytes.Buffer
				_, err := b.Read(t.Context(), "key", &got, nil)
				if err == nil {
					require.True(t, bytes.Equal(data, got.Bytes()), "%s at %d tenths: a damaged read is reported as good", kind, tenth)
				} else {
					failed[kind]++
				}
			}
		}
		way.set(direction{}, direction{})
		t.Logf("of 10 each, reported as failed: %v", failed)
		require.GreaterOrEqual(t, failed["flip"], 9, "damage is noticed")
		_, err = b.Verify(t.Context(), "key")
		require.NoError(t, err)
	})
}

// TestStormAndSlowStore has two of three requests refused, and then a network of some MB/s.
func TestStormAndSlowStore(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		name := s.Bucket(t)
		target, err := url.Parse(s.Endpoint)
		require.NoError(t, err)
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		}}
		var n atomic.Int64
		storm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%3 != 0 {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			proxy.ServeHTTP(w, r)
		}))
		t.Cleanup(storm.Close)
		loc := at(s, name)
		loc.Endpoint = storm.URL
		stormy := wired()
		stormy.Attempts = 20
		data := content(t, 3, wiredSize)
		up, err := write(t.Context(), open(t, loc, stormy), "storm", bytes.NewReader(data), nil)
		require.NoError(t, err)
		require.Equal(t, confirmedOf(data), *up)

		way := newWire(t, s.Endpoint)
		way.set(direction{pausePerKiB: 100 * time.Microsecond}, direction{pausePerKiB: 100 * time.Microsecond})
		loc.Endpoint = way.URL
		slow := open(t, loc, wired())
		_, err = write(t.Context(), slow, "slow", bytes.NewReader(data), nil)
		require.NoError(t, err)
		got, err := slow.ReadAll(t.Context(), "slow")
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		requireClean(t, s, name, "storm", "slow")
	})
}

// TestRace lets writers create one object at the same time: one wins, and the object is its.
func TestRace(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		name := s.Bucket(t)
		b := open(t, at(s, name), wired())
		keys := []string{}
		for _, writers := range []int{2, 8} {
			for _, size := range []int64{10, 6 << 20} {
				for round := range 5 {
					key := fmt.Sprintf("race/%d/%d/%d", writers, size, round)
					keys = append(keys, key)
					errs := make([]error, writers)
					var all sync.WaitGroup
					for i := range writers {
						all.Go(func() {
							_, errs[i] = write(t.Context(), b, key, stream(byte(i), size), &blob.WriterOptions{IfNotExist: true})
						})
					}
					all.Wait()
					winners := []int{}
					for i, err := range errs {
						if err == nil {
							winners = append(winners, i)
							continue
						}
						require.ErrorIs(t, err, location.ErrExists)
					}
					require.Len(t, winners, 1, key)
					got, err := b.ReadAll(t.Context(), key)
					require.NoError(t, err)
					require.True(t, bytes.Equal(content(t, byte(winners[0]), size), got), key)
				}
			}
		}
		requireClean(t, s, name, keys...)
	})
}
