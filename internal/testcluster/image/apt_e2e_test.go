//go:build e2e

package image_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testcluster/image"
)

// Real packages become an image, and the same one without apt's help as long as they are in the cache.
func TestPackagesBecomeAnImage(t *testing.T) {
	cache := t.TempDir()
	spec := image.Spec{Name: "localhost/image-test:1", Packages: []string{"busybox-static"}}
	archive, err := image.Build(t.Context(), spec, cache)
	require.NoError(t, err)
	data, err := os.ReadFile(archive)
	require.NoError(t, err)
	require.Greater(t, len(data), 1<<20)
	require.NoError(t, os.Remove(archive))
	again, err := image.Build(t.Context(), spec, cache)
	require.NoError(t, err)
	rebuilt, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, data, rebuilt)
}
