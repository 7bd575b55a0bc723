package location_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/davit-project/davit/location"
)

const (
	keyPairProfile = `{"Location":{"type":"s3Compliant","bucket":"b","endpoint":"https://e:9000/x","prefix":"/p/","region":"r"},` +
		`"Credential":{"Type":"keyPair","KeyPair":{"ID":"canary-1","Secret":"canary-2"},"Secret":null,"KopiaServerSecret":null},"SkipSSLVerify":true}`
	secretProfile = `{"Location":{"type":"azure","bucket":"b","endpoint":"","prefix":"","region":""},"Credential":{"Type":"secret","KeyPair":null,` +
		`"Secret":{"metadata":{"name":"s","namespace":"n","creationTimestamp":null},"data":{"azure_storage_account_id":"YWNjb3VudA==","azure_storage_key":"Y2FuYXJ5NDQ="},` +
		`"type":"secrets.kanister.io/azure"},"KopiaServerSecret":null},"SkipSSLVerify":false}`
)

func TestParseProfile(t *testing.T) {
	loc, err := location.ParseProfile([]byte(keyPairProfile))
	require.NoError(t, err)
	id, secret, ok := loc.Credential.KeyPair()
	require.True(t, ok)
	require.Equal(t, "canary-1/canary-2", id+"/"+secret)
	loc.Credential = location.Credential{}
	require.Equal(t, &location.Location{Type: "s3Compliant", Bucket: "b", Endpoint: "https://e:9000/x", Prefix: "/p/", Region: "r",
		SkipSSLVerify: true}, loc)

	loc, err = location.ParseProfile([]byte(secretProfile))
	require.NoError(t, err)
	kind, data, ok := loc.Credential.Secret()
	require.True(t, ok)
	require.Equal(t, "secrets.kanister.io/azure", kind)
	require.Equal(t, map[string][]byte{"azure_storage_account_id": []byte("account"), "azure_storage_key": []byte("canary44")}, data)

	loc, err = location.ParseProfile([]byte(`{"Location":{"type":"file","bucket":"/backups//x/"}}`))
	require.NoError(t, err)
	require.Equal(t, "/backups/x", loc.Bucket)
	require.True(t, loc.Credential.IsZero())
}

func TestRefusedProfiles(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(keyPairProfile, old, new, 1) }
	for name, tc := range map[string]struct{ text, err string }{
		"empty":              {" \n", "invalid profile: it is empty"},
		"null":               {"null", "invalid profile: it is null: the action was started without a profile"},
		"garbage":            {"canary", "invalid profile: it is not JSON at byte 1 of 6"},
		"cut":                {keyPairProfile[:200], "invalid profile: it is not JSON at byte 200 of 200"},
		"more behind it":     {keyPairProfile + "canary", fmt.Sprintf("invalid profile: it is not JSON at byte %d of %d", len(keyPairProfile)+1, len(keyPairProfile)+6)},
		"a list":             {`["canary"]`, "invalid profile: it is JSON but no object"},
		"a text":             {`"canary"`, "invalid profile: it is JSON but no object"},
		"a number as secret": {with(`"canary-2"`, "778899"), `invalid profile: field "Credential.KeyPair.Secret" has the wrong type, want string`},
		"bad base64":         {strings.Replace(secretProfile, "Y2FuYXJ5NDQ=", "canary-4", 1), "invalid profile: it cannot be decoded"},
		"no location":        {`{"Credential":{}}`, "invalid profile: it has no Location"},
		"no type":            {with("s3Compliant", ""), "invalid profile: the location has no type, want file, s3Compliant, gcs or azure"},
		"unknown type":       {with("s3Compliant", "s3"), `unsupported: unknown location type "s3", want file, s3Compliant, gcs or azure`},
		"kopia": {with("s3Compliant", "kopia"), "unsupported: location type kopia needs a running Kopia server, which Davit does not use: " +
			"point the profile at file, s3Compliant, gcs or azure"},
		"no bucket":        {with(`"bucket":"b"`, `"bucket":""`), "invalid profile: the s3Compliant location has no bucket"},
		"prefix out":       {with("/p/", "../p"), `invalid profile: the location's prefix: invalid key "../p": it leads out of the location's prefix`},
		"no key pair":      {with(`{"ID":"canary-1","Secret":"canary-2"}`, "null"), "invalid profile: the credential is a keyPair without ID or secret"},
		"half a key pair":  {with("canary-2", ""), "invalid profile: the credential is a keyPair without ID or secret"},
		"no secret":        {with(`"keyPair"`, `"secret"`), "invalid profile: the credential is a secret, but there is none"},
		"kopia credential": {with(`"keyPair"`, `"kopia"`), "unsupported: credential type kopia needs a Kopia server: use keyPair or secret"},
		"other credential": {with(`"keyPair"`, `"canary"`), "invalid profile: unknown credential type, want keyPair or secret"},
		"relative folder":  {`{"Location":{"type":"file","bucket":"backups"}}`, `invalid profile: the bucket of a file location is the absolute path of a folder, not "backups"`},
		"root folder":      {`{"Location":{"type":"file","bucket":"/x/.."}}`, "invalid profile: the bucket of a file location cannot be the root of the file system: name a folder"},
		"far too much":     {keyPairProfile + strings.Repeat(" ", 3<<20), fmt.Sprintf("invalid profile: it has %d bytes, more than 2097152", len(keyPairProfile)+(3<<20))},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := location.ParseProfile([]byte(tc.text))
			require.EqualError(t, err, tc.err)
			require.True(t, errors.Is(err, location.ErrProfile) || errors.Is(err, location.ErrUnsupported))
		})
	}
}

func TestSecretsCannotBePrinted(t *testing.T) {
	for _, text := range []string{keyPairProfile, secretProfile} {
		loc, err := location.ParseProfile([]byte(text))
		require.NoError(t, err)
		var out bytes.Buffer
		for _, v := range []any{loc, *loc, loc.Credential, &loc.Credential, []any{loc}, map[string]any{"x": *loc}, struct{ L location.Location }{*loc}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			require.NoError(t, json.NewEncoder(&out).Encode(v))
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		}
		require.NotContains(t, out.String(), "canary")
		require.NotContains(t, out.String(), base64.StdEncoding.EncodeToString([]byte("canary44")))
		require.NotContains(t, out.String(), fmt.Sprintf("%x", "canary"))
		require.Contains(t, loc.Credential.String(), "[masked]")
	}
}

func TestOpen(t *testing.T) {
	loc := &location.Location{Type: "s3Compliant", Bucket: "b", Prefix: "/p/"}
	raw := memblob.OpenBucket(nil)
	openers := map[string]location.Opener{
		"file":        nil,
		"s3Compliant": func(context.Context, *location.Location) (*blob.Bucket, error) { return raw, nil },
	}
	b, err := location.Open(t.Context(), loc, openers, &location.Options{Prefix: "q"})
	require.NoError(t, err)
	_, err = b.Write(t.Context(), "a", strings.NewReader("x"), nil)
	require.NoError(t, err)
	require.Contains(t, rawKeys(t, raw), "p/q/a")
	require.NoError(t, b.Close())

	_, err = location.Open(t.Context(), &location.Location{Type: "gcs"}, openers, nil)
	require.ErrorIs(t, err, location.ErrUnsupported)
	require.ErrorContains(t, err, "which knows: file, s3Compliant")
	boom := errors.New("boom")
	openers["gcs"] = func(context.Context, *location.Location) (*blob.Bucket, error) { return nil, boom }
	_, err = location.Open(t.Context(), &location.Location{Type: "gcs", Bucket: "b"}, openers, nil)
	require.ErrorIs(t, err, boom)
	require.EqualError(t, err, `open gcs location "b": boom`)
	_, err = location.Open(t.Context(), nil, openers, nil)
	require.ErrorIs(t, err, location.ErrProfile)
}
