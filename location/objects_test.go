package location_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
)

func TestObjects(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	o := location.New(raw, &location.Options{Prefix: "p"}).Objects()
	content := bytes.Repeat([]byte("0123456789"), 300000)
	require.NoError(t, o.Put(t.Context(), "a/b", content, true))
	require.ErrorIs(t, o.Put(t.Context(), "a/b", content, true), location.ErrExists)
	require.NoError(t, o.Put(t.Context(), "a/b", content, false))
	require.NoError(t, o.Put(t.Context(), "a/empty", nil, false))
	require.Equal(t, []string{"p/a/b", "p/a/empty"}, rawKeys(t, raw), "no records")

	got, err := o.Read(t.Context(), "a/b", 3, 4, []byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x3456", string(got))
	_, err = o.Read(t.Context(), "a/b", 2999999, 2, nil)
	require.ErrorIs(t, err, location.ErrCorrupt)
	_, err = o.Read(t.Context(), "a/none", 0, 1, nil)
	require.ErrorIs(t, err, location.ErrNotFound)
	got, err = o.ReadUpTo(t.Context(), "a/b", 2999998, 10)
	require.NoError(t, err)
	require.Equal(t, "89", string(got))
	got, err = o.ReadAll(t.Context(), "a/b", 3000000)
	require.NoError(t, err)
	require.Equal(t, content, got)
	_, err = o.ReadAll(t.Context(), "a/b", 2999999)
	require.ErrorIs(t, err, location.ErrCorrupt)
	size, err := o.Size(t.Context(), "a/b")
	require.NoError(t, err)
	require.EqualValues(t, 3000000, size)
	_, err = o.Size(t.Context(), "a")
	require.ErrorIs(t, err, location.ErrNotFound)

	var keys []string
	for info, err := range o.List(t.Context(), "a") {
		require.NoError(t, err)
		keys = append(keys, info.Key)
	}
	require.Equal(t, []string{"a/b", "a/empty"}, keys)
	require.NoError(t, o.Delete(t.Context(), "a/b", "a/none", "a/empty"))
	require.Empty(t, rawKeys(t, raw))
	require.ErrorIs(t, o.Put(t.Context(), "../x", nil, false), location.ErrKey)
	require.ErrorIs(t, o.Delete(t.Context(), ""), location.ErrKey)
	_, err = o.ReadAll(t.Context(), ".davit/sum/x", 1)
	require.ErrorIs(t, err, location.ErrKey)
}

// Every object is read back where the store does not say what it has.
func TestObjectsAreConfirmed(t *testing.T) {
	damage := func(_ string, w io.Writer) io.Writer { return flipper{w} }
	raw := memblob.OpenBucket(nil)
	o := location.New(locationtest.Faulty(raw, locationtest.Faults{Write: damage}), nil).Objects()
	require.ErrorIs(t, o.Put(t.Context(), "k", []byte("content"), false), location.ErrCorrupt)
	require.Empty(t, rawKeys(t, raw))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, o.Put(ctx, "other", []byte("content"), false))
	require.NotContains(t, rawKeys(t, raw), "other")
}

// flipper damages what is written.
type flipper struct{ w io.Writer }

func (f flipper) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	if len(p) > 0 {
		p[len(p)/2] ^= 1
	}
	return f.w.Write(p)
}
