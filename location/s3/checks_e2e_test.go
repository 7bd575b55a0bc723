//go:build e2e

package s3

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/locationtest"
)

// onServers runs the test on every real server.
func onServers(t *testing.T, test func(t *testing.T, s *testserver.S3)) {
	t.Run("versitygw", func(t *testing.T) { test(t, testserver.VersityGW(t)) })
	t.Run("minio", func(t *testing.T) { test(t, testserver.MinIO(t)) })
}

// at is the location of a bucket of the server.
func at(s *testserver.S3, bucket string) *location.Location {
	return &location.Location{Type: location.TypeS3, Bucket: bucket, Endpoint: s.Endpoint, Region: s.Region, Credential: location.NewKeyPair(s.AccessKey, s.SecretKey)}
}

// raw is a plain client of the server, to look at what is really there.
func raw(s *testserver.S3) *s3.Client {
	return s3.New(s3.Options{BaseEndpoint: &s.Endpoint, UsePathStyle: true, Region: s.Region,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, "")})
}

// requireClean fails when the bucket holds anything but these keys, or parts of an unfinished upload.
func requireClean(t *testing.T, s *testserver.S3, bucket string, keys ...string) {
	t.Helper()
	uploads, err := raw(s).ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	require.NoError(t, err)
	left := []string{}
	for _, u := range uploads.Uploads {
		left = append(left, aws.ToString(u.Key))
	}
	require.Empty(t, left)
	list, err := raw(s).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	require.NoError(t, err)
	there := []string{}
	for _, o := range list.Contents {
		there = append(there, aws.ToString(o.Key))
	}
	require.ElementsMatch(t, keys, there)
}

func TestChecksOnServers(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		for _, prefix := range []string{"", "some/prefix"} {
			name := s.Bucket(t)
			loc := at(s, name)
			loc.Prefix = prefix
			b, err := location.Open(t.Context(), loc, map[string]location.Opener{location.TypeS3: Open}, nil)
			require.NoError(t, err)
			require.NoError(t, locationtest.Run(t.Context(), b))
			require.NoError(t, b.Close())
			requireClean(t, s, name)
		}
	})
}

func TestRoundTripsAreConfirmed(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		name := s.Bucket(t)
		b := open(t, at(s, name), nil)
		for _, size := range []int64{0, 1, 4095, 1 << 20, 1<<20 + 1, partSize - 1, partSize, partSize + 1, 3*partSize + 5} {
			up, err := write(t.Context(), b, "x", stream(1, size), nil)
			require.NoError(t, err)
			require.Equal(t, confirmedOf(content(t, 1, size)), *up, "%d bytes", size)
			got, err := b.ReadAll(t.Context(), "x")
			require.NoError(t, err)
			require.True(t, bytes.Equal(content(t, 1, size), got), "%d bytes", size)
		}
		requireClean(t, s, name, "x")
	})
}

// TestCertificates needs the authority of the store to be known.
func TestCertificates(t *testing.T) {
	s := testserver.VersityGWTLS(t)
	loc := at(s, s.Bucket(t))
	way := newWire(t, strings.TrimPrefix(loc.Endpoint, "https://"))
	loc.Endpoint = strings.Replace(way.URL, "http:", "https:", 1)
	_, err := write(t.Context(), open(t, loc, nil), "key", stream(1, 9<<20), nil)
	require.ErrorIs(t, err, location.ErrUnavailable)
	require.ErrorContains(t, err, "CA bundle")
	require.Less(t, way.carried(), attempts, "it is not tried again")
	loc.CABundle = s.CA
	b := open(t, loc, nil)
	up, err := write(t.Context(), b, "key", stream(1, 9<<20), nil)
	require.NoError(t, err)
	got, err := b.ReadAll(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, confirmedOf(got), *up)
	require.True(t, bytes.Equal(content(t, 1, 9<<20), got))
}
