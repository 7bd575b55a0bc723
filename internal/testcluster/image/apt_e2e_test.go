//go:build e2e

package image_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testcluster/image"
)

// Real packages become an image, with the same bytes each time. There is no network beside the cluster: they are in its cache.
func TestPackagesBecomeAnImage(t *testing.T) {
	base, err := os.UserCacheDir()
	require.NoError(t, err)
	cache := filepath.Join(base, image.CacheName)
	davit := filepath.Join(t.TempDir(), "davit")
	require.NoError(t, os.WriteFile(davit, []byte("a program"), 0o600))
	spec := image.Postgres(davit)
	spec.Name = "localhost/image-test:1"
	archive, err := image.Build(t.Context(), spec, cache)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(os.Remove(archive), os.Remove(archive+".sha256"))) })
	data, err := os.ReadFile(archive)
	require.NoError(t, err)
	require.Greater(t, len(data), 64<<20)
	require.NoError(t, os.Remove(archive))
	again, err := image.Build(t.Context(), spec, cache)
	require.NoError(t, err)
	require.Equal(t, archive, again)
	rebuilt, err := os.ReadFile(again)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, rebuilt), "the same bytes") // too many to be printed
}
