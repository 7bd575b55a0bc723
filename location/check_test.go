package location_test

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
)

func TestCheckOfAGoodLocation(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	require.NoError(t, raw.WriteAll(t.Context(), "somebody's", []byte("x"), nil))
	findings, err := location.Check(t.Context(), location.New(raw, nil))
	require.NoError(t, err)
	var names []string
	for _, f := range findings {
		require.NoError(t, f.Err)
		require.False(t, f.NotTried)
		names = append(names, f.Name)
	}
	require.Equal(t, []string{"list", "put", "get", "delete", "overwrite", "conditional create", "multipart", "read after write", "clock"}, names)
	require.Equal(t, []string{"somebody's"}, rawKeys(t, raw), "nothing is left, and nothing else was touched")
}

func TestCheckNamesWhatIsRefused(t *testing.T) {
	for op, want := range map[locationtest.Op]string{
		locationtest.OpList:   "list: list objects below",
		locationtest.OpWrite:  "put: write object",
		locationtest.OpRead:   "get: read object ",
		locationtest.OpDelete: "delete: delete object ",
	} {
		raw := locationtest.Faulty(memblob.OpenBucket(nil), locationtest.Faults{Before: locationtest.Fail(op, fmt.Errorf("403: %w", fs.ErrPermission))})
		findings, err := location.Check(t.Context(), location.New(raw, nil))
		require.ErrorIs(t, err, fs.ErrPermission)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "lacks that right")
		failed := 0
		for i, f := range findings {
			require.Equal(t, i > 3 || op == locationtest.OpWrite && i > 1, f.NotTried, "%s %s", op, f.Name)
			if f.Err != nil {
				failed++
			}
		}
		require.Equal(t, 1, failed, "one right, one finding")
	}
}

func TestCheckOfAClosedLocation(t *testing.T) {
	raw := memblob.OpenBucket(nil)
	require.NoError(t, raw.Close())
	_, err := location.Check(t.Context(), location.New(raw, nil))
	require.Error(t, err)
	require.NotErrorIs(t, err, location.ErrNotFound)
}
