package location

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"
)

const (
	// idlePerHost is as many connections as one object is moved over at once, and some.
	idlePerHost = 16
	// headerTimeout is how long a store may take to answer a request that was sent whole. Bodies have no limit of time.
	headerTimeout = time.Minute
	// socketBuffer is that of a connection, in each direction; the default of 4 KiB costs a system call for so little.
	socketBuffer = 64 << 10
)

// Transport is a new HTTP transport with the location's certificates and proxy, and the process's for the rest: that of http.DefaultTransport, of TLS 1.2 or
// later, which takes bodies as they are sent. Certificates are verified unless SkipSSLVerify says otherwise. The caller closes its idle connections.
func (l *Location) Transport() (*http.Transport, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if usual, ok := http.DefaultTransport.(*http.Transport); ok {
		t = usual.Clone()
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	if t.TLSClientConfig.MinVersion < tls.VersionTLS12 {
		t.TLSClientConfig.MinVersion = tls.VersionTLS12
	}
	t.TLSClientConfig.InsecureSkipVerify = l.SkipSSLVerify
	if len(l.CABundle) > 0 {
		pool, err := l.trusted()
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = pool
	}
	proxy, err := l.proxyURL()
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	t.MaxIdleConnsPerHost = idlePerHost
	t.ResponseHeaderTimeout = headerTimeout
	t.DisableCompression = true // a body that is unpacked on the way is not what was stored
	t.ReadBufferSize, t.WriteBufferSize = socketBuffer, socketBuffer
	return t, nil
}

// trusted are the system's certificates and the location's.
func (l *Location) trusted() (*x509.CertPool, error) {
	all, err := certificates(l.CABundle)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // an image without any: the location's are enough
		pool = x509.NewCertPool()
	}
	for _, c := range all {
		pool.AddCert(c)
	}
	return pool, nil
}
