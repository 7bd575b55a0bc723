// Package idle makes connections of HTTP clients fail that carry nothing, so that a server that is dead, or a network that swallows everything, is noticed however
// long a body may take.
package idle

import (
	"context"
	"net"
	"net/http"
	"time"
)

// piece is what must go over a connection in the time: a body may be given to it as a whole.
const piece = 256 << 10

// dialTime bounds the making of a connection.
const dialTime = 15 * time.Second

// Watch lets the transport's new connections fail when nothing goes over them for so long, in either direction, while a request is under way. They speak
// HTTP/1.1: over HTTP/2 all requests would share one.
func Watch(t *http.Transport, wait time.Duration) {
	dial := t.DialContext
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: dialTime}).DialContext
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, wait: wait}, nil
	}
	t.TLSHandshakeTimeout = min(wait, dialTime)
	t.IdleConnTimeout = wait / 2
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
}

// conn is a connection whose reads and writes have little time. A write puts off the end of a read that waits for the answer.
type conn struct {
	net.Conn
	wait time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.wait)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (n int, err error) {
	for first := true; first || len(p) > 0; first = false {
		if err := c.SetDeadline(time.Now().Add(c.wait)); err != nil {
			return n, err
		}
		wrote, err := c.Conn.Write(p[:min(len(p), piece)])
		n, p = n+wrote, p[wrote:]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
