package s3

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

const (
	// idle is the limit of the same name for usual requests.
	idle = time.Minute
	// slower is how many times longer it is for requests on which the store works long before it answers: the joining and copying of large objects.
	slower = 15
	// dialTime bounds the making of a connection.
	dialTime = 15 * time.Second
)

// doer sends requests.
type doer struct{ usual, patient *http.Client }

func newDoer(base *http.Transport, idle time.Duration) *doer {
	client := func(wait time.Duration) *http.Client {
		t := base.Clone()
		tune(t, wait)
		return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &doer{client(idle), client(idle * slower)}
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

// tune sets bounds so that a store that is dead, or a network that swallows everything, is noticed. Parts go over connections of their own, which
// HTTP/2 would make one.
func tune(t *http.Transport, wait time.Duration) {
	dial := t.DialContext
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		c, err := dial(dctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watched{Conn: c, wait: wait}, nil
	}
	t.TLSHandshakeTimeout = dialTime
	t.ExpectContinueTimeout = time.Second
	t.IdleConnTimeout = wait / 2
	t.MaxIdleConnsPerHost = 16
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
}

// watched is a connection that fails when it carries nothing for too long. A write puts off the end of a read that waits for the answer.
type watched struct {
	net.Conn
	wait time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(w.wait)); err != nil {
		return 0, err
	}
	return w.Conn.Read(p)
}

func (w *watched) Write(p []byte) (int, error) {
	if err := w.SetDeadline(time.Now().Add(w.wait)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}
