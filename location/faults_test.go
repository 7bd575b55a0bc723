package location_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
)

var errBoom = errors.New("boom")

// Whatever step of a write fails, the outcome is the old object or none, never a mixture.
func TestWriteOverAFaultyStore(t *testing.T) {
	content := bytes.Repeat([]byte("new content "), 200_000)
	for name, tc := range map[string]struct {
		faults locationtest.Faults
		want   error
		// lost: the failure comes after the old object was replaced.
		lost bool
	}{
		"look up":              {locationtest.Faults{Before: locationtest.Fail(locationtest.OpStat, errBoom)}, errBoom, false},
		"begin":                {locationtest.Faults{Before: locationtest.Fail(locationtest.OpWrite, errBoom)}, errBoom, false},
		"first byte":           {locationtest.Faults{Write: locationtest.FailWriteAt(0, errBoom)}, errBoom, false},
		"in the middle":        {locationtest.Faults{Write: locationtest.FailWriteAt(1_500_000, errBoom)}, errBoom, false},
		"disk full":            {locationtest.Faults{Write: locationtest.FailWriteAt(1_500_000, syscall.ENOSPC)}, syscall.ENOSPC, false},
		"commit of the record": {locationtest.Faults{Before: failCommit(".davit/sum/a.json")}, errBoom, false},
		"commit of the object": {locationtest.Faults{Before: failCommit("a")}, errBoom, false},
		"every commit":         {locationtest.Faults{Before: locationtest.Fail(locationtest.OpCommit, errBoom)}, errBoom, false},
		"read back is cut":     {locationtest.Faults{Read: onObject(locationtest.CutRead(2_000_000))}, location.ErrCorrupt, true},
		"read back is damaged": {locationtest.Faults{Read: onObject(locationtest.FlipBit(2_000_000))}, location.ErrCorrupt, true},
		"read back fails":      {locationtest.Faults{Read: onObject(func(string, io.Reader) io.Reader { return failing{} })}, errBoom, true},
	} {
		for _, exists := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " over another", false: ""}[exists], func(t *testing.T) {
				raw := memblob.OpenBucket(nil)
				good := location.New(raw, nil)
				if exists {
					_, err := good.Write(t.Context(), "a", strings.NewReader("old"), nil)
					require.NoError(t, err)
				}
				_, err := location.New(locationtest.Faulty(raw, tc.faults), nil).Write(t.Context(), "a", bytes.NewReader(content), nil)
				require.ErrorIs(t, err, tc.want)
				if !exists || tc.lost {
					require.Empty(t, rawKeys(t, raw), "nothing is left")
					return
				}
				var got bytes.Buffer
				info, err := good.Read(t.Context(), "a", &got, nil)
				require.NoError(t, err)
				require.Equal(t, "old", got.String())
				require.NotEmpty(t, info.SHA256)
			})
		}
	}
}

func failCommit(of string) func(context.Context, locationtest.Op, string) error {
	return func(_ context.Context, op locationtest.Op, key string) error {
		if op == locationtest.OpCommit && key == of {
			return errBoom
		}
		return nil
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBoom }

func onObject(f func(string, io.Reader) io.Reader) func(string, io.Reader) io.Reader {
	return func(key string, r io.Reader) io.Reader {
		if key != "a" {
			return r
		}
		return f(key, r)
	}
}

func TestReadFromAFaultyStore(t *testing.T) {
	content := bytes.Repeat([]byte("content "), 300_000)
	for name, tc := range map[string]struct {
		faults locationtest.Faults
		want   error
	}{
		"cut":         {locationtest.Faults{Read: onObject(locationtest.CutRead(1_000_000))}, location.ErrCorrupt},
		"damaged":     {locationtest.Faults{Read: onObject(locationtest.FlipBit(0))}, location.ErrCorrupt},
		"fails":       {locationtest.Faults{Read: onObject(func(string, io.Reader) io.Reader { return failing{} })}, errBoom},
		"cannot open": {locationtest.Faults{Before: locationtest.Fail(locationtest.OpRead, fs.ErrPermission)}, fs.ErrPermission},
	} {
		t.Run(name, func(t *testing.T) {
			raw := memblob.OpenBucket(nil)
			_, err := location.New(raw, nil).Write(t.Context(), "a", bytes.NewReader(content), nil)
			require.NoError(t, err)
			_, err = location.New(locationtest.Faulty(raw, tc.faults), nil).Read(t.Context(), "a", io.Discard, nil)
			require.ErrorIs(t, err, tc.want)
		})
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for want, cause := range map[string]error{
		"the location is full: free space": syscall.ENOSPC,
		"quota is used up":                 syscall.EDQUOT,
		"does not take files of that size": syscall.EFBIG,
		"read-only: mount it for writing":  syscall.EROFS,
		"lacks that right on the location": fs.ErrPermission,
	} {
		b := location.New(locationtest.Faulty(memblob.OpenBucket(nil), locationtest.Faults{Before: locationtest.Fail(locationtest.OpWrite, cause)}), nil)
		_, err := b.Write(t.Context(), "a", strings.NewReader("x"), nil)
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, `write object "a"`)
	}
}

func TestDeleteThatFailsInBetween(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	good := location.New(raw, nil)
	for _, k := range []string{"d/1", "d/2", "d/3"} {
		_, err := good.Write(t.Context(), k, strings.NewReader(k), nil)
		require.NoError(t, err)
	}
	b := location.New(locationtest.Faulty(raw, locationtest.Faults{Before: locationtest.FailOnce(locationtest.OpDelete, errBoom)}), nil)
	n, err := b.Delete(t.Context(), "d")
	require.ErrorIs(t, err, errBoom)
	require.Equal(t, 2, n)
	require.ErrorContains(t, err, `delete "d": 2 objects deleted, then: delete object "d/`)
	left := rawKeys(t, raw)
	require.Len(t, left, 2, "an object and its record")
	_, err = good.Verify(t.Context(), left[1])
	require.NoError(t, err, "what is left is still verified")
	n, err = b.Delete(t.Context(), "d")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Empty(t, rawKeys(t, raw))
}

func TestListThatFails(t *testing.T) {
	b := location.New(locationtest.Faulty(memblob.OpenBucket(nil), locationtest.Faults{Before: locationtest.Fail(locationtest.OpList, errBoom)}), nil)
	count := 0
	for _, err := range b.List(t.Context(), "a") {
		require.ErrorIs(t, err, errBoom)
		count++
	}
	require.Equal(t, 1, count)
	_, err := b.Delete(t.Context(), "a")
	require.ErrorIs(t, err, errBoom)
}

func TestProgressIsNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := location.New(memblob.OpenBucket(nil), nil)
		var reports []int64
		slow := &slowReader{chunks: 20, each: 100 * time.Millisecond}
		info, err := b.Write(t.Context(), "a", slow, &location.WriteOptions{Progress: func(n int64) { reports = append(reports, n) }})
		require.NoError(t, err)
		require.LessOrEqual(t, len(reports), 2000/250+2)
		require.GreaterOrEqual(t, len(reports), 4)
		require.IsIncreasing(t, reports[:len(reports)-1])
		require.Equal(t, info.Size, reports[len(reports)-1])
	})
}

// slowReader gives one buffer at a time.
type slowReader struct {
	chunks int
	each   time.Duration
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.chunks == 0 {
		return 0, io.EOF
	}
	s.chunks--
	time.Sleep(s.each) // in the bubble's clock
	return len(p), nil
}

// A bucket that is not there is said to be that, and not an object that is not there.
func TestNoBucket(t *testing.T) {
	empty := memblob.OpenBucket(nil)
	_, absent := empty.Attributes(t.Context(), "k")
	none := fmt.Errorf("%w: create it: %w", location.ErrNoBucket, absent) // as drivers have it
	raw := locationtest.Faulty(empty, locationtest.Faults{Before: func(context.Context, locationtest.Op, string) error { return none }})
	b := location.New(raw, nil)
	_, rerr := b.Read(t.Context(), "k", io.Discard, nil)
	_, serr := b.Stat(t.Context(), "k")
	_, werr := b.Write(t.Context(), "k", strings.NewReader("x"), nil)
	_, derr := b.Delete(t.Context(), "k")
	for _, err := range []error{rerr, serr, werr, derr} {
		require.ErrorIs(t, err, location.ErrNoBucket)
		require.NotErrorIs(t, err, location.ErrNotFound)
		require.NotErrorIs(t, err, context.Canceled)
	}
}
