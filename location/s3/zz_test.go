//go:build e2e

package s3

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
)

func TestZZ(t *testing.T) {
	s := &testserver.S3{Endpoint: "http://127.0.0.1:17071", AccessKey: "AKIATESTDAVIT", SecretKey: "secretsecretsecret", Region: "us-east-1"}
	b, err := location.Open(t.Context(), at(s, "bench"), map[string]location.Opener{location.TypeS3: Open}, nil)
	require.NoError(t, err)
	for range 3 {
		f, _ := os.Open("/tmp/s3dev/in-512")
		_, err = b.Write(t.Context(), "zz", f, nil)
		require.NoError(t, err)
	}
}
