package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/davit-project/davit/internal/idle"
	"github.com/davit-project/davit/location"
)

// silence is how long a connection may carry nothing while a request is under way.
const silence = time.Minute

// httpClient sends requests with a credential, and knows what of it must not show.
type httpClient struct {
	client *http.Client
	base   *http.Transport
	tokens *tokens
}

func newHTTP(ctx context.Context, loc *location.Location, at *url.URL) (*httpClient, error) {
	cred, err := loc.Google()
	if err != nil {
		return nil, err
	}
	base, err := loc.Transport()
	if err != nil {
		return nil, err
	}
	idle.Watch(base, silence)
	h := &httpClient{base: base, client: &http.Client{Transport: base, CheckRedirect: refuse}}
	if len(cred.JSON) == 0 && !ofGoogle(at) {
		return h, nil
	}
	if at.Scheme != "https" {
		return nil, fmt.Errorf("%w: a key file over http could be read on the way: use an https endpoint, or leave the credential out", location.ErrProfile)
	}
	// Tokens are fetched as objects are: with the location's certificates and proxy. They outlive the opening.
	source, err := credentials(context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: base}), cred)
	if err != nil {
		return nil, err
	}
	h.tokens = &tokens{source: source}
	h.client.Transport = &oauth2.Transport{Source: h.tokens, Base: base}
	return h, nil
}

// refuse follows no redirection: the credential would go along.
func refuse(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func credentials(ctx context.Context, cred location.GoogleCredential) (oauth2.TokenSource, error) {
	if len(cred.JSON) == 0 {
		found, err := google.FindDefaultCredentials(ctx, storage.ScopeReadWrite)
		if err != nil {
			return nil, fmt.Errorf("%w: there are no application default credentials: give the profile a key file, or this process a workload identity",
				location.ErrCredential)
		}
		return found.TokenSource, nil
	}
	var head struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(cred.JSON, &head); err != nil || head.Type != google.ServiceAccount && head.Type != google.AuthorizedUser {
		return nil, fmt.Errorf("%w: the key file of the credential is not of type service_account or authorized_user", location.ErrProfile)
	}
	made, err := google.CredentialsFromJSONWithType(ctx, cred.JSON, head.Type, storage.ScopeReadWrite)
	if err != nil { // its text may quote the file
		return nil, fmt.Errorf("%w: the key file of the credential cannot be used: take the file as Google made it", location.ErrProfile)
	}
	return made.TokenSource, nil
}

// tokens marks the failures of a source and remembers the last token, to keep it out of errors.
type tokens struct {
	source oauth2.TokenSource
	last   atomic.Pointer[string]
}

// Token gets one.
func (t *tokens) Token() (*oauth2.Token, error) {
	token, err := t.source.Token()
	if err != nil {
		return nil, &tokenError{err}
	}
	t.last.Store(&token.AccessToken)
	return token, nil
}

// tokenError says that there was no token to send.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "get a token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// refused is what Google answered to the wish for a token, if it answered.
func (e *tokenError) refused() (status int, code, description string) {
	r, ok := errors.AsType[*oauth2.RetrieveError](e.err)
	if !ok || r.Response == nil {
		return 0, "", ""
	}
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(r.Body, &body) // what is no JSON says nothing
	return r.Response.StatusCode, body.Error, body.Description
}

// hide takes the token out of a text.
func (h *httpClient) hide(text string) string {
	if h.tokens == nil {
		return text
	}
	if last := h.tokens.last.Load(); last != nil && *last != "" {
		return strings.ReplaceAll(text, *last, "[masked]")
	}
	return text
}
