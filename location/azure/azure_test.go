//go:build linux

package azure_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/internal/storetest"
	"github.com/davit-project/davit/internal/testserver"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/azure"
)

const canary = "CANARY7f3a"

var key = base64.StdEncoding.EncodeToString([]byte(canary + "-key-of-the-account"))

// server opens a container of a server that the handler is.
func server(t *testing.T, handler http.HandlerFunc, c location.AzureCredential) *blob.Bucket {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	c.Account = "account"
	b, err := azure.OpenFast(t.Context(), &location.Location{Type: location.TypeAzure, Bucket: "bucket", Endpoint: s.URL, Credential: location.NewAzure(c)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// refusal answers as Azure does.
func refusal(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s
RequestId:1</Message><AuthenticationErrorDetail>%[2]s</AuthenticationErrorDetail></Error>`, code, message)
}

var plain = &blob.WriterOptions{ContentType: "text/plain"}

func TestErrorsHaveMeanings(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		skewed bool
		want   error
		is     gcerrors.ErrorCode
		tries  int32
	}{
		{403, "AuthenticationFailed", false, location.ErrCredential, gcerrors.PermissionDenied, 1},
		{403, "AuthenticationFailed", true, location.ErrClock, gcerrors.PermissionDenied, 1},
		{403, "AuthorizationPermissionMismatch", false, fs.ErrPermission, gcerrors.PermissionDenied, 1},
		{404, "ContainerNotFound", false, location.ErrNoBucket, gcerrors.Unknown, 1},
		{404, "BlobNotFound", false, location.ErrNotFound, gcerrors.NotFound, 1},
		{409, "BlobAlreadyExists", false, location.ErrExists, gcerrors.FailedPrecondition, 1},
		{409, "BlobImmutableDueToPolicy", false, location.ErrExists, gcerrors.FailedPrecondition, 1},
		{412, "ConditionNotMet", false, location.ErrExists, gcerrors.FailedPrecondition, 1},
		{400, "Crc64Mismatch", false, location.ErrCorrupt, gcerrors.Unknown, 1},
		{503, "ServerBusy", false, location.ErrUnavailable, gcerrors.ResourceExhausted, 8},
	} {
		t.Run(fmt.Sprint(c.code, c.skewed), func(t *testing.T) {
			var requests atomic.Int32
			b := server(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				requests.Add(1)
				if c.skewed {
					w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
				}
				refusal(w, c.status, c.code, "server says no to "+r.Header.Get("Authorization")+" "+key)
			}, location.AzureCredential{Key: key})
			all := storetest.Operations(t, b, 9<<20)
			for _, name := range slices.Sorted(maps.Keys(all)) { // what writes is last: it may leave requests under way
				try := all[name]
				requests.Store(0)
				err := try()
				require.ErrorIs(t, err, c.want, name)
				require.Equal(t, c.is, gcerrors.Code(err), name)
				require.NotContains(t, err.Error(), "http://", name)
				require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), key, name)
				if name != "write" && name != "write much" { // after these, the object is looked for
					require.Equal(t, c.tries, requests.Load(), name)
				}
				require.LessOrEqual(t, requests.Load(), 4*c.tries+1, name)
			}
		})
	}
}

// A refused small upload is an error; gocloud v0.47.0 panics in azureblob's own writer, which this package does not use but a host may.
func TestRefusedUploadDoesNotPanic(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		refusal(w, 409, "BlobAlreadyExists", "it exists")
	}
	ours := server(t, refuse, location.AzureCredential{Key: key})
	s := httptest.NewServer(http.HandlerFunc(refuse))
	defer s.Close()
	client, err := container.NewClientWithNoCredential(s.URL+"/bucket", nil)
	require.NoError(t, err)
	theirs, err := azureblob.OpenBucket(t.Context(), client, nil)
	require.NoError(t, err)
	for name, b := range map[string]*blob.Bucket{"ours": ours, "gocloud's": theirs} {
		for range 20 {
			w, err := b.NewWriter(t.Context(), "key", &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
			require.NoError(t, err)
			_, _ = io.WriteString(w, "data")
			require.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(w.Close()), name)
		}
	}
	require.NoError(t, theirs.Close())
}

// Only what the store has answered with is taken for confirmed; a wrong answer is an error and commits nothing.
func TestWrongChecksumIsNotCommitted(t *testing.T) {
	var commits atomic.Int32
	b := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Query().Get("comp") == "blocklist" {
			commits.Add(1)
		}
		w.Header().Set("X-Ms-Content-Crc64", base64.StdEncoding.EncodeToString([]byte("8 bytes!")))
		w.WriteHeader(http.StatusCreated)
	}, location.AzureCredential{Key: key})
	require.ErrorIs(t, b.Upload(t.Context(), "key", storetest.Random(9<<20), plain), location.ErrCorrupt)
	require.Zero(t, commits.Load())
}

// Neither the signature nor an address with it is in any error: not when the server is away, not when it breaks off, not when it repeats what it was sent.
func TestSignatureStaysSecret(t *testing.T) {
	sig := canary + "/+=="
	sas := "sv=2022-11-02&ss=b&srt=sco&sp=rwdlc&se=2999-01-01T00:00:00Z&sig=" + url.QueryEscape(sig)
	away := httptest.NewServer(nil)
	away.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"away":       nil,
		"breaks off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"repeats": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("sig") != sig {
				refusal(w, 500, "NoSignature", "it was not sent")
				return
			}
			refusal(w, 403, "AuthenticationFailed", "signature "+sig+" of "+strings.ReplaceAll(r.URL.RawQuery, "&", "&amp;"))
		},
		"sends away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, away.URL+r.URL.String(), http.StatusFound)
		},
	} {
		b := server(t, handler, location.AzureCredential{SAS: sas})
		if handler == nil {
			var err error
			b, err = azure.OpenFast(t.Context(), &location.Location{Type: location.TypeAzure, Bucket: "bucket", Endpoint: away.URL,
				Credential: location.NewAzure(location.AzureCredential{Account: "account", SAS: sas})})
			require.NoError(t, err)
		}
		for operation, try := range storetest.Operations(t, b, 9<<20) {
			err := try()
			require.Error(t, err, "%s, %s", name, operation)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), canary, "%s, %s", name, operation)
			if name == "repeats" {
				require.ErrorIs(t, err, location.ErrCredential, "%s", operation)
			}
		}
	}
}

const government = "account.blob.core.usgovcloudapi.net"

// cloud is Azure's government cloud behind a proxy, in which nobody may anything. Who asks for a token gets what grant answers.
func cloud(t *testing.T, grant func(w http.ResponseWriter, form url.Values)) *location.Location {
	const login = "https://login.microsoftonline.us/tenant"
	proxy, ca := testserver.Cloud(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == government && r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", "Bearer authorization_uri="+login+"/oauth2/authorize resource_id=https://storage.azure.com")
			refusal(w, 401, "NoAuthenticationInformation", "none")
		case r.Host == government && r.Header.Get("Authorization") != "Bearer token-"+canary:
			refusal(w, 401, "InvalidAuthenticationInfo", "unknown token")
		case r.Host == government:
			refusal(w, 403, "AuthorizationPermissionMismatch", "the holder of "+r.Header.Get("Authorization")+" may not")
		case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
			fmt.Fprintf(w, `{"tenant_discovery_endpoint":"%s/v2.0/.well-known/openid-configuration","api-version":"1.1","metadata":[]}`, login)
		case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
			fmt.Fprintf(w, `{"authorization_endpoint":"%s/authorize","token_endpoint":"%[1]s/token","issuer":"%[1]s/v2.0"}`, login)
		default:
			_ = r.ParseForm()
			w.Header().Set("Content-Type", "application/json")
			grant(w, r.PostForm)
		}
	}), government, "login.microsoftonline.us", "login.microsoft.com", "login.microsoftonline.com")
	return &location.Location{Type: location.TypeAzure, Bucket: "bucket", Proxy: proxy, CABundle: ca}
}

const granted = `{"access_token":"token-` + canary + `","token_type":"Bearer","expires_in":3600}`

// refused opens the location of the government's cloud with the credential and returns the error of a first request, which holds no secret.
func refused(t *testing.T, loc *location.Location, c location.AzureCredential) error {
	c.Account, c.Environment = "account", "AzureUSGovernment"
	loc.Credential = location.NewAzure(c)
	b, err := azure.OpenFast(t.Context(), loc)
	require.NoError(t, err)
	_, err = b.Attributes(t.Context(), "key")
	require.Error(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), canary)
	require.NoError(t, b.Close())
	return err
}

// A service principal, by way of a proxy whose certificate the location names: a token is fetched and sent, and is in no error.
func TestServicePrincipal(t *testing.T) {
	const secret = "secret-" + canary
	status := http.StatusOK
	loc := cloud(t, func(w http.ResponseWriter, form url.Values) {
		if form.Get("client_secret") != secret || form.Get("client_id") != "client" {
			status = http.StatusTeapot
		}
		w.WriteHeader(status)
		if status == http.StatusOK {
			fmt.Fprint(w, granted)
			return
		}
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"AADSTS7000215: not %s"}`, secret)
	})
	c := location.AzureCredential{TenantID: "tenant", ClientID: "client", ClientSecret: secret}
	require.ErrorIs(t, refused(t, loc, c), fs.ErrPermission)
	status = http.StatusUnauthorized
	err := refused(t, loc, c)
	require.ErrorIs(t, err, location.ErrCredential)
	require.ErrorContains(t, err, "AADSTS7000215")
}

// The identity of a pod: its projected token is changed for one of Azure's. With and without the client's name.
func TestWorkloadIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("projected-"+canary), 0o600))
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_CLIENT_ID", "client")
	t.Setenv("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")
	for name, c := range map[string]location.AzureCredential{"default": {}, "named": {ClientID: "named"}} {
		var client atomic.Value
		loc := cloud(t, func(w http.ResponseWriter, form url.Values) {
			if form.Get("client_assertion") != "projected-"+canary {
				w.WriteHeader(http.StatusTeapot)
			}
			client.Store(form.Get("client_id"))
			fmt.Fprint(w, granted)
		})
		require.ErrorIs(t, refused(t, loc, c), fs.ErrPermission, name)
		require.Equal(t, map[string]string{"default": "client", "named": "named"}[name], client.Load())
	}
}

// The identity of a machine: it is asked for without the proxy.
func TestManagedIdentity(t *testing.T) {
	status := http.StatusOK
	instance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("client_id") != "client" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"access_token":"token-%s","token_type":"Bearer","expires_on":"%d","resource":"https://storage.azure.com"}`, canary, time.Now().Add(time.Hour).Unix())
	}))
	defer instance.Close()
	t.Setenv("IDENTITY_ENDPOINT", instance.URL)
	t.Setenv("IDENTITY_HEADER", "header")
	loc := cloud(t, func(w http.ResponseWriter, _ url.Values) { w.WriteHeader(http.StatusTeapot) })
	require.ErrorIs(t, refused(t, loc, location.AzureCredential{ClientID: "client"}), fs.ErrPermission)
}

func TestAddresses(t *testing.T) {
	for name, c := range map[string]struct{ endpoint, environment, want string }{
		"usual":        {"", "", "https://account.blob.core.windows.net/bucket"},
		"China":        {"", location.AzureChinaCloud, "https://account.blob.core.chinacloudapi.cn/bucket"},
		"government":   {"", "AzureUSGovernment", "https://account.blob.core.usgovcloudapi.net/bucket"},
		"cloud's own":  {"https://blob.core.windows.net", "", "https://account.blob.core.windows.net/bucket"},
		"account's":    {"account.blob.core.windows.net/", "", "https://account.blob.core.windows.net/bucket"},
		"private link": {"https://account.privatelink.blob.core.windows.net", "", "https://account.privatelink.blob.core.windows.net/bucket"},
		"emulator":     {"http://127.0.0.1:10000", "", "http://127.0.0.1:10000/account/bucket"},
		"emulator too": {"http://127.0.0.1:10000/other/", "", "http://127.0.0.1:10000/other/bucket"},
	} {
		b, err := azure.Open(t.Context(), &location.Location{Type: location.TypeAzure, Bucket: "bucket", Endpoint: c.endpoint,
			Credential: location.NewAzure(location.AzureCredential{Account: "account", Key: key, Environment: c.environment})})
		require.NoError(t, err, name)
		var client *container.Client
		require.True(t, b.As(&client))
		require.Equal(t, c.want, client.URL(), name)
		require.NoError(t, b.Close())
	}
}

func TestOpenRefuses(t *testing.T) {
	with := location.NewAzure(location.AzureCredential{Account: "account", Key: key})
	for name, loc := range map[string]location.Location{
		"no container":         {Credential: with},
		"container with slash": {Bucket: "a/b/c", Credential: with},
		"short container":      {Bucket: "ab", Credential: with},
		"long container":       {Bucket: strings.Repeat("a", 64), Credential: with},
		"no credential":        {Bucket: "bucket"},
		"no address":           {Bucket: "bucket", Endpoint: "http://[" + canary, Credential: with},
		"password":             {Bucket: "bucket", Endpoint: "https://user:" + canary + "@example.org", Credential: with},
		"signature":            {Bucket: "bucket", Endpoint: "https://example.org/?sig=" + canary, Credential: with},
		"other scheme":         {Bucket: "bucket", Endpoint: "ftp://example.org", Credential: with},
		"identity elsewhere":   {Bucket: "bucket", Endpoint: "https://example.org", Credential: location.NewAzure(location.AzureCredential{Account: "account"})},
		"identity over http":   {Bucket: "bucket", Endpoint: "http://account.blob.core.windows.net", Credential: location.NewAzure(location.AzureCredential{Account: "account"})},
	} {
		loc.Type = location.TypeAzure
		_, err := azure.Open(t.Context(), &loc)
		require.ErrorIs(t, err, location.ErrProfile, name)
		require.NotContains(t, err.Error(), canary, name)
	}
}

// A server whose certificate the location names is trusted, and no other.
func TestCertificates(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sum := md5.Sum(body)
		w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
		w.WriteHeader(http.StatusCreated)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // it is told of clients that do not trust it
	s.StartTLS()
	defer s.Close()
	loc := &location.Location{Type: location.TypeAzure, Bucket: "bucket", Endpoint: s.URL,
		Credential: location.NewAzure(location.AzureCredential{Account: "account", Key: key})}
	for _, trusted := range []bool{false, true} {
		if trusted {
			loc.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
		}
		b, err := azure.OpenFast(t.Context(), loc)
		require.NoError(t, err)
		err = b.Upload(t.Context(), "key", strings.NewReader("data"), plain)
		require.Equal(t, trusted, err == nil, "%v", err)
		if !trusted {
			require.ErrorContains(t, err, "CABundle")
		}
		require.NoError(t, b.Close())
	}
}
