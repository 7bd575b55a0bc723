//go:build e2e

package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
)

// few is for streams with more parts than fit: two, then segments of three.
func few() *Options { return &Options{limits: limits{part: 5 << 20, direct: 2, segment: 3}} }

// TestStreamOfSegments has streams that end within, at and after each kind of part.
func TestStreamOfSegments(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		name := s.Bucket(t)
		loc := at(s, name)
		loc.Prefix = "below"
		b := open(t, loc, few())
		for _, parts := range []float64{2, 2.1, 3, 4.5, 5, 5.1, 8, 9.3} {
			size := int64(parts * (5 << 20))
			up, err := write(t.Context(), b, "below/x", stream(1, size), nil)
			require.NoError(t, err, "%v parts", parts)
			want := content(t, 1, size)
			require.Equal(t, confirmedOf(want), *up, "%v parts", parts)
			got, err := b.ReadAll(t.Context(), "below/x")
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "%v parts", parts)
			requireClean(t, s, name, "below/x")
		}
	})
}

// TestSegmentsOfAFailedWrite leaves nothing, whenever it fails, in a bucket with versions either.
func TestSegmentsOfAFailedWrite(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		name := s.BucketWithLock(t)
		b := open(t, at(s, name), few())
		for _, parts := range []int64{1, 3, 4, 6, 9} {
			r := io.MultiReader(stream(1, parts*(5<<20)+100), broken{})
			_, err := write(t.Context(), b, "x", r, nil)
			require.ErrorIs(t, err, io.ErrClosedPipe)
			requireClean(t, s, name)
		}
		versions, err := raw(s).ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &name})
		require.NoError(t, err)
		require.Empty(t, versions.Versions)
		require.Empty(t, versions.DeleteMarkers)
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// keep writes with a retention.
func keep(t *testing.T, b *blob.Bucket, key string, size int64, r location.Retention) error {
	t.Helper()
	ctx, abort := context.WithCancel(t.Context())
	defer abort()
	w, err := b.NewWriter(ctx, key, &blob.WriterOptions{ContentType: "text/plain", BeforeWrite: func(as func(any) bool) error {
		var up *location.Upload
		require.True(t, as(&up))
		up.Retention = r
		return nil
	}})
	require.NoError(t, err)
	if _, err := io.Copy(struct{ io.Writer }{w}, stream(1, size)); err != nil {
		abort()
		_ = w.Close()
		return err
	}
	return w.Close()
}

// TestRetention has the store refuse to delete what is locked, and the driver refuse to write where nothing can be locked.
func TestRetention(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		name := s.BucketWithLock(t)
		b := open(t, at(s, name), nil)
		until := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
		for key, size := range map[string]int64{"small": 100, "large": 9 << 20} {
			for _, compliance := range []bool{false, true} {
				key := fmt.Sprintf("%s-%v", key, compliance)
				require.NoError(t, keep(t, b, key, size, location.Retention{Until: until, Compliance: compliance}))
				head, err := raw(s).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &name, Key: &key})
				require.NoError(t, err)
				require.Equal(t, until, head.ObjectLockRetainUntilDate.UTC())
				require.Equal(t, map[bool]string{false: "GOVERNANCE", true: "COMPLIANCE"}[compliance], string(head.ObjectLockMode))
				_, err = raw(s).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: &key, VersionId: head.VersionId})
				require.Error(t, err, "the version is locked")
				c := &client{hide: strings.NewReplacer()}
				require.ErrorIs(t, c.explain(t.Context(), "delete", err), location.ErrExists)
			}
		}
		plain := s.Bucket(t)
		for _, size := range []int64{100, 9 << 20} {
			err := keep(t, open(t, at(s, plain), nil), "x", size, location.Retention{Until: until})
			require.ErrorIs(t, err, location.ErrUnsupported)
		}
		requireClean(t, s, plain)
	})
}

// TestMetadataAndBatchesOnServers looks at what s3blob reads of what this package writes, and deletes many objects at once.
func TestMetadataAndBatchesOnServers(t *testing.T) {
	onServers(t, func(t *testing.T, s *testserver.S3) {
		b := open(t, at(s, s.Bucket(t)), nil)
		meta := map[string]string{"a": "1", "b-c": "ümläut = ß", "at": "x@y:z"}
		for _, size := range []int64{10, 9 << 20} {
			_, err := write(t.Context(), b, "key", stream(1, size), &blob.WriterOptions{Metadata: meta})
			require.NoError(t, err)
			attrs, err := b.Attributes(t.Context(), "key")
			require.NoError(t, err)
			require.Equal(t, meta, attrs.Metadata)
			require.Equal(t, size, attrs.Size)
			require.Equal(t, "application/octet-stream", attrs.ContentType)
			r, err := b.NewReader(t.Context(), "key", nil)
			require.NoError(t, err)
			var etag location.ETag
			require.True(t, r.As(&etag))
			require.Equal(t, attrs.ETag, string(etag))
			require.NoError(t, r.Close())
		}
		keys := []string{"absent"}
		for i := range 20 {
			key := fmt.Sprintf("many/%d ä&<", i)
			keys = append(keys, key)
			require.NoError(t, b.WriteAll(t.Context(), key, []byte("x"), nil))
		}
		var batch location.BatchDeleter
		require.True(t, b.As(&batch))
		failed, err := batch.DeleteBatch(t.Context(), keys)
		require.NoError(t, err)
		require.Empty(t, failed)
		objects, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 100, &blob.ListOptions{Prefix: "many/"})
		require.NoError(t, err)
		require.Empty(t, objects)
	})
}

const (
	memorySize = 1 << 30
	// mostMemory is that of a whole process that pushes, as the system counts it.
	mostMemory = 110 << 20
	memoryEnv  = "DAVIT_S3_MEMORY"
)

// TestMemory pushes a stream of 1 GiB in a process of its own.
func TestMemory(t *testing.T) {
	if to := os.Getenv(memoryEnv); to != "" {
		endpoint, rest, _ := strings.Cut(to, " ")
		f := strings.Fields(rest)
		s := &testserver.S3{Endpoint: endpoint, AccessKey: f[0], SecretKey: f[1], Region: f[2]}
		b, err := location.Open(t.Context(), at(s, f[3]), map[string]location.Opener{location.TypeS3: Open}, nil)
		require.NoError(t, err)
		_, err = b.Write(t.Context(), "large", stream(1, memorySize), nil)
		require.NoError(t, err)
		status, err := os.ReadFile("/proc/self/status")
		require.NoError(t, err)
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		t.Logf("peak %s KiB", strings.Fields(peak)[0])
		return
	}
	s := testserver.MinIO(t)
	name := s.Bucket(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestMemory$", "-test.v")
	cmd.Env = append(os.Environ(), memoryEnv+"="+strings.Join([]string{s.Endpoint, s.AccessKey, s.SecretKey, s.Region, name}, " "))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	_, said, _ := strings.Cut(string(out), "peak ")
	var peak int64
	_, err = fmt.Sscanf(said, "%d KiB", &peak)
	require.NoError(t, err, string(out))
	t.Logf("1 GiB in %d MiB of memory", peak>>10)
	require.LessOrEqual(t, peak<<10, int64(mostMemory))

	h := sha256.New()
	got, err := raw(s).GetObject(t.Context(), &s3.GetObjectInput{Bucket: &name, Key: aws.String("large")})
	require.NoError(t, err)
	defer got.Body.Close()
	_, err = io.Copy(h, got.Body)
	require.NoError(t, err)
	want := sha256.New()
	_, err = io.Copy(want, stream(1, memorySize))
	require.NoError(t, err)
	require.Equal(t, want.Sum(nil), h.Sum(nil))
}
