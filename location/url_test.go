package location_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
)

// certificate is one in PEM.
func certificate(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func TestParseURL(t *testing.T) {
	bundle := "our own authority\n" + certificate(t) + "and another\n" + certificate(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, []byte(bundle), 0o600))
	account := func(values ...string) location.Credential {
		return secret(typeAzure, append([]string{"azure_storage_account_id", "acct"}, values...)...)
	}
	for text, want := range map[string]location.Location{
		"s3://backups":                 {Type: location.TypeS3, Bucket: "backups"},
		"S3://backups/":                {Type: location.TypeS3, Bucket: "backups"},
		"s3://backups/site-a/db%20one": {Type: location.TypeS3, Bucket: "backups", Prefix: "site-a/db one"},
		"s3://b?endpoint=http://127.0.0.1:9000&region=eu-1&virtualHost=true&skipSSLVerify=true&proxy=socks5://p:1": {Type: location.TypeS3, Bucket: "b",
			Endpoint: "http://127.0.0.1:9000", Region: "eu-1", VirtualHost: true, SkipSSLVerify: true, Proxy: "socks5://p:1"},
		"s3://b?virtualHost=false&skipSSLVerify=false&endpoint=s3.example.com": {Type: location.TypeS3, Bucket: "b", Endpoint: "s3.example.com"},
		"s3://b?caFile=" + file:           {Type: location.TypeS3, Bucket: "b", CABundle: []byte(bundle)},
		"gs://b/p?endpoint=https://[::1]": {Type: location.TypeGCS, Bucket: "b", Prefix: "p", Endpoint: "https://[::1]"},
		"azblob://c?account=acct":         {Type: location.TypeAzure, Bucket: "c", Credential: account()},
		"azblob://$web/p?account=acct&environment=AzureChinaCloud&endpoint=http://127.0.0.1:10000/acct": {Type: location.TypeAzure, Bucket: "$web", Prefix: "p",
			Endpoint: "http://127.0.0.1:10000/acct", Credential: account("azure_storage_environment", "AzureChinaCloud")},
		"file:///mnt//backups/":                  {Type: location.TypeFile, Bucket: "/mnt/backups"},
		"file:///mnt/my%20backups?prefix=site-a": {Type: location.TypeFile, Bucket: "/mnt/my backups", Prefix: "site-a"},
	} {
		t.Run(strings.ReplaceAll(text, "/", "|"), func(t *testing.T) {
			loc, err := location.ParseURL(text)
			require.NoError(t, err)
			require.Equal(t, &want, loc)
			requireRoundTrip(t, loc)
		})
	}
}

func TestURLsHaveBounds(t *testing.T) {
	_, err := location.ParseURL("s3://b/" + strings.Repeat("a", 9000))
	require.EqualError(t, err, "invalid profile: the URL of the location has 9007 bytes, more than 8192")

	dir := t.TempDir()
	large, empty := filepath.Join(dir, "large"), filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(large, []byte(strings.Repeat("a", 2<<20)), 0o600))
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	_, err = location.ParseURL("s3://b?caFile=" + large)
	require.EqualError(t, err, "invalid profile: the caBundle of the location has 1048577 bytes, more than 1048576")
	_, err = location.ParseURL("s3://b?caFile=" + empty)
	require.ErrorContains(t, err, "is empty")
}
