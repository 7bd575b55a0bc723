package s3

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
)

func TestBadInputMakesNoRequest(t *testing.T) {
	f := newFake(t)
	for name, change := range map[string]func(*location.Location){
		"no bucket":        func(l *location.Location) { l.Bucket = "" },
		"slash in bucket":  func(l *location.Location) { l.Bucket = "a/b" },
		"dots as bucket":   func(l *location.Location) { l.Bucket = ".." },
		"query in bucket":  func(l *location.Location) { l.Bucket = "a?b" },
		"long bucket":      func(l *location.Location) { l.Bucket = strings.Repeat("a", 256) },
		"scheme":           func(l *location.Location) { l.Endpoint = "ftp://host" },
		"no host":          func(l *location.Location) { l.Endpoint = "https://" },
		"user in endpoint": func(l *location.Location) { l.Endpoint = "https://me:" + testSecret + "@host" },
		"no URL":           func(l *location.Location) { l.Endpoint = "https://" + testSecret + "@ho st%zz" },
		"query":            func(l *location.Location) { l.Endpoint = f.URL + "?x=" + testSecret },
	} {
		loc := f.at()
		change(loc)
		_, err := Open(t.Context(), loc)
		require.ErrorIs(t, err, location.ErrProfile, name)
		require.NotContains(t, err.Error(), testSecret, name)
	}
	require.Empty(t, f.calls)
	_, err := Open(t.Context(), f.at())
	require.NoError(t, err)
	require.Empty(t, f.calls, "opening makes no request")
}

// TestHostOfTheBucket looks at a proxy where requests go, and that a location's proxy is used.
func TestHostOfTheBucket(t *testing.T) {
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked == "" { // the first one
			asked = r.Method + " " + r.URL.String()
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	for want, virtual := range map[string]bool{"HEAD http://store.invalid/bucket/key": false, "HEAD http://bucket.store.invalid/key": true} {
		loc := &location.Location{Type: location.TypeS3, Bucket: "bucket", Endpoint: "http://store.invalid", Region: "r", VirtualHost: virtual, Proxy: proxy.URL,
			Credential: location.NewKeyPair(testKey, testSecret)}
		asked = ""
		_, err := open(t, loc, quick()).Attributes(t.Context(), "key")
		require.ErrorIs(t, err, fs.ErrPermission)
		require.Equal(t, want, asked)
	}
}

// TestNoBucket has a bucket that does not exist look like one, not like an absent object.
func TestNoBucket(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		if r.Method != http.MethodHead {
			fmt.Fprint(w, "<Error><Code>NoSuchBucket</Code></Error>")
		}
	}))
	t.Cleanup(srv.Close)
	loc := &location.Location{Type: location.TypeS3, Bucket: "bucket", Endpoint: srv.URL, Region: "r", Credential: location.NewKeyPair(testKey, testSecret)}
	b := open(t, loc, quick())
	_, err := b.Attributes(t.Context(), "key")
	require.ErrorIs(t, err, location.ErrNoBucket)
	_, err = b.ReadAll(t.Context(), "key")
	require.ErrorIs(t, err, location.ErrNoBucket)
	require.ErrorIs(t, b.Delete(t.Context(), "key"), location.ErrNoBucket)
	_, _, err = b.ListPage(t.Context(), blob.FirstPageToken, 10, nil)
	require.ErrorIs(t, err, location.ErrNoBucket)

	f := newFake(t)
	_, err = open(t, f.at(), quick()).Attributes(t.Context(), "key")
	require.ErrorIs(t, err, location.ErrNotFound)
	require.NotErrorIs(t, err, location.ErrNoBucket)
}

// TestErrors gives each code of the store its meaning.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   error
		advice string
	}{
		{404, "NoSuchBucket", location.ErrNoBucket, "create the bucket"},
		{403, "AccessDenied", fs.ErrPermission, ""},
		{403, "InvalidAccessKeyId", location.ErrCredential, "check the access key"},
		{403, "SignatureDoesNotMatch", location.ErrCredential, "check the access key"},
		{400, "ExpiredToken", location.ErrCredential, "get a new one"},
		{400, "InvalidToken", location.ErrCredential, "get a new one"},
		{403, "RequestTimeTooSkewed", location.ErrClock, "set this machine's clock"},
		{503, "SlowDown", location.ErrUnavailable, "try again later"},
		{500, "InternalError", location.ErrUnavailable, "try again later"},
		{507, "WhoKnows", nil, "quota"},
		{409, "ConditionalRequestConflict", location.ErrExists, ""},
		{418, "Teapot", nil, "Teapot"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			if r.Method != http.MethodHead {
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>you are %s and %s</Message></Error>", c.code, testKey, testSecret)
			}
		}))
		loc := &location.Location{Type: location.TypeS3, Bucket: "bucket", Endpoint: srv.URL, Region: "r", Credential: location.NewKeyPair(testKey, testSecret)}
		err := open(t, loc, quick()).WriteAll(t.Context(), "key", []byte("x"), &blob.WriterOptions{ContentType: "text/plain"})
		require.Error(t, err)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, c.code)
		}
		require.NotEqual(t, gcerrors.OK, gcerrors.Code(err), c.code)
		require.Contains(t, err.Error(), c.advice)
		require.NotContains(t, err.Error(), testSecret)
		require.NotContains(t, err.Error(), testKey)
		srv.Close()
	}
}

func TestNobodyThere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	loc := &location.Location{Type: location.TypeS3, Bucket: "bucket", Endpoint: srv.URL, Region: "r", Credential: location.NewKeyPair(testKey, testSecret)}
	b := open(t, loc, quick())
	_, err := write(t.Context(), b, "key", stream(1, 10), nil)
	require.ErrorIs(t, err, location.ErrUnavailable)
	require.ErrorContains(t, err, "connection refused")
	_, err = b.ReadAll(t.Context(), "key")
	require.ErrorIs(t, err, location.ErrUnavailable)
	_, err = b.Attributes(t.Context(), "key")
	require.ErrorIs(t, err, location.ErrUnavailable)
}

// TestNoCredential has none in the surroundings either.
func TestNoCredential(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	f := newFake(t)
	loc := f.at()
	loc.Credential = location.Credential{}
	_, err := write(t.Context(), open(t, loc, quick()), "key", stream(1, 10), nil)
	require.ErrorIs(t, err, location.ErrCredential)
	require.ErrorContains(t, err, "give the profile a credential")
	require.Empty(t, f.calls)
}

// TestRegionIsLearned has a store that takes signatures of its own region only, and says so or has to be asked.
func TestRegionIsLearned(t *testing.T) {
	for name, says := range map[string]bool{"it says which": true, "it must be asked": false} {
		f := newFake(t)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Query().Has("location"):
				fmt.Fprint(w, "<LocationConstraint>far-away-1</LocationConstraint>")
			case strings.Contains(r.Header.Get("Authorization"), "/far-away-1/s3/"):
				f.ServeHTTP(w, r)
			case says:
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong; expecting 'far-away-1'.</Message></Error>")
			default:
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong.</Message></Error>")
			}
		}))
		t.Cleanup(srv.Close)
		loc := f.at()
		loc.Endpoint, loc.Region = srv.URL, "wrong-1"
		b := open(t, loc, quick())
		_, err := write(t.Context(), b, "key", stream(1, 200_000), nil)
		require.NoError(t, err, name)
		f.requireStored(t, content(t, 1, 200_000))
	}
}

// TestDeadStore answers nothing at all.
func TestDeadStore(t *testing.T) {
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(func() { close(hang); srv.Close() })
	transport := http.DefaultTransport.(*http.Transport).Clone()
	tune(transport, 50*time.Millisecond)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, strings.NewReader("x"))
	require.NoError(t, err)
	_, err = transport.RoundTrip(req) //nolint:bodyclose // there is none
	require.ErrorContains(t, err, "timeout")
}
