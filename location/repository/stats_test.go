package repository

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location/repository/internal/format"
)

func TestStats(t *testing.T) {
	r, raw := newRepository(t)
	same := randomBytes(1, 2*plantedChunk)
	first := plant(t, r, planted{"a": same, "b": same, "dir": planted{"c": randomBytes(2, 100)}, "empty": []byte{}})
	plant(t, r, planted{"a": randomBytes(3, 50)})
	s, err := r.Stats(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, Stats{Mode: StatsRestoreSize, Snapshots: 2, TotalSize: 4*plantedChunk + 150, TotalFiles: 6}, s)
	s, err = r.Stats(t.Context(), StatsFilesByContents)
	require.NoError(t, err)
	require.Equal(t, Stats{Mode: StatsFilesByContents, Snapshots: 2, TotalSize: 2*plantedChunk + 150, TotalFiles: 4}, s)
	s, err = r.Stats(t.Context(), StatsBlobsPerFile, first)
	require.NoError(t, err)
	require.Equal(t, Stats{Mode: StatsBlobsPerFile, Snapshots: 1, TotalSize: 2*plantedChunk + 100, TotalFiles: 2, TotalBlobs: 3}, s)
	s, err = r.Stats(t.Context(), StatsRawData)
	require.NoError(t, err)
	require.EqualValues(t, 4+3, s.TotalBlobs)
	require.Greater(t, s.Uncompressed, uint64(2*plantedChunk+150))

	_, err = r.Stats(t.Context(), "odd")
	require.ErrorContains(t, err, "unknown mode")
	_, err = r.Stats(t.Context(), "", "ffff")
	require.ErrorIs(t, err, ErrNoSnapshot)
	require.NoError(t, raw.Delete(t.Context(), packOf(r, format.TreeBlob)))
	for _, mode := range []StatsMode{StatsRestoreSize, StatsRawData} {
		_, err = r.Stats(t.Context(), mode)
		require.Error(t, err)
	}
	require.Empty(t, keysBelow(t, raw, "locks/"))
}
