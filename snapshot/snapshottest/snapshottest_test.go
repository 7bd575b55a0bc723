package snapshottest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/memsnap"
)

var volume = snapshot.Ref{Namespace: "ns", Name: "volume"}

func harness(storage *memsnap.Driver, d snapshot.Driver) Harness {
	storage.AddVolume(volume, "")
	return Harness{
		Driver: d, Volume: volume, OtherNamespace: "other",
		Write: func(_ context.Context, content string) error { return storage.Write(volume, content) },
		Read: func(_ context.Context, v snapshot.Ref) (string, error) {
			time.Sleep(5 * time.Second) // for a volume that is only bound now
			return storage.Read(v)
		},
	}
}

func requireClean(t *testing.T, storage *memsnap.Driver) {
	t.Helper()
	require.Empty(t, storage.Snapshots())
	time.Sleep(time.Minute)
	require.Empty(t, storage.Contents())
	require.Empty(t, storage.Stored())
	require.Equal(t, []string{volume.String()}, storage.Volumes())
}

var slow = memsnap.Options{CutAfter: time.Second, ReadyAfter: 3 * time.Second, BindAfter: 2 * time.Second, DeleteAfter: time.Second}

func TestGoodDriversPass(t *testing.T) {
	later := slow
	later.WaitForPod = true
	for name, opts := range map[string]memsnap.Options{
		"at once": {}, "slow": slow, "one by one": {OneByOne: true, CutAfter: time.Second}, "retain": {Policy: snapshot.Retain}, "wait for a pod": later,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := memsnap.New(&opts)
				require.NoError(t, Run(t.Context(), harness(storage, storage)))
				requireClean(t, storage)
			})
		})
	}
}

func TestChecksRunAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := memsnap.New(&slow)
		var wg sync.WaitGroup
		for _, c := range Checks(harness(storage, storage)) {
			wg.Go(func() {
				if err := c.Run(t.Context()); err != nil {
					t.Errorf("%s: %v", c.Name, err)
				}
			})
		}
		wg.Wait()
		requireClean(t, storage)
	})
}

func TestADriverWithoutAbilitiesHasFewerChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := memsnap.New(&slow)
		h := harness(storage, struct{ snapshot.Driver }{storage})
		require.Len(t, Checks(h), len(snapshotChecks()))
		require.NoError(t, Run(t.Context(), h))
	})
}

func TestEveryCheckCatchesItsMutant(t *testing.T) {
	all := mutants()
	for _, c := range Checks(harness(memsnap.New(nil), memsnap.New(nil))) {
		t.Run(c.Name, func(t *testing.T) {
			spoil, ok := all[c.Name]
			require.True(t, ok, "a check without mutant proves nothing")
			delete(all, c.Name)
			synctest.Test(t, func(t *testing.T) {
				storage := memsnap.New(&slow)
				m := &mutant{Driver: storage}
				spoil(m)
				for _, check := range Checks(harness(storage, m)) {
					if check.Name == c.Name {
						err := check.Run(t.Context())
						require.Error(t, err)
						t.Log(err)
					}
				}
			})
		})
	}
	require.Empty(t, all)
}
