package location_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
)

// seeds are the texts of the golden files.
func seeds(f *testing.F, pattern string) []string {
	f.Helper()
	files, err := filepath.Glob("testdata/profiles/" + pattern)
	require.NoError(f, err)
	require.NotEmpty(f, files)
	var all []string
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(f, err)
		for i := 0; i < len(archive.Files); i += 2 {
			all = append(all, strings.TrimSpace(string(archive.Files[i].Data)))
		}
	}
	return all
}

// requireRefusal looks at the error of what was not accepted.
func requireRefusal(t *testing.T, loc *location.Location, err error) {
	t.Helper()
	require.Nil(t, loc)
	require.True(t, errors.Is(err, location.ErrProfile) || errors.Is(err, location.ErrUnsupported))
	require.Less(t, len(err.Error()), 1500)
}

// requireSound looks at what was accepted: its accessors work, it can be rendered and read again, and nothing leads out of the prefix.
func requireSound(t *testing.T, loc *location.Location) {
	t.Helper()
	require.NoError(t, loc.Validate())
	require.NotEmpty(t, loc.Bucket)
	require.Contains(t, []string{"file", "s3Compliant", "gcs", "azure"}, loc.Type)
	_, err := loc.Transport()
	require.NoError(t, err)
	_, err = loc.EndpointURL()
	require.NoError(t, err)
	text, err := loc.Profile()
	require.NoError(t, err)
	again, err := location.ParseProfile(text)
	require.NoError(t, err)
	require.Equal(t, loc, again)
	b := location.New(memblob.OpenBucket(nil), &location.Options{Prefix: loc.Prefix})
	if _, err = b.Write(t.Context(), "a", strings.NewReader("x"), nil); err != nil {
		require.ErrorIs(t, err, location.ErrKey, "a prefix can be too long, but not lead anywhere else")
	}
	require.NoError(t, b.Close())
}

func FuzzParseProfile(f *testing.F) {
	for _, seed := range append(append(seeds(f, "bad-[!u]*.txtar"), seeds(f, "good.txtar")...), keyPairProfile, secretProfile, "{}", `{"Location":{"type":"file","bucket":"/x"}}`, `{"location":{"Type":"kopia"}}`) {
		f.Add([]byte(strings.ReplaceAll(seed, "stringData", "data")))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		loc, err := location.ParseProfile(text)
		if err != nil {
			requireRefusal(t, loc, err)
			return
		}
		requireSound(t, loc)
		if _, secret, ok := loc.Credential.KeyPair(); ok && len(secret) > 20 && !strings.Contains(loc.Bucket+loc.Prefix+loc.Region+loc.Endpoint, secret) {
			require.NotContains(t, fmt.Sprintf("%+v %#v", loc, loc), secret)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range append(seeds(f, "bad-urls.txtar"), "s3://b/p?endpoint=http://h:1&region=r&virtualHost=true", "gs://b", "azblob://c?account=a&environment=AzureCloud", "file:///a?prefix=b") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "caFile") {
			return // it reads a file
		}
		loc, err := location.ParseURL(text)
		if err != nil {
			requireRefusal(t, loc, err)
			return
		}
		requireSound(t, loc)
		require.NotContains(t, loc.Endpoint+loc.Proxy, "@")
	})
}

// FuzzCredential puts one value into each place where a credential has one. The value never shows up in an error.
func FuzzCredential(f *testing.F) {
	for _, seed := range seeds(f, "bad-[ag]*.txtar") {
		for _, value := range secrets(seed) {
			f.Add(value)
		}
	}
	f.Add("arn:aws:iam::123456789012:role/x")
	f.Add("sv=1&sig=x")
	f.Fuzz(func(t *testing.T, value string) {
		for _, value := range []string{value, value + "canary77canary", "canary77canary" + value} {
			for kind, keys := range map[string][]string{
				location.TypeS3:  {typeAWS, "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "role"},
				location.TypeGCS: {typeGCP, "gcp_project_id", "service-account.json"},
				location.TypeAzure: {typeAzure, "azure_storage_account_id", "azure_storage_key", "azure_sas_token", "azure_storage_environment", "azure_federated_identity",
					"azure_tenant_id", "azure_client_id", "azure_client_secret"},
			} {
				creds := []location.Credential{location.NewKeyPair(value, "eHh4"), location.NewKeyPair("x", value)}
				for _, key := range keys[1:] {
					creds = append(creds, secret(keys[0], key, value), secret(keys[0], "azure_storage_account_id", "acct", key, value),
						secret(keys[0], "aws_access_key_id", "x", "aws_secret_access_key", "y", key, value))
				}
				for _, c := range creds {
					requireKept(t, &location.Location{Type: kind, Bucket: "b", Credential: c})
				}
			}
		}
	})
}

// requireKept looks at a location whose credential holds a canary.
func requireKept(t *testing.T, loc *location.Location) {
	t.Helper()
	var err error
	switch loc.Type {
	case location.TypeS3:
		_, err = loc.AWS()
	case location.TypeGCS:
		_, err = loc.Google()
	default:
		_, err = loc.Azure()
	}
	if valid := loc.Validate(); err == nil {
		require.NoError(t, valid)
		requireRoundTrip(t, loc)
	} else {
		require.Error(t, valid)
		require.True(t, errors.Is(err, location.ErrProfile) || errors.Is(err, location.ErrUnsupported))
		require.NotContains(t, strings.ToLower(err.Error()), "canary")
	}
}
