package location_test

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
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
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // how much garbage there may be depends on what ran before
	require.Less(t, stream(t, 64<<20), uint64(memoryBound))
}

// BenchmarkPromiseStreamMemory writes, reads back and reads 1 GiB, and then 16 MiB: what the heap grows by above idle does not depend on the stream.
func BenchmarkPromiseStreamMemory(b *testing.B) {
	short := stream(b, 16<<20)
	long := stream(b, 1<<30)
	promise("location-stream-memory-MiB", float64(long)/(1<<20), memoryBound>>20)
	promise("location-stream-memory-1GiB-over-16MiB", float64(long)/float64(max(short, 1<<20)), 2)
}

// promise prints a line of make bench.
func promise(name string, figure, bound float64) {
	verdict := "holds"
	if figure > bound {
		verdict = "short"
	}
	fmt.Printf("promise %s %.1f <=%.0f %s\n", name, figure, bound, verdict) //nolint:forbidigo // the line is the benchmark's result
}
