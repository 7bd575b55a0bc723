//go:build e2e

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/internal/testcluster/image"
)

// The program itself compares what is restored with what was acknowledged.
func TestOnACluster(t *testing.T) {
	c := testcluster.Open(t)
	base, err := os.UserCacheDir()
	require.NoError(t, err)
	cache := filepath.Join(base, image.CacheName)
	archive, err := image.Build(t.Context(), image.Postgres(filepath.Join(cache, "davit")), cache)
	require.NoError(t, err)
	c.Import(t, archive)
	var out, errs bytes.Buffer
	err = run(t.Context(), []string{
		"--kubeconfig", c.Kubeconfig, "--image", image.PostgresImage, "--storage-class", testcluster.StorageClass, "--snapshot-class", testcluster.SnapshotClass,
	}, &out, &errs)
	t.Logf("%s%s", &out, &errs)
	require.NoError(t, err)
	require.Regexp(t, `^both volumes are snapshotted, the database was held for [0-9.]+m?s
(writer [012]: [0-9]+ transactions restored, at least [0-9]+ and at most [0-9]+ are right
){3}the snapshots are deleted
$`, out.String())
}
