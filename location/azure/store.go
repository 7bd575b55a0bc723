package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/davit-project/davit/internal/idle"
	"github.com/davit-project/davit/internal/storefault"
	"github.com/davit-project/davit/location"
)

// retries with pauses between 0.5 and 10 seconds.
var retries = policy.RetryOptions{MaxRetries: 7, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 10 * time.Second, ShouldRetry: mayPass}

// silence is how long a connection may carry nothing while a request is under way.
const silence = time.Minute

// maxSAS is far above any real signature.
const maxSAS = 16 << 10

// store is a container and what must not show in its errors.
type store struct {
	container *container.Client
	// transports are those whose connections end with the bucket.
	transports []*http.Transport
	secrets    *secrets
	// signature is the last one sent; nil before and where there is none.
	signature *atomic.Pointer[url.Values]
}

func newStore(loc *location.Location, cred *location.AzureCredential, at *url.URL, retry policy.RetryOptions) (*store, error) {
	base, err := loc.Transport()
	if err != nil {
		return nil, err
	}
	idle.Watch(base, silence)
	s := &store{transports: []*http.Transport{base}, secrets: &secrets{}}
	s.secrets.add(cred.Key, cred.ClientSecret)
	d := &doer{client: &http.Client{Transport: base, CheckRedirect: refuse}, cred: cred, secrets: s.secrets}
	s.signature = &d.last
	opts := &container.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: d, Retry: retry}}
	switch {
	case cred.Key != "":
		s.container, err = withKey(at, cred, opts)
	case cred.SAS != "" || cred.SASFile != "":
		d.signs = true
		s.container, err = container.NewClientWithNoCredential(at.String(), opts)
	default:
		s.container, err = s.withIdentity(at, cred, opts)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// idle ends the connections that wait for requests.
func (s *store) idle() {
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}

func withKey(at *url.URL, cred *location.AzureCredential, opts *container.ClientOptions) (*container.Client, error) {
	key, err := container.NewSharedKeyCredential(cred.Account, cred.Key)
	if err != nil { // its text may quote the key
		return nil, fmt.Errorf("%w: the key of the storage account is not base64: give it as Azure shows it", location.ErrProfile)
	}
	return container.NewClientWithSharedKeyCredential(at.String(), key, opts)
}

// refuse follows no redirection: the credential would go along.
func refuse(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// doer sends requests, last of all the SDK's parts. Only here the signature is added, and taken out of the errors of net/http, which hold the address.
type doer struct {
	client  *http.Client
	cred    *location.AzureCredential
	secrets *secrets
	signs   bool
	last    atomic.Pointer[url.Values]
}

// Do sends the request.
func (d *doer) Do(req *http.Request) (*http.Response, error) {
	if d.signs {
		sas, err := d.sas()
		if err != nil {
			return nil, err
		}
		given := req
		req = req.Clone(req.Context())
		if req.URL.RawQuery != "" {
			req.URL.RawQuery += "&"
		}
		req.URL.RawQuery += sas
		resp, err := d.send(req)
		if resp != nil {
			resp.Request = given
		}
		return resp, err
	}
	return d.send(req)
}

func (d *doer) send(req *http.Request) (*http.Response, error) {
	resp, err := d.client.Do(req)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return resp, err
}

// sas is the signature, that of a file as it is now.
func (d *doer) sas() (string, error) {
	text := d.cred.SAS
	if text == "" {
		var err error
		if text, err = readSAS(d.cred.SASFile); err != nil {
			return "", err
		}
	}
	text = strings.TrimPrefix(strings.TrimSpace(text), "?")
	q, err := url.ParseQuery(text)
	if err != nil || q.Get("sig") == "" {
		return "", &credentialError{errors.New("what is to be a shared access signature is none: it has no sig=")}
	}
	d.last.Store(&q)
	d.secrets.add(text, q.Get("sig"), url.QueryEscape(q.Get("sig")))
	return text, nil
}

func readSAS(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", &credentialError{fmt.Errorf("read the file of the shared access signature: %w", err)}
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSAS))
	if err != nil {
		return "", &credentialError{fmt.Errorf("read the file of the shared access signature: %w", err)}
	}
	return string(text), nil
}

// hasExpired tells whether the signature that was sent last has: https://learn.microsoft.com/en-us/rest/api/storageservices/formatting-datetime-values
func (s *store) hasExpired() bool {
	q := s.signature.Load()
	if q == nil {
		return false
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z", "2006-01-02T15:04Z", "2006-01-02T15:04:05.0000000Z", "2006-01-02"} {
		if end, err := time.Parse(layout, q.Get("se")); err == nil {
			return time.Now().After(end)
		}
	}
	return false
}

// credentialError says that there is nothing to send a request with. The SDK does not try it again.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// NonRetriable is what the SDK looks for.
func (e *credentialError) NonRetriable() {}

// secrets are the texts that no error may hold; those of the last few hours, as signatures and tokens change.
type secrets struct {
	mu   sync.Mutex
	last []string
}

const mostSecrets = 16

func (s *secrets) add(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
next:
	for _, text := range texts {
		for _, known := range s.last {
			if text == known {
				continue next
			}
		}
		if text != "" {
			s.last = append(s.last, text)
		}
	}
	if n := len(s.last) - mostSecrets; n > 0 {
		s.last = append(s.last[:2:2], s.last[2+n:]...) // the first two are of the profile
	}
}

func (s *secrets) hide(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.last {
		text = strings.ReplaceAll(text, secret, "[masked]")
	}
	return text
}

// noProxyAtHome keeps requests to the instance's own metadata from the proxy.
func noProxyAtHome(t *http.Transport) *http.Transport {
	t = t.Clone()
	proxy := t.Proxy
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if ip := net.ParseIP(r.URL.Hostname()); proxy == nil || ip != nil && (ip.IsLinkLocalUnicast() || ip.IsLoopback()) {
			return nil, nil
		}
		return proxy(r)
	}
	return t
}

// mayPass tells whether the SDK is to try again.
func mayPass(resp *http.Response, err error) bool {
	if err != nil {
		return !errors.Is(err, context.Canceled) && !storefault.IsStranger(err)
	}
	return resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusNotImplemented && resp.StatusCode != http.StatusHTTPVersionNotSupported
}
