//go:build linux

package repository

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository/internal/format"
)

// FuzzRestoreTree restores trees of any text: nothing outside of the target may change, and nothing may be left of the restore's own.
func FuzzRestoreTree(f *testing.F) {
	f.Add([]byte(`{"nodes":[{"name":"a","type":"file","mode":420,"content":["0000000000000000000000000000000000000000000000000000000000000000"]}]}`))
	f.Add([]byte(`{"nodes":[{"name":"l","type":"symlink","linktarget":"../outside"},{"name":"..","type":"dir"}]}`))
	f.Add([]byte(`{"nodes":[{"name":"p","type":"fifo","mode":33554816,"mtime":"9999-01-01T00:00:00Z","uid":4294967295},{"name":"s","type":"file","size":9,"links":2,"inode":1}]}`))
	r, err := Init(f.Context(), location.New(memblob.OpenBucket(nil), nil), testPassword, &Options{cost: 2})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, tree []byte) {
		id := grow(t, r, leaf{Node: format.Node{Name: "sub", Type: format.TypeDir}, raw: append([]byte{}, tree...)}, fileLeaf("good", []byte("good")))
		around := t.TempDir()
		target := filepath.Join(around, "target")
		require.NoError(t, os.WriteFile(filepath.Join(around, "outside"), []byte("before"), 0o600))
		before := listing(t, around)
		// Twice: the second time everything is there already.
		for range 2 {
			_, _ = r.Restore(t.Context(), id, target, fast(RestoreOptions{Owners: OwnersNever, Delete: true})) // an error, mostly
			noStage(t, target)
		}
		require.Equal(t, "good", readFile(t, target, "good"))
		require.NoError(t, os.RemoveAll(target))
		require.Equal(t, before, listing(t, around))
	})
}
