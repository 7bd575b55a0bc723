package repository

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// promise prints what a benchmark has measured, for make bench.
func promise(name string, figure, bound float64) {
	verdict := "short"
	if figure <= bound {
		verdict = "holds"
	}
	fmt.Printf("promise %s %.1f <=%g %s\n", name, figure, bound, verdict) //nolint:forbidigo // the line is the measurement's result
}

// BenchmarkPromiseIndex measures what a blob takes in the index.
func BenchmarkPromiseIndex(b *testing.B) {
	const packs, blobs = 10_000, 256
	for b.Loop() {
		before := heap()
		x := newIndex()
		list := make([]format.Blob, blobs)
		for n := range packs {
			for i := range list {
				binary.LittleEndian.PutUint64(list[i].ID[:], uint64(n*blobs+i)*0x9e3779b97f4a7c15)
				list[i].Length = 60_000
			}
			x.addPack(format.ID{byte(n), byte(n >> 8)}, list)
		}
		promise("repository-index-bytes-a-blob", float64(heap()-before)/(packs*blobs), 64)
		runtime.KeepAlive(x)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkPromiseMillionFiles measures by how much the memory of a first backup, and of one that changes nothing, grows with a million small files, each of its own content.
func BenchmarkPromiseMillionFiles(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(15))
	for b.Loop() {
		few, many := manyFiles(b, 10_000), manyFiles(b, 1_010_000)
		promise("repository-MiB-a-million-files-first", many[0]-few[0], 100)
		promise("repository-MiB-a-million-files-no-change", many[1]-few[1], 100)
	}
}

// manyFiles returns the most memory that the two backups had, in MiB.
func manyFiles(b *testing.B, n int) (most [2]float64) {
	b.Helper()
	raw, err := file.Open(b.Context(), &location.Location{Type: location.TypeFile, Bucket: b.TempDir()})
	require.NoError(b, err)
	bucket := location.New(raw, nil)
	_, err = Init(b.Context(), bucket, testPassword, &Options{cost: 2})
	require.NoError(b, err)
	for i := range most {
		r, err := Open(b.Context(), bucket, testPassword, nil)
		require.NoError(b, err)
		stop, done := make(chan struct{}), make(chan uint64)
		go func() { done <- watchHeap(stop) }()
		s, err := r.Backup(b.Context(), manySource(n), nil)
		require.NoError(b, err)
		require.EqualValues(b, n, s.Summary.TotalFiles)
		close(stop)
		most[i] = float64(<-done) / (1 << 20)
	}
	return most
}

func watchHeap(stop <-chan struct{}) (most uint64) {
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		select {
		case <-stop:
			return most
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// manySource has so many files in folders of a thousand.
type manySource int

func (manySource) Paths() []string { return []string{"/many"} }

func (manySource) Entry(_ context.Context, path string) (*Entry, error) {
	if path != "/many" {
		return nil, os.ErrNotExist
	}
	return &Entry{Name: "many", Mode: fs.ModeDir | 0o755}, nil
}

func (s manySource) Folder(context.Context, string) (Folder, error) { return manyFolder{s, -1}, nil }

func (manySource) Open(context.Context, string) (io.ReadCloser, error) { return nil, os.ErrNotExist }

// manyFolder is the folder of that number; -1 is that of the folders.
type manyFolder struct {
	s manySource
	n int
}

func (f manyFolder) Entries(context.Context) ([]*Entry, error) {
	var all []*Entry
	if f.n < 0 {
		for i := 0; i*1000 < int(f.s); i++ {
			all = append(all, &Entry{Name: fmt.Sprintf("%06d", i), Mode: fs.ModeDir | 0o755})
		}
		return all, nil
	}
	for i := range min(1000, int(f.s)-1000*f.n) {
		id := uint64(f.n*1000 + i)
		all = append(all, &Entry{Name: fmt.Sprintf("file-%09d", id), Mode: 0o644, ModTime: time.Unix(int64(id), 0), Inode: id + 1, Size: 16})
	}
	return all, nil
}

func (f manyFolder) Folder(_ context.Context, name string) (Folder, error) {
	n := 0
	_, err := fmt.Sscanf(name, "%d", &n)
	return manyFolder{f.s, n}, err
}

func (f manyFolder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(name[len(name)-9:] + "content")), nil
}

func (manyFolder) Close() error { return nil }
