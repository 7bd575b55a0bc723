//go:build linux

package testserver

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy stands between a client and a server and breaks connections.
type Proxy struct {
	// URL is the server's, by way of the proxy.
	URL string
	// CutUploads and CutDownloads are how many requests and answers of more than 1 MiB are still to break after so much; CutAnswers how many of
	// those that Unanswered knows are done by the server without an answer.
	CutUploads, CutDownloads, CutAnswers atomic.Int32
	// Cuts counts what was broken.
	Cuts atomic.Int32
	// Strip names headers that answers come without.
	Strip []string
	// KeepHost leaves requests the host they were sent to, which S3's signatures cover.
	KeepHost bool
	// See is called with each request; nil for none.
	See func(*http.Request)
	// Unanswered tells which requests CutAnswers means; nil for none.
	Unanswered func(*http.Request) bool

	target *url.URL
}

// NewProxy starts a proxy before the server at the address.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	p := &Proxy{target: &url.URL{Scheme: u.Scheme, Host: u.Host}}
	reverse := &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		ModifyResponse: p.answer,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewServer(reverse)
	t.Cleanup(s.Close)
	p.URL = s.URL + u.Path
	return p
}

func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	if p.See != nil {
		p.See(r.In)
	}
	r.SetURL(p.target)
	if p.KeepHost {
		r.Out.Host = r.In.Host
	}
	if r.Out.ContentLength > cutAfter && p.take(&p.CutUploads) {
		r.Out.Body = &cut{ReadCloser: r.Out.Body, left: cutAfter}
	}
}

func (p *Proxy) answer(resp *http.Response) error {
	if p.Unanswered != nil && p.Unanswered(resp.Request) && p.take(&p.CutAnswers) {
		return errCut
	}
	for _, name := range p.Strip {
		resp.Header.Del(name)
	}
	if to := resp.Header.Get("Location"); strings.HasPrefix(to, p.target.String()) {
		u, err := url.Parse(p.URL)
		if err != nil {
			return err
		}
		resp.Header.Set("Location", u.Scheme+"://"+u.Host+strings.TrimPrefix(to, p.target.String()))
	}
	if resp.ContentLength > cutAfter && p.take(&p.CutDownloads) {
		resp.Body = &cut{ReadCloser: resp.Body, left: cutAfter}
	}
	return nil
}

// take tells whether there is one more to break.
func (p *Proxy) take(left *atomic.Int32) bool {
	if left.Add(-1) < 0 {
		left.Add(1)
		return false
	}
	p.Cuts.Add(1)
	return true
}

const cutAfter = 1 << 20

var errCut = errors.New("cut by the test")

// cut fails after so many bytes.
type cut struct {
	io.ReadCloser
	left int
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errCut
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
