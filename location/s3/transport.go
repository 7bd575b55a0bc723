package s3

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/davit-project/davit/internal/idle"
)

const (
	// idleTime is the limit for usual requests.
	idleTime = time.Minute
	// slower is how many times longer it is for requests on which the store works long before it answers: the joining and copying of large objects.
	slower = 15
)

// doer sends requests.
type doer struct{ usual, patient *http.Client }

func newDoer(base *http.Transport, idleTime time.Duration) *doer {
	client := func(wait time.Duration) *http.Client {
		t := base.Clone()
		tune(t, wait)
		return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &doer{client(idleTime), client(idleTime * slower)}
}

// close ends the connections that wait for requests.
func (d *doer) close() {
	d.usual.CloseIdleConnections()
	d.patient.CloseIdleConnections()
}

// buildable is the transport in the only form in which the SDK adds certificates of its own surroundings to it.
func buildable(t *http.Transport) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(to *http.Transport) {
		to.Proxy, to.DialContext, to.TLSClientConfig = t.Proxy, t.DialContext, t.TLSClientConfig
		to.ReadBufferSize, to.WriteBufferSize, to.DisableCompression = t.ReadBufferSize, t.WriteBufferSize, t.DisableCompression
	})
}

// Do sends the request.
func (d *doer) Do(req *http.Request) (*http.Response, error) {
	if b, ok := req.Context().Value(bodyKey{}).(*body); ok && req.ContentLength == int64(len(b.data)) && req.Body != nil {
		given := req.Body
		req.Body = b.open(given.Close)
		req.GetBody = func() (io.ReadCloser, error) { return b.open(func() error { return nil }), nil }
	}
	if req.Header.Get("X-Amz-Copy-Source") != "" || req.Method == http.MethodPost && req.URL.Query().Has("uploadId") {
		return d.patient.Do(req)
	}
	return d.usual.Do(req)
}

// tune sets bounds so that a store that is dead, or a network that swallows everything, is noticed, and lets bodies in memory go to the kernel from there.
func tune(t *http.Transport, wait time.Duration) {
	idle.Watch(t, wait)
	t.ExpectContinueTimeout = time.Second
	t.MaxIdleConnsPerHost = 16
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &sender{c}, nil
	}
}

// sender is a connection that takes bodies in memory as they are.
type sender struct{ net.Conn }
