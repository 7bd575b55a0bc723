package location_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
)

func store(t *testing.T, b *location.Bucket, key, content string) {
	t.Helper()
	_, err := b.Write(t.Context(), key, strings.NewReader(content), nil)
	require.NoError(t, err)
}

func holds(t *testing.T, b *location.Bucket, key, want string) {
	t.Helper()
	var got bytes.Buffer
	info, err := b.Read(t.Context(), key, &got, nil)
	require.NoError(t, err)
	require.Equal(t, want, got.String())
	require.NotEmpty(t, info.SHA256)
}

// on is a bucket that calls f, once, before the nth such operation on the key.
func on(raw *blob.Bucket, op locationtest.Op, key string, nth int, f func() error) *location.Bucket {
	before := func(_ context.Context, o locationtest.Op, k string) error {
		if o != op || k != key {
			return nil
		}
		if nth--; nth != 0 {
			return nil
		}
		return f()
	}
	return location.New(locationtest.Faulty(raw, locationtest.Faults{Before: before}), nil)
}

// A write that is cancelled once it has replaced an object must not leave nothing.
func TestCancelInTheReadBackOfAReplacement(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	good := location.New(raw, nil)
	store(t, good, "a", "old")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := on(raw, locationtest.OpRead, "a", 1, func() error { cancel(); return ctx.Err() }).Write(ctx, "a", strings.NewReader("newer"), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "the new object stays")
	holds(t, good, "a", "newer")
}

func TestRecordThatCannotBeMadeFinal(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	good := location.New(raw, nil)
	store(t, good, "a", "old")
	_, err := on(raw, locationtest.OpCommit, ".davit/sum/a.json", 2, func() error { return errBoom }).Write(t.Context(), "a", strings.NewReader("newer"), nil)
	require.ErrorIs(t, err, errBoom)
	holds(t, good, "a", "newer")
}

// Writers that die, one after the other, between their record and their object, leave the old one good, also when the
// objects have one size.
func TestDeadWritersOfOneSize(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	good := location.New(raw, nil)
	store(t, good, "a", "AAA")
	for _, content := range []string{"BBB", "CCC", "DDD"} {
		// what a process that dies leaves: the record of both
		text := record(t, raw, "a")
		dying := on(raw, locationtest.OpCommit, "a", 1, func() error { text = record(t, raw, "a"); return errBoom })
		_, err := dying.Write(t.Context(), "a", strings.NewReader(content), nil)
		require.ErrorIs(t, err, errBoom)
		require.NoError(t, raw.WriteAll(t.Context(), ".davit/sum/a.json", []byte(text), nil))
		holds(t, good, "a", "AAA")
		info, err := good.Stat(t.Context(), "a")
		require.NoError(t, err)
		require.Empty(t, info.SHA256, "it cannot know which of the two is there")
	}
	store(t, good, "a", "EEE")
	holds(t, good, "a", "EEE")
	info, err := good.Stat(t.Context(), "a")
	require.NoError(t, err)
	require.NotEmpty(t, info.SHA256)
}

func record(t *testing.T, raw *blob.Bucket, key string) string {
	t.Helper()
	text, err := raw.ReadAll(t.Context(), ".davit/sum/"+key+".json")
	require.NoError(t, err)
	return string(text)
}

func TestStatWhileTheObjectIsReplaced(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	good := location.New(raw, nil)
	store(t, good, "a", "old")
	b := on(raw, locationtest.OpRead, ".davit/sum/a.json", 1, func() error { store(t, good, "a", "newer"); return nil })
	info, err := b.Stat(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, int64(5), info.Size)
	require.NotEmpty(t, info.SHA256)

	// again and again: each look at the record finds that of another object
	looks := 0
	before := func(_ context.Context, op locationtest.Op, key string) error {
		if op == locationtest.OpRead && key == ".davit/sum/a.json" && looks < 3 {
			looks++
			store(t, good, "a", strings.Repeat("x", 10+looks))
		}
		return nil
	}
	info, err = location.New(locationtest.Faulty(raw, locationtest.Faults{Before: before}), nil).Stat(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, int64(13), info.Size)
}

// A Delete that passes while an object below it is written does not take its record.
func TestDeleteDuringAWrite(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	good := location.New(raw, nil)
	b := on(raw, locationtest.OpCommit, "d/x", 1, func() error { _, err := good.Delete(t.Context(), "d"); return err })
	store(t, b, "d/x", "content")
	holds(t, good, "d/x", "content")

	b = on(raw, locationtest.OpList, ".davit/sum/d/", 1, func() error { store(t, good, "d/y", "more"); return nil })
	_, err := b.Delete(t.Context(), "d")
	require.NoError(t, err)
	holds(t, good, "d/y", "more")
}

func TestHostileRecords(t *testing.T) {
	const hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	for _, text := range []string{
		"", "null", "[]", "7", `"x"`, "{", `{"size":"1"}`, `{"size":-1,"sha256":"` + hash + `"}`, `{"size":1e400,"sha256":"` + hash + `"}`,
		`{"size":3,"sha256":["` + hash + `"]}`, `{"size":3,"sha256":"zz"}`, `{"size":3,"sha256":"` + hash + `","written":1}`,
		`{"size":3,"sha256":"` + hash + `","previous":[]}`, `{"size":3,"sha256":"` + hash + `","previous":{}}`,
		strings.Repeat(" ", 1<<20) + "{}", strings.Repeat("[", 4000),
	} {
		raw := memblob.OpenBucket(nil)
		b := location.New(raw, nil)
		require.NoError(t, raw.WriteAll(t.Context(), "a", []byte("foo"), nil))
		require.NoError(t, raw.WriteAll(t.Context(), ".davit/sum/a.json", []byte(text), nil))
		_, err := b.Read(t.Context(), "a", io.Discard, nil)
		require.ErrorIs(t, err, location.ErrCorrupt, text)
		_, err = b.Stat(t.Context(), "a")
		require.ErrorIs(t, err, location.ErrCorrupt, text)
		store(t, b, "a", "good")
		holds(t, b, "a", "good")
	}
}

// A full disk of the reader's is not the location's.
func TestCallersFaultsGetNoAdviceAboutTheLocation(t *testing.T) {
	b := location.New(memblob.OpenBucket(nil), nil)
	store(t, b, "a", "content")
	_, err := b.Read(t.Context(), "a", fullWriter{}, nil)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NotContains(t, err.Error(), "location")
	_, err = b.Write(t.Context(), "a", iotest.ErrReader(fs.ErrPermission), nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NotContains(t, err.Error(), "location")
}

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
