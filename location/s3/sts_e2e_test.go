//go:build e2e

package s3

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
)

// moto starts a server that has STS and S3, and knows every key.
func moto(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	cmd := exec.CommandContext(t.Context(), "python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	cmd.Stdout, cmd.Stderr = nil, os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		resp, err := http.Get(url + "/moto-api/")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}, 2*time.Minute, 100*time.Millisecond)
	return url
}

// TestAssumedRole writes with the keys that STS gives for a role, and looks at the wire that they, with their token, are what the store gets.
func TestAssumedRole(t *testing.T) {
	url := moto(t)
	t.Setenv("AWS_ENDPOINT_URL_STS", url)
	s := &testserver.S3{Endpoint: url, AccessKey: "test", SecretKey: "test", Region: "us-east-1"}
	name := "roles"
	_, err := raw(s).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	require.NoError(t, err)
	seen := &headers{to: url}
	loc := at(s, name)
	loc.Endpoint = seen.serve(t)
	loc.Credential = location.NewAWS(location.AWSCredential{
		AccessKeyID: "AKIALONG", SecretAccessKey: "secret", Role: "arn:aws:iam::123456789012:role/backup",
	})
	b := open(t, loc, nil)
	_, err = write(t.Context(), b, "key", stream(1, 9<<20), nil)
	require.NoError(t, err)
	got, err := b.ReadAll(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, content(t, 1, 9<<20), got)
	require.NotEmpty(t, seen.tokens)
	for i := range seen.tokens {
		require.NotEmpty(t, seen.tokens[i], "a session token")
		require.NotContains(t, seen.authorizations[i], "AKIALONG")
		require.Contains(t, seen.authorizations[i], "Credential=ASIA")
	}

	t.Setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
	_, err = write(t.Context(), open(t, loc, &Options{Attempts: 2}), "key", stream(1, 10), nil)
	require.ErrorIs(t, err, location.ErrUnavailable)
	require.ErrorContains(t, err, "the credential could not be fetched")
}

// TestWebIdentity has no credential in the location: the pod's service account is exchanged for one, as IRSA arranges it.
func TestWebIdentity(t *testing.T) {
	url := moto(t)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("a service account's token"), 0o600))
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_STS": url, "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/backup",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
	} {
		t.Setenv(name, value)
	}
	s := &testserver.S3{Endpoint: url, AccessKey: "test", SecretKey: "test", Region: "us-east-1"}
	name := "identities"
	_, err := raw(s).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	require.NoError(t, err)
	seen := &headers{to: url}
	loc := at(s, name)
	loc.Endpoint, loc.Credential = seen.serve(t), location.Credential{}
	_, err = write(t.Context(), open(t, loc, nil), "key", stream(1, 10), nil)
	require.NoError(t, err)
	require.NotEmpty(t, seen.tokens)
	for i := range seen.tokens {
		require.NotEmpty(t, seen.tokens[i], "a session token")
		require.Contains(t, seen.authorizations[i], "Credential=ASIA")
	}
}

// headers forwards requests and keeps those of their headers that say who sent them.
type headers struct {
	to                     string
	tokens, authorizations []string
}

func (h *headers) serve(t *testing.T) string {
	t.Helper()
	way := newWire(t, h.to)
	way.look = func(p []byte) {
		for line := range strings.SplitSeq(string(p), "\r\n") {
			if v, ok := strings.CutPrefix(line, "X-Amz-Security-Token: "); ok {
				h.tokens = append(h.tokens, v)
			}
			if v, ok := strings.CutPrefix(line, "Authorization: "); ok {
				h.authorizations = append(h.authorizations, v)
			}
		}
	}
	return way.URL
}
