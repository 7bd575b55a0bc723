//go:build e2e

package repository

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// makeTree makes a tree that has what is counted in its own way: copies, hard links, empty files, links, folders of the same content.
func makeTree(t *testing.T, dir string, seed uint64) {
	t.Helper()
	write := func(name string, content []byte) {
		t.Helper()
		p := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
		require.NoError(t, os.WriteFile(p, content, 0o600))
	}
	big := randomBytes(7, 3<<20)
	write("big", big)
	write("copy/of/big", big)
	write("twin/one/f", randomBytes(8, 5000))
	write("twin/two/f", randomBytes(8, 5000))
	write("empty", nil)
	write("empty too", nil)
	write("changes", randomBytes(seed, 2<<20))
	write("text", text("a line\n", 400000+int(seed)))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "folder/empty"), 0o700))
	_ = os.Remove(filepath.Join(dir, "hard"))
	require.NoError(t, os.Link(filepath.Join(dir, "big"), filepath.Join(dir, "hard")))
	_ = os.Remove(filepath.Join(dir, "link"))
	require.NoError(t, os.Symlink("big", filepath.Join(dir, "link")))
}

func TestStatsAreRestics(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		dir, src := filepath.Join(t.TempDir(), "repository"), t.TempDir()
		restic(t, dir, "init", "--repository-version", version)
		for i := range 3 {
			makeTree(t, src, uint64(20+i))
			restic(t, dir, "backup", src)
		}
		r := openFolder(t, dir, nil)
		all, err := r.Snapshots(t.Context(), nil)
		require.NoError(t, err)
		for _, mode := range []StatsMode{StatsRestoreSize, StatsRawData, StatsFilesByContents, StatsBlobsPerFile} {
			for _, ids := range [][]string{nil, {"latest"}, {all[0].ID, all[1].ID[:12]}} {
				out := restic(t, dir, append([]string{"stats", "--json", "--mode", string(mode)}, ids...)...)
				var want struct {
					Size      uint64 `json:"total_size"`
					Files     uint64 `json:"total_file_count"`
					Blobs     uint64 `json:"total_blob_count"`
					Snapshots int    `json:"snapshots_count"`
				}
				require.NoError(t, json.Unmarshal(out, &want), "%s", out)
				got, err := r.Stats(t.Context(), mode, ids...)
				require.NoError(t, err)
				got.Uncompressed = 0
				require.Equal(t, Stats{Mode: mode, Snapshots: want.Snapshots, TotalSize: want.Size, TotalFiles: want.Files, TotalBlobs: want.Blobs}, got, "%s %v: %s", mode, ids, out)
			}
		}
	}
}
