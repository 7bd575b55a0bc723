package location_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
)

func TestKeys(t *testing.T) {
	for key, want := range map[string]string{
		"a": "p/q/a", "/a": "p/q/a", "//a//b/": "p/q/a/b", "a/./b": "p/q/a/b", "a/../b": "p/q/b", "a/..b": "p/q/a/..b", "davit": "p/q/davit",
		"ä ö": "p/q/ä ö",
	} {
		b, raw := inMemory(t, "p//q/")
		_, err := b.Write(t.Context(), key, strings.NewReader("x"), nil)
		require.NoError(t, err, key)
		require.Contains(t, rawKeys(t, raw), want)
	}
}

func TestRefusedKeys(t *testing.T) {
	for name, key := range map[string]string{
		"empty": "", "slashes": "///", "dot": ".", "out": "..", "out below": "../x", "out behind": "a/../../x", "out after a slash": "/../x",
		"reserved": ".davit", "reserved below": "a/.davit/sum/x", "zero byte": "a\x00b", "line": "a\nb", "no UTF-8": "a\xff", "long": strings.Repeat("k", 1020),
	} {
		t.Run(name, func(t *testing.T) {
			b, raw := inMemory(t, "p")
			require.NoError(t, raw.WriteAll(t.Context(), "x", []byte("outside"), nil))
			_, err := b.Write(t.Context(), key, strings.NewReader("x"), nil)
			require.ErrorIs(t, err, location.ErrKey)
			require.Less(t, len(err.Error()), 300)
			_, err = b.Read(t.Context(), key, io.Discard, nil)
			require.ErrorIs(t, err, location.ErrKey)
			_, err = b.Delete(t.Context(), key)
			require.ErrorIs(t, err, location.ErrKey)
			_, err = b.Stat(t.Context(), key)
			require.ErrorIs(t, err, location.ErrKey)
			require.Equal(t, []string{"x"}, rawKeys(t, raw))
		})
	}
}

func TestRefusedPrefix(t *testing.T) {
	for _, prefix := range []string{"..", "a/../..", ".davit", "a\x00"} {
		b := location.New(memblob.OpenBucket(nil), &location.Options{Prefix: prefix})
		_, err := b.Write(t.Context(), "a", strings.NewReader("x"), nil)
		require.ErrorIs(t, err, location.ErrKey)
		for _, err := range b.List(t.Context(), "") {
			require.ErrorIs(t, err, location.ErrKey)
		}
		require.NoError(t, b.Close())
	}
}
