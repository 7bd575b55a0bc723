package idle_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/internal/idle"
)

const wait = time.Minute

// client speaks with a server of one connection.
func client(server func(net.Conn)) *http.Client {
	t := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go server(far)
		return near, nil
	}}
	idle.Watch(t, wait)
	return &http.Client{Transport: t}
}

// What stops in the middle of a body fails in time, what is only slow does not.
func TestDownloads(t *testing.T) {
	for name, pause := range map[string]time.Duration{"slow": wait - time.Second, "dead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(24 * time.Hour) // the server comes to its end
				c := client(func(conn net.Conn) {
					defer conn.Close()
					_, _ = conn.Read(make([]byte, 4096))
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
					for range 5 {
						time.Sleep(pause)
						if _, err := io.WriteString(conn, "x"); err != nil {
							return
						}
					}
				})
				begin := time.Now()
				resp, err := c.Get("http://server/")
				require.NoError(t, err)
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, resp.Body.Close())
				if name == "slow" {
					require.NoError(t, err)
					require.Equal(t, "xxxxx", string(got))
					return
				}
				require.Error(t, err)
				require.Equal(t, wait, time.Since(begin))
			})
		})
	}
}

// A server that takes nothing more of what is sent is noticed; one that takes long to take it all is not given up.
func TestUploads(t *testing.T) {
	const size = 300 << 10
	for name, pause := range map[string]time.Duration{"slow": wait/2 - time.Second, "dead": time.Hour} { // a piece may need two reads
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(24 * time.Hour) // the server comes to its end
				c := client(func(conn net.Conn) {
					defer conn.Close()
					buf := make([]byte, 64<<10)
					for total := 0; total < size; {
						n, err := conn.Read(buf)
						if err != nil {
							return
						}
						total += n
						time.Sleep(pause)
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					_, _ = io.Copy(io.Discard, conn)
				})
				begin := time.Now()
				resp, err := c.Post("http://server/", "text/plain", bytes.NewReader(make([]byte, size)))
				if name == "slow" {
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
					require.Greater(t, time.Since(begin), 2*wait)
					return
				}
				require.Error(t, err)
				require.LessOrEqual(t, time.Since(begin), 2*wait)
			})
		})
	}
}
