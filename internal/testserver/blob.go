//go:build linux

package testserver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Server is a running server of Google's or Azure's kind.
type Server struct {
	// Endpoint is http://127.0.0.1:PORT; for Azurite with the account as its path.
	Endpoint string
	// Account and Key are those of Azurite.
	Account, Key string
}

// GCS starts fake-gcs-server, which asks for no credential and keeps everything in memory.
func GCS(t testing.TB) *Server {
	t.Helper()
	program := fakeGCS.path(t)
	p := &server{
		program: "fake-gcs-server", ready: "/_internal/healthcheck",
		args: func(port int) []string {
			at := local(port)
			_, number, _ := strings.Cut(at, ":")
			return []string{program, "-scheme", "http", "-host", "127.0.0.1", "-port", number, "-backend", "memory", "-public-host", at,
				"-external-url", "http://" + at, "-log-level", "warn"}
		},
	}
	return &Server{Endpoint: "http://" + local(p.start(t))}
}

// GCSBucket makes a bucket with a name of its own.
func (s *Server) GCSBucket(t testing.TB) string {
	t.Helper()
	name := "b-" + random()[:20]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint+"/storage/v1/b?project=test", strings.NewReader(`{"name":"`+name+`"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	require.NoError(t, succeed(http.DefaultClient, req))
	return name
}

// Azurite starts azurite, which keeps blobs in a folder, with an account whose key is new.
func Azurite(t testing.TB) *Server {
	t.Helper()
	dir := azurite.path(t)
	key := make([]byte, 64)
	_, _ = rand.Read(key) // never fails
	s := &Server{Account: "devstoreaccount1", Key: base64.StdEncoding.EncodeToString(key)}
	data := t.TempDir()
	p := &server{
		program: "azurite", ready: "/",
		env: []string{"AZURITE_ACCOUNTS=" + s.Account + ":" + s.Key},
		args: func(port int) []string {
			_, number, _ := strings.Cut(local(port), ":")
			return []string{"node", filepath.Join(dir, "node_modules/azurite/dist/src/blob/main.js"), "--blobHost", "127.0.0.1", "--blobPort", number,
				"--location", data, "--skipApiVersionCheck", "--disableTelemetry", "--silent"}
		},
	}
	s.Endpoint = "http://" + local(p.start(t)) + "/" + s.Account
	return s
}

// Container makes a container of Azurite with a name of its own.
func (s *Server) Container(t testing.TB) string {
	t.Helper()
	name := "c-" + random()[:20]
	u, err := url.Parse(s.Endpoint + "/" + name + "?restype=container")
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, u.String(), nil)
	require.NoError(t, err)
	const version = "2021-12-02"
	date := time.Now().UTC().Format(http.TimeFormat)
	req.Header.Set("X-Ms-Date", date)
	req.Header.Set("X-Ms-Version", version)
	// https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-shared-key: the method, eleven headers that are not there, those of Azure, the resource.
	text := req.Method + strings.Repeat("\n", 12) + "x-ms-date:" + date + "\nx-ms-version:" + version + "\n/" + s.Account + u.Path + "\nrestype:container"
	key, err := base64.StdEncoding.DecodeString(s.Key)
	require.NoError(t, err)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	req.Header.Set("Authorization", "SharedKey "+s.Account+":"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	require.NoError(t, succeed(http.DefaultClient, req))
	return name
}
