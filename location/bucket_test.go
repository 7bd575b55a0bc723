package location_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
)

func inMemory(t *testing.T, prefix string) (*location.Bucket, *blob.Bucket) {
	t.Helper()
	raw := memblob.OpenBucket(nil)
	b := location.New(raw, &location.Options{Prefix: prefix})
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b, raw
}

func hash(p []byte) string {
	h := sha256.Sum256(p)
	return hex.EncodeToString(h[:])
}

// rawKeys is everything the store holds, records too.
func rawKeys(t *testing.T, raw *blob.Bucket) []string {
	t.Helper()
	keys := []string{}
	for it := raw.List(nil); ; {
		o, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return keys
		}
		require.NoError(t, err)
		keys = append(keys, o.Key)
	}
}

func TestWriteRecordsAndReadVerifies(t *testing.T) {
	b, raw := inMemory(t, "/site//a/")
	data := bytes.Repeat([]byte("davit"), 700_000) // more than three buffers
	var seen int64
	info, err := b.Write(t.Context(), "/db/./dump.gz", bytes.NewReader(data), &location.WriteOptions{Progress: func(n int64) { seen = n }})
	require.NoError(t, err)
	require.Equal(t, "db/dump.gz", info.Key)
	require.Equal(t, int64(len(data)), info.Size)
	require.Equal(t, hash(data), info.SHA256)
	require.Equal(t, info.Size, seen)
	require.Equal(t, []string{"site/a/.davit/sum/db/dump.gz.json", "site/a/db/dump.gz"}, rawKeys(t, raw))

	var out bytes.Buffer
	got, err := b.Read(t.Context(), "db/dump.gz", &out, nil)
	require.NoError(t, err)
	require.Equal(t, info.SHA256, got.SHA256)
	require.True(t, bytes.Equal(data, out.Bytes()))

	got, err = b.Stat(t.Context(), "db/dump.gz")
	require.NoError(t, err)
	require.Equal(t, info, got)
}

func TestFailedWriteStoresNothing(t *testing.T) {
	boom := errors.New("boom")
	b, raw := inMemory(t, "")
	failing := io.MultiReader(strings.NewReader(strings.Repeat("x", 3<<20)), iotest.ErrReader(boom))
	_, err := b.Write(t.Context(), "a", failing, nil)
	require.ErrorIs(t, err, boom)
	require.Empty(t, rawKeys(t, raw))

	_, err = b.Write(t.Context(), "a", strings.NewReader("old"), nil)
	require.NoError(t, err)
	_, err = b.Write(t.Context(), "a", iotest.ErrReader(boom), nil)
	require.ErrorIs(t, err, boom)
	info, err := b.Verify(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, hash([]byte("old")), info.SHA256)
}

func TestWriteReturnsWhenTheReaderBlocks(t *testing.T) {
	b, raw := inMemory(t, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		_, _ = w.Write([]byte("some"))
		cancel(stop)
	}()
	_, err := b.Write(ctx, "a", r, nil)
	require.ErrorIs(t, err, stop)
	require.Empty(t, rawKeys(t, raw))
}

func TestDamageIsFound(t *testing.T) {
	for name, damaged := range map[string]string{"changed": "hellO", "shorter": "hell", "longer": "hello!", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			b, raw := inMemory(t, "")
			_, err := b.Write(t.Context(), "a", strings.NewReader("hello"), nil)
			require.NoError(t, err)
			require.NoError(t, raw.WriteAll(t.Context(), "a", []byte(damaged), nil))
			var out bytes.Buffer
			_, err = b.Read(t.Context(), "a", &out, nil)
			require.ErrorIs(t, err, location.ErrCorrupt)
			if len(damaged) != len("hello") {
				require.Zero(t, out.Len(), "the size alone shows the damage")
			}
			_, err = b.Verify(t.Context(), "a")
			require.ErrorIs(t, err, location.ErrCorrupt)
		})
	}
}

func TestDamagedRecord(t *testing.T) {
	for name, text := range map[string]string{
		"garbage": "{", "no hash": `{"size":5}`, "bad hash": `{"size":5,"sha256":"zz"}`, "huge": strings.Repeat(" ", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			b, raw := inMemory(t, "")
			_, err := b.Write(t.Context(), "a", strings.NewReader("hello"), nil)
			require.NoError(t, err)
			require.NoError(t, raw.WriteAll(t.Context(), ".davit/sum/a.json", []byte(text), nil))
			_, err = b.Read(t.Context(), "a", io.Discard, nil)
			require.ErrorIs(t, err, location.ErrCorrupt)
			_, err = b.Write(t.Context(), "a", strings.NewReader("again"), nil)
			require.NoError(t, err, "a write mends it")
			_, err = b.Verify(t.Context(), "a")
			require.NoError(t, err)
		})
	}
}

func TestObjectOfAnotherTool(t *testing.T) {
	b, raw := inMemory(t, "p")
	require.NoError(t, raw.WriteAll(t.Context(), "p/a", []byte("hello"), nil))
	info, err := b.Read(t.Context(), "a", io.Discard, nil)
	require.NoError(t, err)
	require.Empty(t, info.SHA256)
	require.Equal(t, int64(5), info.Size)
	_, err = b.Verify(t.Context(), "a")
	require.ErrorIs(t, err, location.ErrUnverified)

	_, err = b.Write(t.Context(), "a", strings.NewReader("ours"), nil)
	require.NoError(t, err)
	_, err = b.Verify(t.Context(), "a")
	require.NoError(t, err)
}

// A writer can die between any two of its steps. Whatever it leaves, a good object must not look damaged.
func TestRecordsAfterACrash(t *testing.T) {
	record := func(content string) string {
		return `"size":` + string(rune('0'+len(content))) + `,"sha256":"` + hash([]byte(content)) + `","written":"2026-01-02T03:04:05Z"`
	}
	during := "{" + record("new") + `,"previous":{` + record("old") + "}}"
	for _, object := range []string{"old", "new"} {
		b, raw := inMemory(t, "")
		require.NoError(t, raw.WriteAll(t.Context(), "a", []byte(object), nil))
		require.NoError(t, raw.WriteAll(t.Context(), ".davit/sum/a.json", []byte(during), nil))
		info, err := b.Verify(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, hash([]byte(object)), info.SHA256)
		_, err = b.Write(t.Context(), "a", strings.NewReader("third"), nil)
		require.NoError(t, err)
		_, err = b.Verify(t.Context(), "a")
		require.NoError(t, err)
	}
}

func TestListAndDeleteKeepToWholeNames(t *testing.T) {
	b, raw := inMemory(t, "p")
	for _, k := range []string{"a/1", "a/1/x", "a/1/y/z", "a/10", "a/1.gz", "b"} {
		_, err := b.Write(t.Context(), k, strings.NewReader(k), nil)
		require.NoError(t, err)
	}
	require.NoError(t, raw.WriteAll(t.Context(), "p2/a/1", []byte("other prefix"), nil))
	require.Equal(t, []string{"a/1", "a/1/x", "a/1/y/z"}, keys(t, b, "/a/1/"))
	require.Equal(t, []string{"a/1", "a/1.gz", "a/1/x", "a/1/y/z", "a/10", "b"}, keys(t, b, ""))

	n, err := b.Delete(t.Context(), "a/1")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, []string{"a/1.gz", "a/10", "b"}, keys(t, b, ""))
	n, err = b.Delete(t.Context(), "a/1")
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, []string{"p/.davit/sum/a/1.gz.json", "p/.davit/sum/a/10.json", "p/.davit/sum/b.json", "p/a/1.gz", "p/a/10", "p/b", "p2/a/1"},
		rawKeys(t, raw))
}

func TestDeleteSweepsRecordsOfADeadWriter(t *testing.T) {
	b, raw := inMemory(t, "")
	for _, k := range []string{".davit/sum/a.json", ".davit/sum/a/b.json", ".davit/sum/ab.json"} {
		require.NoError(t, raw.WriteAll(t.Context(), k, []byte("{}"), nil))
	}
	n, err := b.Delete(t.Context(), "a")
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, []string{".davit/sum/ab.json"}, rawKeys(t, raw))
}

func keys(t *testing.T, b *location.Bucket, prefix string) []string {
	t.Helper()
	var all []string
	for info, err := range b.List(t.Context(), prefix) {
		require.NoError(t, err)
		all = append(all, info.Key)
	}
	return all
}

func TestAbsent(t *testing.T) {
	b, _ := inMemory(t, "")
	_, err := b.Read(t.Context(), "a", io.Discard, nil)
	require.ErrorIs(t, err, location.ErrNotFound)
	require.EqualError(t, err, `read object "a": not found in the location`)
	_, err = b.Verify(t.Context(), "a")
	require.ErrorIs(t, err, location.ErrNotFound)
	_, err = b.Stat(t.Context(), "a")
	require.ErrorIs(t, err, location.ErrNotFound)
}
