package codec_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/codec"
	"github.com/davit-project/davit/location/file"
	"github.com/davit-project/davit/location/locationtest"
)

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return id
}

func ageOf(t *testing.T, opts codec.AgeOptions) location.Codec {
	t.Helper()
	c, err := codec.Age(&opts)
	require.NoError(t, err)
	return c
}

func over(raw *blob.Bucket, codecs ...location.Codec) *location.Bucket {
	return location.New(raw, &location.Options{Codecs: codecs})
}

func put(t *testing.T, b *location.Bucket, key string, content []byte) location.Info {
	t.Helper()
	info, err := b.Write(t.Context(), key, bytes.NewReader(content), nil)
	require.NoError(t, err)
	return info
}

func get(t *testing.T, b *location.Bucket, key string) ([]byte, location.Info, error) {
	t.Helper()
	var got bytes.Buffer
	info, err := b.Read(t.Context(), key, &got, nil)
	return got.Bytes(), info, err
}

// text is content that gets smaller, but not to nothing.
func text(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "INSERT INTO items VALUES (%d, 'name %d');\n", r.IntN(1e6), r.IntN(1e3))
	}
	return b.Bytes()[:size]
}

func TestEveryCheckHoldsThroughCodecs(t *testing.T) {
	key := ageOf(t, codec.AgeOptions{Identities: []string{identity(t).String()}})
	for name, codecs := range map[string][]location.Codec{"zstd": {codec.Zstd()}, "age": {key}, "both": {codec.Zstd(), key}} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, locationtest.Run(t.Context(), over(memblob.OpenBucket(nil), codecs...)))
		})
	}
}

func TestRoundTrip(t *testing.T) {
	key := ageOf(t, codec.AgeOptions{Identities: []string{identity(t).String()}})
	dir, err := file.Open(t.Context(), &location.Location{Type: location.TypeFile, Bucket: t.TempDir()})
	require.NoError(t, err)
	for name, raw := range map[string]*blob.Bucket{"metadata": memblob.OpenBucket(nil), "folder": dir} {
		for _, size := range []int{0, 1, 65535, 65536, 1 << 20, 3<<20 + 7} {
			b := over(raw, codec.Zstd(), key)
			content := text(size)
			wrote := put(t, b, "k", content)
			got, info, err := get(t, b, "k")
			require.NoError(t, err, "%s %d", name, size)
			require.True(t, bytes.Equal(content, got), "%s %d", name, size)
			require.Equal(t, []string{"zstd", "age"}, info.Codecs)
			require.EqualValues(t, size, info.Content)
			require.Equal(t, wrote, info)
			stat, err := b.Stat(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, info, stat)
			if size > 1<<16 {
				require.Less(t, info.Size, int64(size/2), "it got smaller")
			}
			_, err = over(raw).Verify(t.Context(), "k")
			require.NoError(t, err, "Verify needs no key")
		}
	}
}

// The formats are those of the tools: what is stored can be read without this module.
func TestOtherToolsReadIt(t *testing.T) {
	id := identity(t)
	raw := memblob.OpenBucket(nil)
	content := text(1 << 20)
	put(t, over(raw, codec.Zstd(), ageOf(t, codec.AgeOptions{Identities: []string{id.String()}})), "k", content)
	stored, err := raw.ReadAll(t.Context(), "k")
	require.NoError(t, err)
	require.NotContains(t, string(stored), "INSERT")
	plain, err := age.Decrypt(bytes.NewReader(stored), id)
	require.NoError(t, err)
	d, err := zstd.NewReader(plain)
	require.NoError(t, err)
	defer d.Close()
	got, err := io.ReadAll(d)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	attrs, err := raw.Attributes(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "zstd,age", attrs.Metadata["davit-codecs"])
}

// Where the record is lost, the object's metadata says how it was written.
func TestWithoutRecord(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	b := over(raw, codec.Zstd(), ageOf(t, codec.AgeOptions{Identities: []string{identity(t).String()}}))
	put(t, b, "k", text(1000))
	require.NoError(t, raw.Delete(t.Context(), ".davit/sum/k.json"))
	got, info, err := get(t, b, "k")
	require.NoError(t, err)
	require.Equal(t, text(1000), got)
	require.Empty(t, info.SHA256)
	stat, err := b.Stat(t.Context(), "k")
	require.NoError(t, err)
	require.EqualValues(t, -1, stat.Content, "nobody knows")
}

func TestWhoMayRead(t *testing.T) {
	mine, other := identity(t), identity(t)
	raw := memblob.OpenBucket(nil)
	writer := over(raw, ageOf(t, codec.AgeOptions{Recipients: []string{mine.Recipient().String()}}))
	put(t, writer, "k", []byte("a dump"))
	put(t, over(raw), "plain", []byte("a dump"))

	for name, tc := range map[string]struct {
		b         *location.Bucket
		key, want string
	}{
		"the writer has no key":       {writer, "k", "there is no key to read it"},
		"another key":                 {over(raw, ageOf(t, codec.AgeOptions{Identities: []string{other.String()}})), "k", "none of the identities"},
		"no codec":                    {over(raw), "k", "not set up for"},
		"somebody put plain text in":  {over(raw, ageOf(t, codec.AgeOptions{Identities: []string{mine.String()}})), "plain", "without age"},
		"and the writer sees it, too": {writer, "plain", "without age"},
	} {
		got, _, err := get(t, tc.b, tc.key)
		require.ErrorIs(t, err, location.ErrCodec, name)
		require.ErrorContains(t, err, tc.want, name)
		require.Empty(t, got, name)
	}

	both := over(raw, ageOf(t, codec.AgeOptions{Identities: []string{other.String(), mine.String()}, AcceptPlain: true}))
	for _, key := range []string{"k", "plain"} {
		got, _, err := get(t, both, key)
		require.NoError(t, err)
		require.Equal(t, "a dump", string(got))
	}
}

// A stream that was changed or cut under a record that was changed with it is an error still.
func TestForgedRecord(t *testing.T) {
	key := ageOf(t, codec.AgeOptions{Identities: []string{identity(t).String()}})
	for name, codecs := range map[string][]location.Codec{"age": {key}, "both": {codec.Zstd(), key}, "zstd": {codec.Zstd()}} {
		raw := memblob.OpenBucket(nil)
		put(t, over(raw, codecs...), "k", text(200000))
		stored, err := raw.ReadAll(t.Context(), "k")
		require.NoError(t, err)
		record, err := raw.ReadAll(t.Context(), ".davit/sum/k.json")
		require.NoError(t, err)
		for at := range 12 {
			cut := stored[:len(stored)*at/12]
			forge(t, raw, cut, record)
			_, _, err := get(t, over(raw, codecs...), "k")
			require.ErrorIs(t, err, location.ErrCodec, "%s cut at %d", name, len(cut))
		}
		forge(t, raw, append(bytes.Clone(stored), stored...), record)
		_, _, err = get(t, over(raw, codecs...), "k")
		require.Error(t, err, name)
		if name == "zstd" {
			continue // a checksum is no protection against who means it
		}
		for at := range 12 {
			bad := bytes.Clone(stored)
			bad[(len(bad)-1)*at/11] ^= 1
			forge(t, raw, bad, record)
			_, _, err := get(t, over(raw, codecs...), "k")
			require.ErrorIs(t, err, location.ErrCodec, "%s changed at %d", name, at)
		}
	}
}

// forge replaces the object and lets the record tell of the new one.
func forge(t *testing.T, raw *blob.Bucket, content, record []byte) {
	t.Helper()
	b := location.New(raw, nil)
	put(t, b, "forged", content)
	made, err := raw.ReadAll(t.Context(), ".davit/sum/forged.json")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(record), `"codecs"`)
	require.True(t, ok)
	made = append(bytes.TrimSuffix(made, []byte("}")), []byte(`,"codecs"`+rest)...)
	require.NoError(t, raw.WriteAll(t.Context(), ".davit/sum/k.json", made, nil))
	require.NoError(t, raw.WriteAll(t.Context(), "k", content, nil))
}

// What becomes more than was recorded is cut off: a bucket cannot fill its reader's disk.
func TestBomb(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	put(t, over(raw, codec.Zstd()), "k", make([]byte, 1000))
	record, err := raw.ReadAll(t.Context(), ".davit/sum/k.json")
	require.NoError(t, err)
	put(t, over(raw, codec.Zstd()), "bomb", make([]byte, 64<<20))
	bomb, err := raw.ReadAll(t.Context(), "bomb")
	require.NoError(t, err)
	forge(t, raw, bomb, record)
	got, _, err := get(t, over(raw, codec.Zstd()), "k")
	require.ErrorIs(t, err, location.ErrCorrupt)
	require.LessOrEqual(t, len(got), 1000)
}

func TestBadKeys(t *testing.T) {
	id := identity(t)
	pq, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	for name, opts := range map[string]*codec.AgeOptions{
		"none":                nil,
		"empty":               {},
		"no key":              {Recipients: []string{"secret words"}},
		"two in one":          {Identities: []string{id.String() + "\n" + id.String()}},
		"swapped":             {Recipients: []string{id.String()}},
		"swapped, too":        {Identities: []string{id.Recipient().String()}},
		"damaged":             {Identities: []string{id.String()[:40]}},
		"of different kinds":  {Recipients: []string{id.Recipient().String(), pq.Recipient().String()}},
		"one good, one empty": {Recipients: []string{id.Recipient().String(), ""}},
	} {
		_, err := codec.Age(opts)
		require.ErrorIs(t, err, codec.ErrKey, name)
		require.NotContains(t, err.Error(), "secret words", name)
		require.NotContains(t, err.Error(), id.String()[20:40], name)
	}
}

func TestPostQuantumKeys(t *testing.T) {
	id, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	b := over(memblob.OpenBucket(nil), ageOf(t, codec.AgeOptions{Identities: []string{id.String()}}))
	put(t, b, "k", []byte("x"))
	got, _, err := get(t, b, "k")
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
}

// A write that ends early leaves nothing, and nobody waiting.
func TestWriteThatIsCancelled(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	b := over(raw, codec.Zstd(), ageOf(t, codec.AgeOptions{Identities: []string{identity(t).String()}}))
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(text(5<<20)), readerFunc(func([]byte) (int, error) { cancel(); return 0, context.Canceled }))
	_, err := b.Write(ctx, "k", r, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = raw.ReadAll(t.Context(), "k")
	require.Error(t, err)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
