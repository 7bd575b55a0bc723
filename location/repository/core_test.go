package repository

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

const testPassword = "a password of a test"

func newRepository(t *testing.T) (*Repository, *blob.Bucket) {
	t.Helper()
	raw := memblob.OpenBucket(nil)
	r, err := Init(t.Context(), location.New(raw, nil), testPassword, &Options{cost: 2})
	require.NoError(t, err)
	return r, raw
}

func reopen(t *testing.T, raw *blob.Bucket, opts *Options) *Repository {
	t.Helper()
	r, err := Open(t.Context(), location.New(raw, nil), testPassword, opts)
	require.NoError(t, err)
	require.NoError(t, r.loadIndex(t.Context()))
	return r
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = src.Read(b)
	return b
}

func TestInitAndOpen(t *testing.T) {
	r, raw := newRepository(t)
	require.Equal(t, 2, r.Version())
	_, err := Init(t.Context(), location.New(raw, nil), testPassword, nil)
	require.ErrorIs(t, err, ErrExists)
	again := reopen(t, raw, nil)
	require.Equal(t, r.ID(), again.ID())
	_, err = Open(t.Context(), location.New(raw, nil), "another", nil)
	require.ErrorIs(t, err, ErrPassword)
	_, err = Open(t.Context(), location.New(raw, nil), "", nil)
	require.ErrorIs(t, err, ErrNoPassword)
	_, err = Open(t.Context(), location.New(raw, nil), testPassword, &Options{Path: "elsewhere"})
	require.ErrorIs(t, err, ErrNoRepository)
	_, err = Init(t.Context(), location.New(raw, nil), testPassword, &Options{Path: "odd", ChunkSize: 12345})
	require.ErrorContains(t, err, "no power of two")
}

func TestKeys(t *testing.T) {
	r, raw := newRepository(t)
	id, err := r.AddKey(t.Context(), "second")
	require.NoError(t, err)
	second, err := Open(t.Context(), location.New(raw, nil), "second", nil)
	require.NoError(t, err)
	keys, err := second.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.ErrorContains(t, second.RemoveKey(t.Context(), id), "the one in use")
	require.NoError(t, r.RemoveKey(t.Context(), id))
	_, err = Open(t.Context(), location.New(raw, nil), "second", nil)
	require.ErrorIs(t, err, ErrPassword)
}

func TestWriteAndRead(t *testing.T) {
	r, raw := newRepository(t)
	w, err := r.newWriter(t.Context())
	require.NoError(t, err)
	var blobs [][]byte
	var ids []format.ID
	for i := range 700 {
		content := randomBytes(uint64(i), 60<<10+i)
		if i%2 == 0 {
			content = bytes.Repeat([]byte{byte(i), byte(i >> 8), 3}, 20<<10)
		}
		s, err := w.save(t.Context(), format.BlobType(i%3/2), content)
		require.NoError(t, err)
		require.True(t, s.New)
		blobs, ids = append(blobs, content), append(ids, s.ID)
	}
	s, err := w.save(t.Context(), format.DataBlob, blobs[0])
	require.NoError(t, err)
	require.False(t, s.New)
	require.NoError(t, w.finish(t.Context()))
	w.abandon()

	again := reopen(t, raw, nil)
	for i, id := range ids {
		got, err := again.loadBlob(t.Context(), format.Handle{ID: id, Type: format.BlobType(i % 3 / 2)}, nil)
		require.NoError(t, err)
		require.Equal(t, blobs[i], got)
	}
	byPack := map[format.ID][]format.Blob{}
	for p := range again.idx.all() {
		byPack[p.Pack] = append(byPack[p.Pack], p.Blob)
	}
	n := 0
	for pack, list := range byPack {
		require.NoError(t, again.loadRun(t.Context(), pack, list, func(b format.Blob, content []byte, err error) error {
			n++
			require.Equal(t, b.ID, format.Hash(content))
			return err
		}))
	}
	require.Equal(t, 700, n)
}

// A blob is taken for known only as long as the writer that began its pack has not failed.
func TestAbandon(t *testing.T) {
	r, raw := newRepository(t)
	w, err := r.newWriter(t.Context())
	require.NoError(t, err)
	_, err = w.save(t.Context(), format.DataBlob, []byte("lost"))
	require.NoError(t, err)
	w.abandon()
	require.False(t, r.idx.has(format.Handle{ID: format.Hash([]byte("lost"))}))
	for range 5 {
		w, err = r.newWriter(t.Context())
		require.NoError(t, err)
		_, err = w.save(t.Context(), format.DataBlob, []byte("kept"))
		require.NoError(t, err)
		w.cancel(errors.New("boom"))
		_, err = w.save(t.Context(), format.DataBlob, []byte("other"))
		require.ErrorContains(t, err, "boom")
		require.ErrorContains(t, w.finish(t.Context()), "boom")
	}
	require.Empty(t, again(t, raw))
}

func again(t *testing.T, raw *blob.Bucket) []place {
	t.Helper()
	var all []place
	for p := range reopen(t, raw, nil).idx.all() {
		all = append(all, p)
	}
	return all
}

func TestLocks(t *testing.T) {
	r, raw := newRepository(t)
	other := reopen(t, raw, nil)
	ctx, unlock, err := r.lock(t.Context(), false)
	require.NoError(t, err)
	_, unlockOther, err := other.lock(t.Context(), false)
	require.NoError(t, err)
	_, _, err = other.lock(t.Context(), true)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, unlockOther())
	_, _, err = other.lock(t.Context(), true)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, ctx.Err())
	require.NoError(t, unlock())
	require.Error(t, ctx.Err())
	_, unlockOther, err = other.lock(t.Context(), true)
	require.NoError(t, err)
	_, _, err = r.lock(t.Context(), false)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, "exclusive lock of")
	require.NoError(t, unlockOther())
	require.NoError(t, unlockOther())
	locks, err := r.Locks(t.Context())
	require.NoError(t, err)
	require.Empty(t, locks)
}

// A process that is gone, and one that was not heard of for half an hour, are in nobody's way.
func TestStaleLocks(t *testing.T) {
	r, _ := newRepository(t)
	dead := format.Lock{Time: time.Now(), Exclusive: true, Hostname: r.opts.Host, PID: 1 << 30}
	old := format.Lock{Time: time.Now().Add(-31 * 60e9), Exclusive: true, Hostname: "elsewhere", PID: 1}
	dead.Hostname = r.lockHost()
	for _, l := range []format.Lock{dead, old} {
		_, err := r.saveJSON(t.Context(), lockFile, l)
		require.NoError(t, err)
		_, unlock, err := r.lock(t.Context(), false)
		require.NoError(t, err)
		require.NoError(t, unlock())
	}
	alive := format.Lock{Time: time.Now(), Exclusive: true, Hostname: "elsewhere", PID: 1 << 30}
	_, err := r.saveJSON(t.Context(), lockFile, alive)
	require.NoError(t, err)
	_, _, err = r.lock(t.Context(), false)
	require.ErrorIs(t, err, ErrLocked)
	n, err := r.Unlock(t.Context(), false)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = r.Unlock(t.Context(), true)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestDamagedPack(t *testing.T) {
	r, raw := newRepository(t)
	w, err := r.newWriter(t.Context())
	require.NoError(t, err)
	s, err := w.save(t.Context(), format.DataBlob, randomBytes(1, 1000))
	require.NoError(t, err)
	require.NoError(t, w.finish(t.Context()))
	h := format.Handle{ID: s.ID}
	p, ok := r.idx.lookup(h)
	require.True(t, ok)
	key := r.file(packFile, p.Pack)
	content, err := raw.ReadAll(t.Context(), key)
	require.NoError(t, err)
	content[100] ^= 1
	require.NoError(t, raw.WriteAll(t.Context(), key, content, nil))
	_, err = r.loadBlob(t.Context(), h, nil)
	require.ErrorIs(t, err, ErrDamaged)
	_, err = r.loadBlob(t.Context(), format.Handle{ID: s.ID, Type: format.TreeBlob}, nil)
	require.ErrorIs(t, err, ErrDamaged)
}

func TestChunkSizeFor(t *testing.T) {
	for volume, want := range map[int64]int{0: 64 << 10, 128 << 30: 64 << 10, 128<<30 + 1: 128 << 10, 512 << 30: 256 << 10, 1 << 40: 512 << 10, 1<<40 + 1: 1 << 20, 1 << 50: 1 << 20} {
		require.Equal(t, want, ChunkSizeFor(volume), volume)
	}
}

// Whoever reads while somebody else writes must not take the writer's packs out of the index, even if index files vanish.
func TestIndexIsKeptForWriters(t *testing.T) {
	r, raw := newRepository(t)
	s, err := r.BackupStream(t.Context(), "a", bytes.NewReader(randomBytes(1, 100_000)), nil)
	require.NoError(t, err)
	w, err := r.newWriter(t.Context())
	require.NoError(t, err)
	_, err = w.save(t.Context(), format.DataBlob, []byte("first"))
	require.NoError(t, err)
	it := raw.List(&blob.ListOptions{Prefix: "index/"})
	o, err := it.Next(t.Context())
	require.NoError(t, err)
	require.NoError(t, raw.Delete(t.Context(), o.Key))
	_, err = r.Find(t.Context(), s.ID, nil)
	require.NoError(t, err)
	require.NoError(t, r.loadIndex(t.Context()))
	_, err = w.save(t.Context(), format.DataBlob, []byte("second"))
	require.NoError(t, err)
	require.NoError(t, w.finish(t.Context()))
	require.NoError(t, r.loadIndex(t.Context()))
	for _, text := range []string{"first", "second"} {
		got, err := r.loadBlob(t.Context(), format.Handle{ID: format.Hash([]byte(text))}, nil)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
}
