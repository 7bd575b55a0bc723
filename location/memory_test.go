package location_test

import (
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// memoryBound is what the package promises, with room for the driver and the collector.
const memoryBound = 8 << 20

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// peak runs f and returns by how much the heap in use grew at most, as seen a hundred times a second and at every report.
func peak(f func(report func(int64))) uint64 {
	var idle, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&idle)
	var most atomic.Uint64
	sample := func(int64) {
		runtime.ReadMemStats(&now)
		most.Store(max(most.Load(), now.HeapAlloc))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		var m runtime.MemStats
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				runtime.ReadMemStats(&m)
				for old := most.Load(); m.HeapAlloc > old && !most.CompareAndSwap(old, m.HeapAlloc); old = most.Load() {
				}
			case <-stop:
				return
			}
		}
	}()
	f(sample)
	sample(0)
	close(stop)
	<-stopped
	if most.Load() < idle.HeapAlloc {
		return 0
	}
	return most.Load() - idle.HeapAlloc
}

func stream(tb testing.TB, size int64) uint64 {
	tb.Helper()
	raw, err := file.Open(tb.Context(), &location.Location{Type: location.TypeFile, Bucket: tb.TempDir()})
	require.NoError(tb, err)
	b := location.New(raw, nil)
	grown := peak(func(report func(int64)) {
		info, err := b.Write(tb.Context(), "a", io.LimitReader(zeros{}, size), &location.WriteOptions{Progress: report})
		require.NoError(tb, err)
		require.Equal(tb, size, info.Size)
		_, err = b.Read(tb.Context(), "a", io.Discard, &location.ReadOptions{Progress: report})
		require.NoError(tb, err)
	})
	require.NoError(tb, b.Close())
	return grown
}

func TestMemoryIsBounded(t *testing.T) {
	require.Less(t, stream(t, 64<<20), uint64(memoryBound))
}

// BenchmarkStream1GiB writes, reads back and reads 1 GiB; peak-MiB is the heap above idle.
func BenchmarkStream1GiB(b *testing.B) {
	const size = 1 << 30
	b.SetBytes(size)
	for b.Loop() {
		grown := stream(b, size)
		b.ReportMetric(float64(grown)/(1<<20), "peak-MiB")
		require.Less(b, grown, uint64(memoryBound))
	}
}
