package location_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/davit-project/davit/location"
)

func TestOpenAsksNoOpenerForWhatIsWrong(t *testing.T) {
	asked := 0
	refuse := func(context.Context, *location.Location) (*blob.Bucket, error) {
		asked++
		return nil, errors.New("asked")
	}
	openers := map[string]location.Opener{location.TypeFile: refuse, location.TypeS3: refuse, location.TypeGCS: refuse, location.TypeAzure: refuse}
	for name, loc := range map[string]location.Location{
		"bucket":     {Type: location.TypeS3, Bucket: "s3://b"},
		"prefix":     {Type: location.TypeS3, Bucket: "b", Prefix: ".."},
		"endpoint":   {Type: location.TypeS3, Bucket: "b", Endpoint: "https://e?x=y"},
		"region":     {Type: location.TypeS3, Bucket: "b", Region: "a b"},
		"proxy":      {Type: location.TypeS3, Bucket: "b", Proxy: "p"},
		"caBundle":   {Type: location.TypeS3, Bucket: "b", CABundle: []byte("x")},
		"credential": {Type: location.TypeAzure, Bucket: "b"},
		"key pair":   {Type: location.TypeAzure, Bucket: "b", Credential: location.NewKeyPair("acct", "canary!")},
		"folder":     {Type: location.TypeFile, Bucket: "backups"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := location.Open(t.Context(), &loc, openers, nil)
			require.ErrorIs(t, err, location.ErrProfile)
			require.Zero(t, asked)
			_, err = loc.Profile()
			require.ErrorIs(t, err, location.ErrProfile)
		})
	}
	_, err := location.Open(t.Context(), &location.Location{Type: location.TypeS3, Bucket: "b"}, openers, nil)
	require.ErrorContains(t, err, "asked")
}

func TestBucketsThatAreTaken(t *testing.T) {
	for _, loc := range []location.Location{
		{Type: location.TypeS3, Bucket: "b"}, {Type: location.TypeS3, Bucket: "My_Old.Bucket"}, {Type: location.TypeS3, Bucket: "tenant:bucket"},
		{Type: location.TypeS3, Bucket: "arn:aws:s3:eu-west-1:123456789012:accesspoint/backups"}, {Type: location.TypeGCS, Bucket: "backups.example.com"},
		{Type: location.TypeFile, Bucket: "/mnt/a b@c"},
	} {
		require.NoError(t, loc.Validate(), loc.Bucket)
		requireRoundTrip(t, &loc)
	}
}

func TestEndpointURL(t *testing.T) {
	for endpoint, want := range map[string]string{
		"s3.example.com": "https://s3.example.com", "s3.example.com:9000": "https://s3.example.com:9000", "minio:9000/path": "https://minio:9000/path",
		"http://127.0.0.1:9000/": "http://127.0.0.1:9000/", "HTTPS://S3.example.com": "https://S3.example.com", "[::1]:9000": "https://[::1]:9000",
	} {
		u, err := (&location.Location{Endpoint: endpoint}).EndpointURL()
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	u, err := (&location.Location{}).EndpointURL()
	require.NoError(t, err)
	require.Nil(t, u)
}

func TestOurFieldsOfAProfile(t *testing.T) {
	loc := &location.Location{Type: location.TypeS3, Bucket: "b", Prefix: "/p/", Endpoint: "https://e", Region: "r", CABundle: []byte(certificate(t)),
		Proxy: "http://user:canary@p:3128", VirtualHost: true, Credential: location.NewKeyPair("id", "key")}
	requireRoundTrip(t, loc)
	requireRoundTrip(t, &location.Location{Type: location.TypeGCS, Bucket: "b", SkipSSLVerify: true})
	text, err := loc.Profile()
	require.NoError(t, err)
	require.Contains(t, string(text), "canary", "a profile is for whom it is given to")
	require.NotContains(t, loc.String(), "canary")
	require.Contains(t, loc.String(), `proxy "http://p:3128"`)
	require.Contains(t, loc.String(), "certificates of its own")
	require.Contains(t, loc.String(), "virtual host")
}

func TestABundleWithOtherLettersIsKept(t *testing.T) {
	cert := certificate(t)
	loc := &location.Location{Type: location.TypeS3, Bucket: "b", CABundle: []byte("Beh\xf6rde\n" + cert)}
	text, err := loc.Profile()
	require.NoError(t, err)
	again, err := location.ParseProfile(text)
	require.NoError(t, err)
	require.Equal(t, cert, string(again.CABundle))
}

// TestProfileIsKanisters compares with what Kanister's templates render, byte by byte.
func TestProfileIsKanisters(t *testing.T) {
	text, err := (&location.Location{Type: location.TypeS3, Bucket: "b", Endpoint: "https://e", Prefix: "<p>", Region: "r", SkipSSLVerify: true,
		Credential: location.NewKeyPair("id", "sec")}).Profile()
	require.NoError(t, err)
	want := `{"Location":{"type":"s3Compliant","bucket":"b","endpoint":"https://e","prefix":"\u003cp\u003e","region":"r"},` +
		`"Credential":{"Type":"keyPair","KeyPair":{"ID":"id","Secret":"sec"},"Secret":null,"KopiaServerSecret":null},"SkipSSLVerify":true}`
	require.Equal(t, []byte(want), text)

	text, err = (&location.Location{Type: location.TypeS3, Bucket: "b", Credential: secret(typeAWS, "aws_access_key_id", "id", "aws_secret_access_key", "sec")}).Profile()
	require.NoError(t, err)
	want = `{"Location":{"type":"s3Compliant","bucket":"b","endpoint":"","prefix":"","region":""},` +
		`"Credential":{"Type":"secret","KeyPair":null,"Secret":{"metadata":{},"data":{"aws_access_key_id":"aWQ=","aws_secret_access_key":"c2Vj"},"type":"secrets.kanister.io/aws"},` +
		`"KopiaServerSecret":null},"SkipSSLVerify":false}`
	require.Equal(t, []byte(want), text)

	text, err = (&location.Location{Type: location.TypeFile, Bucket: "/b", Credential: location.NewKeyPair("canary", "canary")}).Profile()
	require.NoError(t, err)
	require.NotContains(t, string(text), "canary", "a folder needs none")
	require.True(t, json.Valid(text))
}
