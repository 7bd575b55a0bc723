package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// randomNode is a node of any kind.
func randomNode(r *rand.Rand) *format.Node {
	text := func() string {
		b := make([]byte, 1+r.IntN(8))
		for i := range b {
			if b[i] = byte(r.IntN(256)); r.IntN(3) > 0 {
				b[i] = "abc<>&\"\\\n\x7f \xc3\xa9"[r.IntN(12)]
			}
		}
		if r.IntN(2) == 0 {
			return "plain"
		}
		return string(b)
	}
	moment := func() time.Time {
		zone := time.FixedZone("", []int{0, 3600, -5400, 90, 86000}[r.IntN(5)])
		return time.Unix(r.Int64N(1<<[]int{20, 32, 40}[r.IntN(3)])-1000, r.Int64N(1e9)).In(zone)
	}
	n := &format.Node{
		Name: text(), Type: format.TypeFile, Mode: fs.FileMode(r.Uint32N(1 << 10)), ModTime: moment(), AccessTime: moment(), ChangeTime: moment(), UID: r.Uint32N(3), GID: r.Uint32(),
		Size: r.Uint64N(2), Inode: r.Uint64N(2), DeviceID: r.Uint64N(2), Links: r.Uint64N(2), Device: r.Uint64N(2),
	}
	if r.IntN(2) == 0 {
		n.User, n.Group = text(), text()
	}
	if r.IntN(3) == 0 {
		n.LinkTarget = text()
	}
	for range r.IntN(3) {
		n.Xattrs = append(n.Xattrs, format.Xattr{Name: text(), Value: [][]byte{nil, {}, {1, 255}}[r.IntN(3)]})
	}
	n.Content = [][]format.ID{nil, {}, {format.NewID()}, {format.NewID(), format.NewID()}}[r.IntN(4)]
	if r.IntN(2) == 0 {
		id := format.NewID()
		n.Subtree = &id
	}
	return n
}

// encodeTree has the nodes ready in any order.
func encodeTree(r *rand.Rand, nodes []*format.Node) ([]byte, error) {
	var text treeText
	text.begin(make([]*Entry, 0, len(nodes)))
	text.done = make([]bool, len(nodes))
	var failures []error
	for _, i := range r.Perm(len(nodes)) {
		failures = append(failures, text.ready(nodes, i))
	}
	return text.end(), errors.Join(failures...)
}

// The fast encoder of trees writes what the other one writes.
func TestEncodeTree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var nodes []*format.Node
		for range r.IntN(4) {
			nodes = append(nodes, randomNode(r))
		}
		// JSON refuses zones whose seconds are not zero, and hours beyond 23, in both.
		want, wantErr := (&format.Tree{Nodes: slices.Clone(nodes)}).Encode()
		got, err := encodeTree(r, append(nodes, nil))
		require.Equal(t, wantErr == nil, err == nil, "%v %v", wantErr, err)
		if wantErr == nil {
			require.Equal(t, string(want), string(got))
		}
	}
}

func BenchmarkEncodeTree(b *testing.B) {
	var nodes []*format.Node
	for range 1000 {
		nodes = append(nodes, &format.Node{
			Name: "some file", Type: format.TypeFile, Mode: 0o644, ModTime: time.Unix(1e9, 5), AccessTime: time.Unix(1e9, 5), ChangeTime: time.Unix(1e9, 7), User: "root", Group: "root",
			Size: 1 << 20, Inode: 12345678, Links: 1, Content: []format.ID{format.NewID()},
		})
	}
	b.Run("fast", func(b *testing.B) {
		for b.Loop() {
			_, err := encodeTree(rand.New(rand.NewPCG(1, 2)), slices.Clone(nodes))
			require.NoError(b, err)
		}
	})
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			_, err := (&format.Tree{Nodes: nodes}).Encode()
			require.NoError(b, err)
		}
	})
}

func BenchmarkBackupSmallFiles(b *testing.B) {
	benchmarkBackup(b, 2000, 4<<10)
}

func BenchmarkBackupLargeFile(b *testing.B) {
	benchmarkBackup(b, 1, 64<<20)
}

// benchmarkBackup backs up random files into memory, each time other ones.
func benchmarkBackup(b *testing.B, files, size int) {
	r, err := Init(b.Context(), location.New(memblob.OpenBucket(nil), nil), testPassword, &Options{cost: 2})
	require.NoError(b, err)
	dir := b.TempDir()
	b.SetBytes(int64(files * size))
	for round := uint64(0); b.Loop(); round++ {
		b.StopTimer()
		for i := range files {
			require.NoError(b, os.WriteFile(fmt.Sprintf("%s/%d", dir, i), randomBytes(round<<12|uint64(i), size), 0o600))
		}
		src, err := NewLocalSource(nil, dir)
		require.NoError(b, err)
		b.StartTimer()
		_, err = r.Backup(b.Context(), src, nil)
		require.NoError(b, err)
	}
}
