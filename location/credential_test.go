package location_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
)

const (
	typeAWS   = "secrets.kanister.io/aws"
	typeGCP   = "secrets.kanister.io/gcp"
	typeAzure = "secrets.kanister.io/azure"
)

func secret(kind string, values ...string) location.Credential {
	data := map[string][]byte{}
	for i := 0; i < len(values); i += 2 {
		data[values[i]] = []byte(values[i+1])
	}
	return location.NewSecret(kind, data)
}

var privateKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func rsaKey(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(privateKey())
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// keyFile is a key file of a service account as Google makes them, with some fields changed.
func keyFile(t *testing.T, changed map[string]string) string {
	t.Helper()
	file := map[string]string{"type": "service_account", "project_id": "project", "private_key_id": "canary-key-id", "client_id": "1",
		"private_key":  rsaKey(t),
		"client_email": "canary@project.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "universe_domain": "googleapis.com"}
	for k, v := range changed {
		file[k] = v
	}
	text, err := json.Marshal(file)
	require.NoError(t, err)
	return string(text)
}

func TestAWS(t *testing.T) {
	const id, key = "AKIACANARY", "canary/secret+key"
	role := "arn:aws:iam::123456789012:role/backup"
	for name, tc := range map[string]struct {
		given location.Credential
		want  location.AWSCredential
	}{
		"none":           {location.Credential{}, location.AWSCredential{}},
		"keyPair":        {location.NewKeyPair(id, key), location.AWSCredential{AccessKeyID: id, SecretAccessKey: key}},
		"with line ends": {location.NewKeyPair(id+"\n", key+"\r\n"), location.AWSCredential{AccessKeyID: id, SecretAccessKey: key}},
		"secret": {secret(typeAWS, "aws_access_key_id", id, "aws_secret_access_key", key+"\n", "role", ""),
			location.AWSCredential{AccessKeyID: id, SecretAccessKey: key}},
		"secret with a role":    {secret(typeAWS, "aws_access_key_id", id, "aws_secret_access_key", key, "role", role), location.AWSCredential{AccessKeyID: id, SecretAccessKey: key, Role: role}},
		"secret with a token":   {secret(typeAWS, "aws_access_key_id", id, "aws_secret_access_key", key, "aws_session_token", "t"), location.AWSCredential{AccessKeyID: id, SecretAccessKey: key, SessionToken: "t"}},
		"a role alone":          {secret(typeAWS, "role", role), location.AWSCredential{Role: role}},
		"nothing in the secret": {secret(typeAWS), location.AWSCredential{}},
		"made": {location.NewAWS(location.AWSCredential{AccessKeyID: id, SecretAccessKey: key, SessionToken: "t", Role: role}),
			location.AWSCredential{AccessKeyID: id, SecretAccessKey: key, SessionToken: "t", Role: role}},
	} {
		t.Run(name, func(t *testing.T) {
			loc := &location.Location{Type: location.TypeS3, Bucket: "b", Credential: tc.given}
			require.NoError(t, loc.Validate())
			got, err := loc.AWS()
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			requireRoundTrip(t, loc)
		})
	}
}

func TestGoogle(t *testing.T) {
	der := x509.MarshalPKCS1PrivateKey(privateKey())
	pkcs1 := keyFile(t, map[string]string{"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der})), "token_uri": ""})
	user := `{"type":"authorized_user","client_id":"canary-id","client_secret":"canary-secret","refresh_token":"canary-token"}`
	whole := keyFile(t, nil)
	for name, tc := range map[string]struct {
		given   location.Credential
		project string
		file    string
	}{
		"none":                      {location.Credential{}, "", ""},
		"keyPair":                   {location.NewKeyPair("other", whole), "other", whole},
		"secret":                    {secret(typeGCP, "gcp_project_id", "other\n", "service-account.json", whole+"\n"), "other", whole},
		"secret without a project":  {secret(typeGCP, "service-account.json", whole), "project", whole},
		"secret without a key file": {secret(typeGCP, "gcp_project_id", "other"), "other", ""},
		"an older key":              {secret(typeGCP, "service-account.json", pkcs1), "project", pkcs1},
		"a user":                    {secret(typeGCP, "service-account.json", user), "", user},
		"made":                      {location.NewGoogle(location.GoogleCredential{Project: "other", JSON: []byte(whole)}), "other", whole},
	} {
		t.Run(name, func(t *testing.T) {
			loc := &location.Location{Type: location.TypeGCS, Bucket: "b", Credential: tc.given}
			require.NoError(t, loc.Validate())
			got, err := loc.Google()
			require.NoError(t, err)
			require.Equal(t, tc.project, got.Project)
			requireRoundTrip(t, loc)
			if tc.file == "" {
				require.Empty(t, got.JSON)
				return
			}
			var want, have map[string]string
			require.NoError(t, json.Unmarshal([]byte(tc.file), &want))
			require.NoError(t, json.Unmarshal(got.JSON, &have))
			require.Equal(t, want["private_key"], have["private_key"])
			require.Equal(t, want["client_email"]+want["refresh_token"], have["client_email"]+have["refresh_token"])
		})
	}
}

func TestKeyFileKeepsOnlyWhatIsKnown(t *testing.T) {
	loc := &location.Location{Type: location.TypeGCS, Bucket: "b", Credential: location.NewKeyPair("p", keyFile(t, map[string]string{
		"credential_source": "/etc/passwd", "service_account_impersonation_url": "https://example.com", "auth_provider_x509_cert_url": "https://example.com"}))}
	got, err := loc.Google()
	require.NoError(t, err)
	require.NotContains(t, string(got.JSON), "example.com")
	require.NotContains(t, string(got.JSON), "passwd")
}

// TestBadKeyFiles has those that need a key, or are too large for a golden file.
func TestBadKeyFiles(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	ec := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, tc := range map[string]struct{ file, err string }{
		"another kind of key":   {keyFile(t, map[string]string{"private_key": ec}), "whose private_key is no RSA key in PEM"},
		"a large key":           {keyFile(t, map[string]string{"private_key": strings.Repeat("canary-", 3000)}), "whose private_key is no RSA key in PEM"},
		"much behind a key":     {keyFile(t, map[string]string{"private_key": rsaKey(t) + strings.Repeat("\n", 17000)}), "whose private_key is no RSA key in PEM"},
		"a large file":          {keyFile(t, map[string]string{"x": strings.Repeat("canary-", 12000)}), "is far too long for a key file of Google's"},
		"a type behind a type":  {`{"type":"service_account","type":"external_account"}`, "of type external_account"},
		"a key with an address": {keyFile(t, map[string]string{"token_uri": "https://canary.example.com"}), "no https address of Google's"},
		"a key with a port":     {keyFile(t, map[string]string{"token_uri": "https://oauth2.googleapis.com:8443"}), "no https address of Google's"},
	} {
		t.Run(name, func(t *testing.T) {
			loc := &location.Location{Type: location.TypeGCS, Bucket: "b", Credential: secret(typeGCP, "service-account.json", tc.file)}
			got, err := loc.Google()
			require.ErrorContains(t, err, tc.err)
			require.Empty(t, got.JSON)
			require.NotContains(t, err.Error(), "canary")
			require.ErrorContains(t, loc.Validate(), tc.err)
		})
	}
}

func TestAzure(t *testing.T) {
	const key = "Y2FuYXJ5LWtleQ=="
	type cred = location.AzureCredential
	for name, tc := range map[string]struct {
		given location.Credential
		want  cred
	}{
		"keyPair":         {location.NewKeyPair("acct\n", key+"\n"), cred{Account: "acct", Key: key}},
		"secret":          {secret(typeAzure, "azure_storage_account_id", "acct", "azure_storage_key", key), cred{Account: "acct", Key: key}},
		"an account":      {secret(typeAzure, "azure_storage_account_id", "acct"), cred{Account: "acct"}},
		"government":      {secret(typeAzure, "azure_storage_account_id", "acct", "azure_storage_environment", "AzureUSGovernmentCloud"), cred{Account: "acct", Environment: location.AzureUSGovernmentCloud}},
		"an older name":   {secret(typeAzure, "azure_storage_account_id", "acct", "azure_storage_environment", "azureUSGovernment"), cred{Account: "acct", Environment: location.AzureUSGovernmentCloud}},
		"another name":    {secret(typeAzure, "azure_storage_account_id", "acct", "azure_storage_environment", "AzureCloud"), cred{Account: "acct"}},
		"other letters":   {secret(typeAzure, "azure_storage_account_id", "acct", "azure_storage_environment", "AZURECHINACLOUD"), cred{Account: "acct", Environment: location.AzureChinaCloud}},
		"federated":       {secret(typeAzure, "azure_storage_account_id", "acct", "azure_federated_identity", "true", "azure_client_id", "c"), cred{Account: "acct", ClientID: "c"}},
		"and a file":      {secret(typeAzure, "azure_storage_account_id", "acct", "azure_federated_identity", "true").WithSASFile("/sas"), cred{Account: "acct", SASFile: "/sas"}},
		"and a key":       {secret(typeAzure, "azure_storage_account_id", "acct", "azure_federated_identity", "true", "azure_storage_key", key), cred{Account: "acct"}},
		"not federated":   {secret(typeAzure, "azure_storage_account_id", "acct", "azure_federated_identity", "false", "azure_storage_key", key).WithSASFile("/sas"), cred{Account: "acct", Key: key}},
		"a signature":     {secret(typeAzure, "azure_storage_account_id", "acct", "azure_sas_token", "?sv=1&sig=a%2Bb%3D\n"), cred{Account: "acct", SAS: "sv=1&sig=a%2Bb%3D"}},
		"a principal":     {secret(typeAzure, "azure_storage_account_id", "acct", "azure_tenant_id", "t", "azure_client_id", "c", "azure_client_secret", "s~."), cred{Account: "acct", TenantID: "t", ClientID: "c", ClientSecret: "s~."}},
		"a client":        {secret(typeAzure, "azure_storage_account_id", "acct", "azure_client_id", "c"), cred{Account: "acct", ClientID: "c"}},
		"made":            {location.NewAzure(cred{Account: "acct", SAS: "sig=x", Environment: location.AzureChinaCloud}), cred{Account: "acct", SAS: "sig=x", Environment: location.AzureChinaCloud}},
		"made with file":  {location.NewAzure(cred{Account: "acct", SASFile: "/sas"}), cred{Account: "acct", SASFile: "/sas"}},
		"made with a key": {location.NewAzure(cred{Account: "acct", Key: key}), cred{Account: "acct", Key: key}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.want.Environment == "" {
				tc.want.Environment = location.AzurePublicCloud
			}
			require.Contains(t, location.AzureEnvironments(), tc.want.Environment)
			loc := &location.Location{Type: location.TypeAzure, Bucket: "b", Credential: tc.given}
			require.NoError(t, loc.Validate())
			got, err := loc.Azure()
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			requireRoundTrip(t, loc)
		})
	}
}

func TestACredentialOfAnotherStoreIsRefused(t *testing.T) {
	loc := &location.Location{Type: location.TypeS3, Bucket: "b", Credential: location.NewKeyPair("canary-id", "canary")}
	_, err := loc.Google()
	require.EqualError(t, err, "invalid profile: a location of type s3Compliant has no credential as those of type gcs have")
	_, err = loc.Azure()
	require.ErrorIs(t, err, location.ErrProfile)
	loc.Type = location.TypeGCS
	_, err = loc.AWS()
	require.ErrorIs(t, err, location.ErrProfile)
}

func TestCredentialsAreNotShared(t *testing.T) {
	data := map[string][]byte{"role": []byte("a")}
	c := location.NewSecret(typeAWS, data)
	data["role"][0] = 'b'
	_, got, ok := c.Secret()
	require.True(t, ok)
	require.Equal(t, "a", string(got["role"]))
	got["role"][0] = 'c'
	_, got, _ = c.Secret()
	require.Equal(t, "a", string(got["role"]))
}

// hidden has what fmt goes through without asking it how it wants to be printed.
type hidden struct {
	c location.Credential
	l *location.Location
	v location.Location
}

func TestNothingPrintsACredential(t *testing.T) {
	sas := "sv=1&sig=canary77"
	creds := []location.Credential{
		location.NewKeyPair("canary-id", "canary-key"), secret(typeAWS, "aws_access_key_id", "canary-id", "aws_secret_access_key", "canary-key"),
		location.NewKeyPair("canary-id", keyFile(t, nil)), secret(typeAzure, "azure_storage_account_id", "canary", "azure_sas_token", sas),
		secret(typeAzure).WithSASFile("/canary"),
	}
	var shown []any
	for _, c := range creds {
		loc := location.Location{Type: location.TypeS3, Bucket: "s3://canary-id:canary-key@b", Endpoint: "https://canary:canary@e/x?sig=canary#canary",
			Proxy: "http://canary:canary@p:1", CABundle: []byte("canary"), Credential: c}
		require.Error(t, loc.Validate())
		bare := location.Location{Type: location.TypeS3, Bucket: "b", Credential: c}
		shown = append(shown, c, &c, loc, &loc, []any{loc}, map[string]any{"x": &loc}, struct{ L location.Location }{loc}, hidden{c, &bare, bare}, &hidden{c, &bare, bare})
	}
	aws := location.AWSCredential{AccessKeyID: "canary", SecretAccessKey: "canary", SessionToken: "canary", Role: "canary"}
	google := location.GoogleCredential{Project: "canary", JSON: []byte("canary")}
	azure := location.AzureCredential{Account: "canary", Key: "canary", SAS: "canary", SASFile: "canary", TenantID: "canary", ClientID: "canary", ClientSecret: "canary"}
	shown = append(shown, aws, &aws, google, &google, azure, &azure, struct{ C any }{aws}, []location.AzureCredential{azure}, map[string]location.GoogleCredential{"x": google})
	var out bytes.Buffer
	for _, v := range shown {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		require.NoError(t, json.NewEncoder(&out).Encode(v))
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, canary := range []string{"canary", "PRIVATE KEY", fmt.Sprintf("%x", "canary"), "99 97 110 97 114 121"} {
		at := strings.Index(strings.ToLower(out.String()), strings.ToLower(canary))
		require.Negative(t, at, "%q is shown in: %.200s", canary, out.String()[max(0, at-100):])
	}
	require.Contains(t, out.String(), `proxy "http://p:1"`)
	require.Contains(t, out.String(), `endpoint "https://e/x"`)
	require.Equal(t, "AWS credential of the surroundings", location.AWSCredential{}.String())
	require.Equal(t, "application default credentials of Google", location.GoogleCredential{}.String())
	require.Equal(t, "Azure credential of the surroundings", location.AzureCredential{Account: "a"}.String())
}

// requireRoundTrip renders the location as a profile and reads it again.
func requireRoundTrip(t *testing.T, loc *location.Location) {
	t.Helper()
	text, err := loc.Profile()
	require.NoError(t, err)
	again, err := location.ParseProfile(text)
	require.NoError(t, err)
	want := *loc
	want.Credential = want.Credential.WithSASFile("")
	again.Credential = again.Credential.WithSASFile("")
	require.Equal(t, &want, again)
}
