//go:build e2e && linux

package testserver

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestS3(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *S3{"versitygw": VersityGW, "versitygw, TLS": VersityGWTLS, "MinIO": MinIO} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			require.Equal(t, strings.Contains(name, "TLS"), strings.HasPrefix(s.Endpoint, "https://"))
			require.Equal(t, strings.Contains(name, "TLS"), s.CA != nil)
			one, two := s.Bucket(t), s.Bucket(t)
			require.NotEqual(t, one, two)
			require.Equal(t, http.StatusOK, s.get(t, s.Bucket(t)), "a bucket that was made")
			require.Equal(t, http.StatusNotFound, s.get(t, "absent"))
			require.Equal(t, http.StatusOK, s.get(t, s.BucketWithLock(t)))

			other := *s
			other.SecretKey = random()
			require.Equal(t, http.StatusForbidden, other.get(t, "absent"), "a server that does not look at signatures")
		})
	}
}

func (s *S3) get(t *testing.T, bucket string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Endpoint+"/"+bucket, nil)
	require.NoError(t, err)
	s.sign(req)
	resp, err := s.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func TestGCS(t *testing.T) {
	t.Parallel()
	s := GCS(t)
	resp, err := http.Get(s.Endpoint + "/storage/v1/b/" + s.GCSBucket(t))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestAzurite(t *testing.T) {
	t.Parallel()
	s := Azurite(t)
	resp, err := http.Get(s.Endpoint + "/" + s.Container(t) + "?restype=container")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NotEqual(t, http.StatusOK, resp.StatusCode, "there is no public access")
}

const orphanEnv = "DAVIT_TESTSERVER_ORPHAN"

// A server ends with the test's process, however that ends.
func TestNoServerIsLeft(t *testing.T) {
	if os.Getenv(orphanEnv) != "" {
		fmt.Fprintln(os.Stdout, "at "+GCS(t).Endpoint)
		os.Exit(0) // without any clean-up
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestNoServerIsLeft$")
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	_, line, found := strings.Cut(string(out), "at ")
	require.True(t, found, "%s", out)
	u, err := url.Parse(strings.TrimSpace(line))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", u.Host, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, time.Minute, 10*time.Millisecond, "the server still listens on %s", u.Host)
}

// What does not come up is an error that shows the log.
func TestStartFails(t *testing.T) {
	t.Parallel()
	s := &server{program: "broken", ready: "/", args: func(int) []string { return []string{"sh", "-c", "echo out of luck; exit 3"} }}
	port, err := freePort()
	require.NoError(t, err)
	require.ErrorContains(t, s.startAt(t, port), "out of luck")
}
