//go:build linux

package testserver

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Cloud lets the handler answer for servers of the internet, by these names and over TLS, to clients that use the proxy at the returned address and trust the
// returned certificate. Every other name is refused.
func Cloud(t testing.TB, handler http.Handler, hosts ...string) (proxy string, ca []byte) {
	t.Helper()
	a := newAuthority(t, hosts...)
	cert, err := tls.LoadX509KeyPair(a.certFile, a.keyFile)
	require.NoError(t, err)
	tunnels := &tunnels{conns: make(chan net.Conn), done: make(chan struct{})}
	inner := &http.Server{Handler: handler, ReadHeaderTimeout: startTime}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = inner.Serve(tls.NewListener(tunnels, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})) // ends with Close
	}()
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil || r.Method != http.MethodConnect || !a.names(host) {
			http.Error(w, "no such host here", http.StatusBadGateway)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			_ = conn.Close()
			return
		}
		tunnels.add(conn)
	}))
	t.Cleanup(func() {
		outer.Close()
		_ = inner.Close()
		<-served
	})
	return outer.URL, a.pem
}

// tunnels is a listener whose connections come from a proxy.
type tunnels struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *tunnels) add(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.done:
		_ = conn.Close()
	}
}

func (l *tunnels) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *tunnels) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *tunnels) Addr() net.Addr { return &net.TCPAddr{} }
