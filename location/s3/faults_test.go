package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
)

const (
	testKey    = "AKIAOFATEST"
	testSecret = "not/to/be/seen/anywhere"
)

// at is the location of the fake's bucket.
func (f *fake) at() *location.Location {
	return &location.Location{Type: location.TypeS3, Bucket: "bucket", Endpoint: f.URL, Region: "us-east-1", Credential: location.NewKeyPair(testKey, testSecret)}
}

// quick has parts of 64 KiB and hardly waits between attempts.
func quick() *Options {
	return &Options{limits: limits{part: 64 << 10, look: time.Millisecond}, backoff: time.Millisecond}
}

// sizes are those of a stream of one request and of one of several parts.
var sizes = map[string]int64{"one request": 1000, "exactly a part": 64 << 10, "parts": 200_000}

// requireStored checks that there is that object and nothing else.
func (f *fake) requireStored(t *testing.T, data []byte) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Empty(t, f.uploads)
	require.Len(t, f.objects, 1)
	require.True(t, bytes.Equal(data, f.objects["key"].data))
}

func (f *fake) requireEmpty(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Empty(t, f.uploads)
	require.Empty(t, f.objects)
}

func TestRequests(t *testing.T) {
	for name, want := range map[string][]string{
		"one request": {"put"}, "exactly a part": {"put"}, "parts": {"create", "part", "part", "part", "part", "complete"},
	} {
		f := newFake(t)
		up, err := write(t.Context(), open(t, f.at(), quick()), "key", stream(1, sizes[name]), nil)
		require.NoError(t, err)
		require.Equal(t, confirmedOf(content(t, 1, sizes[name])), *up, name)
		require.Equal(t, want, f.calls, name)
		f.requireStored(t, content(t, 1, sizes[name]))
	}
}

// TestWhatPasses is about faults that do no harm.
func TestWhatPasses(t *testing.T) {
	for size, n := range sizes {
		for _, op := range []string{"put", "create", "part", "complete"} {
			for what, numbers := range map[fault][]int{
				cut0: {1, 2}, lost: {1, 2}, busy503: {1, 2, 3, 4, 5, 6, 7}, errorIn200: {1}, wrong: {1}, flip: {1},
			} {
				small := n <= 64<<10
				if small != (op == "put") || what == errorIn200 && op != "complete" || what == wrong && op == "create" || what == flip && op != "part" {
					continue
				}
				for _, create := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%s/%d/create=%v", size, op, what, create), func(t *testing.T) {
						f := newFake(t)
						f.fault = on(op, what, numbers...)
						up, err := write(t.Context(), open(t, f.at(), quick()), "key", stream(1, n), &blob.WriterOptions{IfNotExist: create})
						require.NoError(t, err)
						require.Equal(t, confirmedOf(content(t, 1, n)), *up)
						f.requireStored(t, content(t, 1, n))
					})
				}
			}
		}
	}
}

// TestAllAnswersLost is about a commit that succeeds but never says so.
func TestAllAnswersLost(t *testing.T) {
	for size, n := range sizes {
		for _, create := range []bool{false, true} {
			f := newFake(t)
			f.fault = func(op string, _ int) fault {
				if op == "put" || op == "complete" {
					return lost
				}
				return fine
			}
			up, err := write(t.Context(), open(t, f.at(), quick()), "key", stream(1, n), &blob.WriterOptions{IfNotExist: create})
			require.NoError(t, err, size)
			require.Equal(t, confirmedOf(content(t, 1, n)), *up, size)
			f.requireStored(t, content(t, 1, n))
		}
	}
}

// TestWhatFails is about faults that stay: nothing is left, and the error says what it was.
func TestWhatFails(t *testing.T) {
	for _, c := range []struct {
		op   string
		what fault
		want error
	}{
		{"put", cut0, location.ErrUnavailable},
		{"put", busy503, location.ErrUnavailable},
		{"put", denied, fs.ErrPermission},
		{"put", flip, location.ErrCorrupt},
		{"create", cut0, location.ErrUnavailable},
		{"create", lost, location.ErrUnavailable},
		{"create", busy503, location.ErrUnavailable},
		{"create", denied, fs.ErrPermission},
		{"part", cut0, location.ErrUnavailable},
		{"part", lost, location.ErrUnavailable},
		{"part", busy503, location.ErrUnavailable},
		{"part", denied, fs.ErrPermission},
		{"part", wrong, location.ErrCorrupt},
		{"complete", cut0, location.ErrUnavailable},
		{"complete", busy503, location.ErrUnavailable},
		{"complete", errorIn200, location.ErrUnavailable},
		{"complete", denied, fs.ErrPermission},
	} {
		t.Run(fmt.Sprintf("%s/%d", c.op, c.what), func(t *testing.T) {
			f := newFake(t)
			f.fault = on(c.op, c.what)
			size := int64(200_000)
			if c.op == "put" {
				size = 1000
			}
			up, err := write(t.Context(), open(t, f.at(), quick()), "key", stream(1, size), nil)
			require.ErrorIs(t, err, c.want)
			if up != nil {
				require.Equal(t, location.Upload{}, *up)
			}
			f.requireEmpty(t)
			for _, secret := range []string{testKey, testSecret} {
				require.NotContains(t, err.Error(), secret)
				require.NotContains(t, fmt.Sprintf("%+v", err), secret)
			}
		})
	}
}

func TestSilentStoreConfirmsNothing(t *testing.T) {
	for _, op := range []string{"put", "part", "complete"} {
		f := newFake(t)
		f.fault = on(op, silent, 1)
		size := int64(200_000)
		if op == "put" {
			size = 1000
		}
		up, err := write(t.Context(), open(t, f.at(), quick()), "key", stream(1, size), nil)
		require.NoError(t, err, op)
		require.Equal(t, location.Upload{}, *up, op)
		f.requireStored(t, content(t, 1, size))
	}
}

func TestNothingIsReplaced(t *testing.T) {
	for size, n := range sizes {
		f := newFake(t)
		b := open(t, f.at(), quick())
		_, err := write(t.Context(), b, "key", stream(1, n), nil)
		require.NoError(t, err)
		_, err = write(t.Context(), b, "key", stream(2, n), &blob.WriterOptions{IfNotExist: true})
		require.ErrorIs(t, err, location.ErrExists, size)
		require.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(err))
		f.requireStored(t, content(t, 1, n))
	}
}

func TestAbandonedWrites(t *testing.T) {
	boom := errors.New("boom")
	for size, n := range sizes {
		f := newFake(t)
		b := open(t, f.at(), quick())
		_, err := write(t.Context(), b, "key", io.MultiReader(stream(1, n), iotest.ErrReader(boom)), nil)
		require.ErrorIs(t, err, boom, size)
		ctx, cancel := context.WithCancel(t.Context())
		w, err := b.NewWriter(ctx, "key", &blob.WriterOptions{ContentType: "text/plain"})
		require.NoError(t, err)
		_, err = w.Write(content(t, 1, n))
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, w.Close(), context.Canceled, size)
		f.requireEmpty(t)
	}
}

// TestAbortIsRepeated is about parts that come in after their upload was aborted.
func TestAbortIsRepeated(t *testing.T) {
	f := newFake(t)
	f.fault = func(op string, n int) fault {
		if op == "abort" && n == 1 {
			return busy503
		}
		return on("part", denied)(op, n)
	}
	_, err := write(t.Context(), open(t, f.at(), quick()), "key", stream(1, 200_000), nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	f.requireEmpty(t)
}

// TestStoreWithoutChecksums refuses what has one; the object is stored all the same, and the bucket above has to read it.
func TestStoreWithoutChecksums(t *testing.T) {
	for size, n := range sizes {
		f := newFake(t)
		f.fault = func(string, int) fault { return sumless }
		up, err := write(t.Context(), open(t, f.at(), quick()), "key", stream(1, n), nil)
		require.NoError(t, err, size)
		require.Equal(t, location.Upload{}, *up, size)
		f.requireStored(t, content(t, 1, n))
	}
}
