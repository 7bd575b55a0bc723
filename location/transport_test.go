package location_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
)

// secure is a server whose certificate nobody trusts; it answers with what it was asked to encode the answer as.
func secure(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "encoding:"+r.Header.Get("Accept-Encoding"))
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// ask asks over the location's transport.
func ask(t *testing.T, loc *location.Location, url string) (string, error) {
	t.Helper()
	transport, err := loc.Transport()
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body), nil
}

func TestTransportTrusts(t *testing.T) {
	server := secure(t)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	_, err := ask(t, &location.Location{}, server.URL)
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	got, err := ask(t, &location.Location{CABundle: own}, server.URL)
	require.NoError(t, err)
	require.Equal(t, "encoding:", got, "nothing is unpacked on the way")
	_, err = ask(t, &location.Location{SkipSSLVerify: true}, server.URL)
	require.NoError(t, err)
	_, err = ask(t, &location.Location{}, server.URL)
	require.Error(t, err, "one location's trust is not another's")

	_, err = (&location.Location{CABundle: []byte("canary")}).Transport()
	require.ErrorIs(t, err, location.ErrProfile)
}

func TestTransportRefusesOldTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := ask(t, &location.Location{SkipSSLVerify: true}, server.URL)
	require.ErrorContains(t, err, "protocol version")
}

func TestTransportUsesTheProxy(t *testing.T) {
	target := secure(t)
	var asked, user string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, user = r.Method+" "+r.Host, r.Header.Get("Proxy-Authorization")
		far, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}))
	t.Cleanup(proxy.Close)
	loc := &location.Location{Proxy: "http://user:canary@" + proxy.Listener.Addr().String(), SkipSSLVerify: true}
	got, err := ask(t, loc, target.URL)
	require.NoError(t, err)
	require.Equal(t, "encoding:", got)
	require.Equal(t, "CONNECT "+target.Listener.Addr().String(), asked)
	require.NotEmpty(t, user)

	proxy.Close()
	_, err = ask(t, loc, target.URL)
	require.ErrorContains(t, err, "proxyconnect")
	require.NotContains(t, err.Error(), "canary")

	_, err = (&location.Location{Proxy: "proxy"}).Transport()
	require.ErrorIs(t, err, location.ErrProfile)
}

func TestTransportLeavesTheDefaultAlone(t *testing.T) {
	usual := http.DefaultTransport.(*http.Transport)
	usual.Clone() // the first copy gives the original its TLS configuration, whoever makes it
	idle, config := usual.MaxIdleConnsPerHost, usual.TLSClientConfig
	got, err := (&location.Location{SkipSSLVerify: true, Proxy: "http://p"}).Transport()
	require.NoError(t, err)
	require.Equal(t, idle, usual.MaxIdleConnsPerHost)
	require.Same(t, config, usual.TLSClientConfig)
	require.Equal(t, 16, got.MaxIdleConnsPerHost)
	require.Equal(t, time.Minute, got.ResponseHeaderTimeout)
	require.Equal(t, [2]int{64 << 10, 64 << 10}, [2]int{got.ReadBufferSize, got.WriteBufferSize})
	require.EqualValues(t, tls.VersionTLS12, got.TLSClientConfig.MinVersion)
	require.True(t, got.ForceAttemptHTTP2)
}
