package wrapblob_test

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/internal/wrapblob"
	"github.com/davit-project/davit/location"
)

func TestCloseEndsIdleConnections(t *testing.T) {
	ended := 0
	b := &wrapblob.Bucket{B: memblob.OpenBucket(nil), Idle: func() { ended++ }}
	require.NoError(t, b.Close())
	require.Equal(t, 1, ended)
	require.Error(t, b.Close(), "the wrapped bucket is closed")
	require.NoError(t, (&wrapblob.Bucket{B: memblob.OpenBucket(nil)}).Close())
}

var errBroken, errExplained = errors.New("broken"), errors.New("explained")

// breaking reads nothing and then err, and knows no types but *string.
type breaking struct {
	driver.Reader
	err error
}

func (b breaking) Read([]byte) (int, error) { return 0, b.err }
func (b breaking) As(i any) bool            { _, ok := i.(*string); return ok }

func TestVersioned(t *testing.T) {
	explain := func(err error) error { return errors.Join(errExplained, err) }
	r := &wrapblob.Versioned{Reader: breaking{err: io.EOF}, ETag: "1", Explain: explain}
	_, err := r.Read(nil)
	require.Equal(t, io.EOF, err, "the end is no failure")
	var etag location.ETag
	require.True(t, r.As(&etag))
	require.Equal(t, location.ETag("1"), etag)
	require.True(t, r.As(new(string)))
	require.False(t, r.As(new(int)))

	r = &wrapblob.Versioned{Reader: breaking{err: errBroken}, Explain: explain}
	_, err = r.Read(nil)
	require.ErrorIs(t, err, errExplained)
	require.ErrorIs(t, err, errBroken)
	etag = "before"
	require.False(t, r.As(&etag), "the store names none")
	require.Equal(t, location.ETag("before"), etag)
}

func TestUpload(t *testing.T) {
	up, err := wrapblob.Upload(&driver.WriterOptions{})
	require.NoError(t, err)
	require.NotNil(t, up)
	var asked *location.Upload
	up, err = wrapblob.Upload(&driver.WriterOptions{BeforeWrite: func(as func(any) bool) error {
		require.True(t, as(&asked))
		require.False(t, as(new(string)))
		return errBroken
	}})
	require.ErrorIs(t, err, errBroken)
	require.Same(t, asked, up)
}

func TestNames(t *testing.T) {
	page := &driver.ListPage{Objects: []*driver.ListObject{{Key: "a/b"}, {Key: "a/c/"}, {Key: "z"}}}
	names := map[string]string{"a/b": "q__0x2f__b", "a/c/": "b/"}
	wrapblob.Names(page, func(o *driver.ListObject) *string {
		if n, ok := names[o.Key]; ok {
			return &n
		}
		return nil
	})
	var got []string
	for _, o := range page.Objects {
		got = append(got, o.Key)
	}
	require.Equal(t, []string{"b/", "q__0x2f__b", "z"}, got)
}

func TestEscape(t *testing.T) {
	never := func([]rune, int) bool { return false }
	for given, want := range map[string]string{"": "", "a/../b/..": "a/..__0x2f__b/..", "../": "..__0x2f__", "./a": "./a", "ü__0x2f__": "ü__0x2f__"} {
		require.Equal(t, want, wrapblob.Escape(given, never))
	}
	require.Equal(t, "a__0x0__b__0xfc__", wrapblob.Escape("a\x00bü", func(runes []rune, i int) bool { return runes[i] == 0 || runes[i] == 'ü' }))
}
