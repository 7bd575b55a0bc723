package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
	"github.com/davit-project/davit/location/repository/internal/format"
)

func TestForget(t *testing.T) {
	r, _ := newRepository(t)
	a := plant(t, r, planted{"a": []byte("1")})
	b := plant(t, r, planted{"a": []byte("2")})
	require.NoError(t, r.Forget(t.Context()))
	require.ErrorIs(t, r.Forget(t.Context(), a, "no such"), ErrNoSnapshot)
	require.ErrorIs(t, r.Forget(t.Context(), ""), ErrNoSnapshot)
	all, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NoError(t, r.Forget(t.Context(), a[:20], a))
	all, err = r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, b, all[0].ID)
	_, unlock, err := r.lock(t.Context(), false)
	require.NoError(t, err)
	require.ErrorIs(t, r.Forget(t.Context(), b), ErrLocked)
	require.NoError(t, unlock())
}

func TestForgetAmbiguous(t *testing.T) {
	r, _ := newRepository(t)
	for i := range 17 {
		plant(t, r, planted{"a": []byte{byte(i)}})
	}
	all, err := r.Snapshots(t.Context(), nil)
	require.NoError(t, err)
	first := map[byte]bool{}
	for _, s := range all {
		if first[s.ID[0]] {
			require.ErrorIs(t, r.Forget(t.Context(), s.ID[:1]), ErrAmbiguous)
			return
		}
		first[s.ID[0]] = true
	}
	t.Fatal("17 IDs begin with different digits of 16")
}

func TestPruneRemovesWhatNobodyNeeds(t *testing.T) {
	r, raw := newRepository(t)
	shared := randomBytes(1, 50000)
	one := planted{"shared": shared, "own": randomBytes(2, 90000), "dir": planted{"x": []byte("x")}}
	two := planted{"shared": shared, "own": randomBytes(3, 30000)}
	first, second := plant(t, r, one), plant(t, r, two)
	// A pack that a crash left.
	require.NoError(t, r.objects.Put(t.Context(), r.file(packFile, format.NewID()), make([]byte, 1000), true))
	dry, err := r.Prune(t.Context(), &PruneOptions{DryRun: true})
	require.NoError(t, err)
	before := copyStore(t, raw)
	require.Equal(t, 1, dry.PacksUnindexed)
	require.Zero(t, dry.BlobsUnused)
	require.NoError(t, r.Forget(t.Context(), first))
	dry, err = r.Prune(t.Context(), &PruneOptions{DryRun: true})
	require.NoError(t, err)
	require.Greater(t, dry.BytesUnused, int64(90000))
	require.Len(t, copyStore(t, raw), len(before)-1)

	var last Progress
	sum, err := r.Prune(t.Context(), &PruneOptions{Progress: func(p Progress) { last = p }})
	require.NoError(t, err)
	require.True(t, last.Done)
	require.Equal(t, sum.BytesRepacked, last.Bytes)
	require.Equal(t, dry.BlobsUnused, sum.BlobsUnused)
	require.Greater(t, sum.BytesFreed, int64(90000))
	var bytes int64
	packs := keysBelow(t, raw, "data/")
	for _, key := range packs {
		a, err := raw.Attributes(t.Context(), key)
		require.NoError(t, err)
		bytes += a.Size
	}
	require.Equal(t, bytes, sum.BytesLeft)
	require.Len(t, packs, sum.PacksLeft)
	require.Len(t, packs, 2, "small packs are joined")
	require.Equal(t, two, harvest(t, reopen(t, raw, nil), second))

	again, err := r.Prune(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, again.PacksRemoved)
	require.Zero(t, again.BlobsUnused)
	require.Empty(t, keysBelow(t, raw, "locks/"))
	require.Equal(t, two, harvest(t, reopen(t, raw, nil), second))
	third := plant(t, r, one)
	require.Equal(t, one, harvest(t, r, third), "the repository goes on after a prune")
}

func TestPruneMaxUnused(t *testing.T) {
	r, raw := newRepository(t)
	big := randomFiles(1, 2, 5<<20)
	keep := planted{"a": big["a"], "b": big["b"]}
	half := plant(t, r, keep)
	plant(t, r, planted{"a": big["a"]})
	require.NoError(t, r.Forget(t.Context(), half))
	for _, c := range []struct {
		opts     PruneOptions
		repacked int
	}{
		{PruneOptions{MaxUnused: 1}, 0},
		{PruneOptions{MaxUnused: 0.6}, 0},
		{PruneOptions{MaxUnused: 0.4}, 1},
		{PruneOptions{MaxUnused: 0.4, MaxRepack: 1000}, 0},
		{PruneOptions{MaxUnused: -1}, 1},
	} {
		c.opts.DryRun = true
		s, err := r.Prune(t.Context(), &c.opts)
		require.NoError(t, err)
		packs := 0
		if s.BytesRepacked > 1<<20 {
			packs = 1
		}
		require.Equal(t, c.repacked, packs, "%+v", c.opts)
	}
	require.NotEmpty(t, keysBelow(t, raw, "data/"))
}

func TestPruneRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, r *Repository, id string) string
		want string
	}{
		{"snapshot", func(_ *testing.T, r *Repository, id string) string { return "snapshots/" + id }, "forget the snapshots that are damaged"},
		{"index", func(t *testing.T, r *Repository, _ string) string {
			for f := range r.list(t.Context(), indexFile) {
				return r.file(indexFile, f.ID)
			}
			return ""
		}, "repair the index"},
		{"tree", func(_ *testing.T, r *Repository, _ string) string { return packOf(r, format.TreeBlob) }, "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, raw := newRepository(t)
			id := plant(t, r, planted{"a": randomBytes(1, 10000)})
			gone := plant(t, r, planted{"a": randomBytes(2, 10000)})
			require.NoError(t, r.Forget(t.Context(), gone))
			key := c.harm(t, r, id)
			content, err := raw.ReadAll(t.Context(), key)
			require.NoError(t, err)
			content[40] ^= 1
			require.NoError(t, raw.WriteAll(t.Context(), key, content, nil))
			before := copyStore(t, raw)
			_, err = r.Prune(t.Context(), nil)
			require.ErrorIs(t, err, ErrDamaged)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "nothing was removed")
			require.Equal(t, before, copyStore(t, raw))
		})
	}
}

// packOf is the key of the pack of the first blob of that type.
func packOf(r *Repository, kind format.BlobType) string {
	for p := range r.idx.all() {
		if p.Type == kind {
			return r.file(packFile, p.Pack)
		}
	}
	return ""
}

func TestPruneRefusesMissing(t *testing.T) {
	for _, kind := range []format.BlobType{format.DataBlob, format.TreeBlob} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, cut), func(t *testing.T) {
				r, raw := newRepository(t)
				plant(t, r, planted{"a": randomBytes(1, 10000)})
				key := packOf(r, kind)
				content, err := raw.ReadAll(t.Context(), key)
				require.NoError(t, err)
				require.NoError(t, raw.Delete(t.Context(), key))
				if cut {
					require.NoError(t, raw.WriteAll(t.Context(), key, content[:len(content)-1], nil))
				}
				before := copyStore(t, raw)
				_, err = r.Prune(t.Context(), nil)
				require.ErrorIs(t, err, ErrDamaged)
				require.ErrorContains(t, err, "nothing was removed")
				require.Equal(t, before, copyStore(t, raw))
			})
		}
	}
}

// A snapshot that comes in spite of the lock, or a lock that goes, ends a prune before it removes anything that could be needed.
func TestPruneLooksAgain(t *testing.T) {
	for _, c := range []string{"snapshot", "lock"} {
		t.Run(c, func(t *testing.T) {
			r, raw := newRepository(t)
			plant(t, r, planted{"a": randomBytes(1, 10000)})
			id := plant(t, r, planted{"a": randomBytes(2, 10000)})
			require.NoError(t, r.Forget(t.Context(), id))
			var once sync.Once
			store := locationtest.Faulty(raw, locationtest.Faults{Before: func(ctx context.Context, op locationtest.Op, key string) error {
				if op == locationtest.OpCommit && len(key) > 5 && key[:5] == "index" {
					once.Do(func() {
						if c == "snapshot" {
							_, err := r.saveJSON(ctx, snapshotFile, format.Snapshot{Tree: &format.ID{}})
							require.NoError(t, err)
							return
						}
						_, err := r.Unlock(ctx, true)
						require.NoError(t, err)
					})
				}
				return nil
			}})
			faulty, err := Open(t.Context(), location.New(store, nil), testPassword, nil)
			require.NoError(t, err)
			packs := append(keysBelow(t, raw, "data/"), keysBelow(t, raw, "index/")...)
			_, err = faulty.Prune(t.Context(), nil)
			require.ErrorIs(t, err, ErrLockLost)
			require.Subset(t, keysBelow(t, raw, ""), packs)
		})
	}
}

var errKilled = errors.New("killed")

// Wherever a prune is killed, all snapshots can be restored, and the next prune ends as if there had been only one.
func TestPruneKilledAnywhere(t *testing.T) {
	// With all packs written anew, and with those that are needed kept.
	for _, unused := range []float64{-1, 1} {
		synctest.Test(t, func(t *testing.T) { killPrunes(t, unused) })
	}
}

func killPrunes(t *testing.T, unused float64) {
	r, raw := newRepository(t)
	wanted := map[string]planted{}
	var gone []string
	for i := range 6 {
		p := planted{"own": randomBytes(uint64(i), 30000), "pair": randomBytes(uint64(100+i/2), 20000), "dir": planted{"all": randomBytes(99, 9000)}}
		id := plant(t, r, p)
		if i%2 == 0 {
			wanted[id] = p
		} else {
			gone = append(gone, id)
		}
	}
	require.NoError(t, r.Forget(t.Context(), gone...))
	full := copyStore(t, raw)
	var clean PruneSummary
	for after := 1; ; after++ {
		raw := memblob.OpenBucket(nil)
		fillStore(t, raw, full)
		err := pruneKilled(t, location.New(locationtest.Faulty(raw, killAfter(after)), nil), unused)
		r := reopen(t, raw, nil)
		for id, p := range wanted {
			require.Equal(t, p, harvest(t, r, id), "killed after %d", after)
		}
		_, uerr := r.Unlock(t.Context(), true)
		require.NoError(t, uerr)
		_, perr := r.Prune(t.Context(), &PruneOptions{MaxUnused: unused})
		require.NoError(t, perr, "killed after %d", after)
		end, perr := r.Prune(t.Context(), &PruneOptions{MaxUnused: unused})
		require.NoError(t, perr)
		require.Zero(t, end.BlobsUnused, "killed after %d", after)
		require.Zero(t, end.PacksRemoved, "killed after %d", after)
		if clean.PacksLeft == 0 {
			clean = end
		}
		require.Equal(t, clean, end, "killed after %d", after)
		r = reopen(t, raw, nil)
		for id, p := range wanted {
			require.Equal(t, p, harvest(t, r, id), "killed after %d", after)
		}
		if err == nil {
			require.Greater(t, after, 25)
			return
		}
	}
}

// What a prune that was killed has written need not be written again.
func TestPruneGoesOn(t *testing.T) {
	r, raw := newRepository(t)
	p := planted{"a": randomBytes(1, 60000)}
	gone := plant(t, r, planted{"b": randomBytes(2, 60000), "a": p["a"]})
	id := plant(t, r, p)
	require.NoError(t, r.Forget(t.Context(), gone))
	err := pruneKilled(t, location.New(locationtest.Faulty(raw, locationtest.Faults{Before: func(_ context.Context, op locationtest.Op, key string) error {
		if op == locationtest.OpDelete && strings.HasPrefix(key, "index/") {
			return errKilled
		}
		return nil
	}}), nil), -1)
	require.ErrorIs(t, err, errKilled)
	_, err = r.Unlock(t.Context(), true)
	require.NoError(t, err)
	s, err := r.Prune(t.Context(), &PruneOptions{MaxUnused: -1})
	require.NoError(t, err)
	require.Zero(t, s.BytesRepacked)
	require.NotZero(t, s.PacksRemoved)
	require.Equal(t, p, harvest(t, reopen(t, raw, nil), id))
}

func pruneKilled(t *testing.T, b *location.Bucket, unused float64) error {
	t.Helper()
	r, err := Open(t.Context(), b, testPassword, &Options{Connections: 2})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err = r.Prune(ctx, &PruneOptions{MaxUnused: unused})
	return err
}

// killAfter lets so many operations happen, and no more.
func killAfter(n int) locationtest.Faults {
	var count atomic.Int64
	return locationtest.Faults{Before: func(context.Context, locationtest.Op, string) error {
		if count.Add(1) > int64(n) {
			return errKilled
		}
		return nil
	}}
}

// Packs of data and of trees grow beside each other, so that their entries alternate in the index.
func TestSizeOfRepackedPacks(t *testing.T) {
	r, raw := newRepository(t)
	v, err := r.newView(t.Context())
	require.NoError(t, err)
	c, err := v.newCopier(t.Context())
	require.NoError(t, err)
	for i := range 7 {
		_, err := c.w.save(t.Context(), format.BlobType(i%2), randomBytes(uint64(i), 1000*(i+1)))
		require.NoError(t, err)
	}
	require.NoError(t, c.w.finish(t.Context()))
	require.Equal(t, packBytes(t, raw), c.made.bytes())
}

func packBytes(t *testing.T, raw *blob.Bucket) (sum int64) {
	t.Helper()
	it := raw.List(&blob.ListOptions{Prefix: "data/"})
	for {
		o, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return sum
		}
		require.NoError(t, err)
		sum += o.Size
	}
}
