package kubecluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/rest"
	client "k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	streaming "k8s.io/streaming/pkg/httpstream/spdy"
)

// spdy runs the command through SPDY and returns its status. The executor of client-go takes a connection that ended before the status came for success; so the
// status is watched on its way.
func (c *Cluster) spdy(ctx context.Context, x *execution) ([]byte, error) {
	transport, watch, err := spdyTransport(c.clients.Config)
	if err != nil {
		return nil, err
	}
	executor, err := client.NewSPDYExecutorForProtocols(transport, spdy.NewUpgraderForStreaming(watch), http.MethodPost, x.url,
		remotecommand.StreamProtocolV5Name, remotecommand.StreamProtocolV4Name)
	if err != nil {
		return nil, err
	}
	quiet := logr.NewContextWithSlogLogger(ctx, c.opts.Logger) // client-go prints otherwise
	err = executor.StreamWithContext(quiet, client.StreamOptions{Stdin: x.stdin, Stdout: x.stdout, Stderr: x.stderr})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // the output may lack its end
	}
	status := watch.get()
	if _, complete := parseStatus(status); complete {
		return status, nil // err is its translation
	}
	if err != nil && !watch.begun() {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoStatus, err)
	}
	return nil, errNoStatus
}

// spdyTransport is spdy.RoundTripperFor without the ping every 5 s: one that comes between the end of the command and that of its output, for a reader that is slow, makes
// the server's system forget what is still on the way.
func spdyTransport(config *rest.Config) (http.RoundTripper, *statusWatch, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, nil, err
	}
	opts := streaming.RoundTripperConfig{TLS: tls, Proxier: http.ProxyFromEnvironment}
	if config.Proxy != nil {
		opts.Proxier = config.Proxy
	}
	tripper, err := streaming.NewRoundTripperWithConfig(opts)
	if err != nil {
		return nil, nil, err
	}
	transport, err := rest.HTTPWrappersForConfig(config, tripper)
	return transport, &statusWatch{SpdyRoundTripper: tripper}, err
}

// statusWatch keeps what comes on the error stream of a connection, where the status belongs, up to a little more than there may be.
type statusWatch struct {
	*streaming.SpdyRoundTripper

	mu     sync.Mutex
	opened bool
	status []byte
}

// NewConnection keeps the server's answer where it is none that upgrades.
func (w *statusWatch) NewConnection(resp *http.Response) (httpstream.Connection, error) {
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, answered(resp)
	}
	conn, err := w.SpdyRoundTripper.NewConnection(resp)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened = true
	return watchedConn{conn, w}, nil
}

// answered is an answer of the API server's as client-go has it, or whatever else it was.
func answered(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		return &apierrors.StatusError{ErrStatus: status}
	}
	return fmt.Errorf("the server answered %s: %s", resp.Status, brief(string(body)))
}

func (w *statusWatch) keep(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = append(w.status, p[:min(len(p), maxStatus+1-len(w.status))]...)
}

func (w *statusWatch) get() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// begun tells whether the server took the request.
func (w *statusWatch) begun() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

type watchedConn struct {
	httpstream.Connection
	watch *statusWatch
}

func (c watchedConn) CreateStream(headers http.Header) (httpstream.Stream, error) {
	s, err := c.Connection.CreateStream(headers)
	if err != nil || headers.Get(corev1.StreamType) != corev1.StreamTypeError {
		return s, err
	}
	return watchedStream{s, c.watch}, nil
}

type watchedStream struct {
	httpstream.Stream
	watch *statusWatch
}

func (s watchedStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	s.watch.keep(p[:n])
	return n, err
}
