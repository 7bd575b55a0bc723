//go:build linux

package testserver

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// S3 is a running server that speaks S3.
type S3 struct {
	// Endpoint is http://127.0.0.1:PORT, or https.
	Endpoint, AccessKey, SecretKey, Region string
	// Folder is where versitygw keeps the buckets; empty for others.
	Folder string
	// CA is the certificate of the authority that signed the server's, in PEM; nil without TLS.
	CA []byte

	client *http.Client
}

// VersityGW starts versitygw over a folder, with versions.
func VersityGW(t testing.TB) *S3 {
	t.Helper()
	return startVersityGW(t, nil)
}

// VersityGWTLS is VersityGW with TLS.
func VersityGWTLS(t testing.TB) *S3 {
	t.Helper()
	return startVersityGW(t, newAuthority(t))
}

func startVersityGW(t testing.TB, tls *authority) *S3 {
	t.Helper()
	s := newS3(tls)
	dir, program := t.TempDir(), versitygw.path(t)
	data, versions := filepath.Join(dir, "data"), filepath.Join(dir, "versions")
	s.Folder = data
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.Mkdir(versions, 0o700))
	p := &server{
		program: "versitygw", ready: "/", client: tls.httpClient(),
		env: []string{"ROOT_ACCESS_KEY_ID=" + s.AccessKey, "ROOT_SECRET_ACCESS_KEY=" + s.SecretKey},
		args: func(port int) []string {
			args := []string{program, "--port", local(port), "--region", s.Region, "--keep-alive", "--quiet"}
			if tls != nil {
				args = append(args, "--cert", tls.certFile, "--key", tls.keyFile)
			}
			return append(args, "posix", "--versioning-dir", versions, data)
		},
	}
	return s.at(p.start(t), tls)
}

// MinIO starts MinIO over a folder.
func MinIO(t testing.TB) *S3 {
	t.Helper()
	s := newS3(nil)
	dir, program := t.TempDir(), minio.path(t)
	p := &server{
		program: "minio", ready: "/minio/health/cluster",
		env: []string{"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_REGION=" + s.Region},
		args: func(port int) []string {
			return []string{program, "server", "--quiet", "--address", local(port), dir}
		},
	}
	return s.at(p.start(t), nil)
}

func newS3(tls *authority) *S3 {
	s := &S3{AccessKey: "test" + random()[:12], SecretKey: random(), Region: "us-east-1", client: http.DefaultClient}
	if tls != nil {
		s.CA, s.client = tls.pem, tls.httpClient()
	}
	return s
}

func (s *S3) at(port int, tls *authority) *S3 {
	s.Endpoint = "http://127.0.0.1:" + strconv.Itoa(port)
	if tls != nil {
		s.Endpoint = "https://127.0.0.1:" + strconv.Itoa(port)
	}
	return s
}

// Bucket makes a bucket with a name of its own.
func (s *S3) Bucket(t testing.TB) string {
	t.Helper()
	return s.makeBucket(t, nil)
}

// BucketWithLock makes a bucket that keeps versions and takes object locks.
func (s *S3) BucketWithLock(t testing.TB) string {
	t.Helper()
	return s.makeBucket(t, http.Header{"X-Amz-Bucket-Object-Lock-Enabled": {"true"}})
}

func (s *S3) makeBucket(t testing.TB, header http.Header) string {
	t.Helper()
	name := "b-" + random()[:20]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.Endpoint+"/"+name, nil)
	require.NoError(t, err)
	for key, values := range header {
		req.Header[key] = values
	}
	s.sign(req)
	require.NoError(t, succeed(s.client, req))
	return name
}
