//go:build e2e

package kubecluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/testcluster"
)

func TestExecAndThePodGoes(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	config := tc.As(t, ns, execRules())
	for name, transport := range transports {
		pod := start(t, tc, ns, sleeper(unique("p-"), "main"))
		c := bind(t, config)
		c.exec.transport = transport
		r, w := io.Pipe()
		done := make(chan error, 1)
		cmd := cluster.Command{Namespace: ns, Pod: pod, Args: []string{"sh", "-c", "echo begun; sleep 600"}, Stdout: w}
		go func() { done <- c.Exec(within(t, time.Minute), cmd) }()
		_, err := io.ReadFull(r, make([]byte, 6))
		require.NoError(t, err)
		zero := int64(0)
		require.NoError(t, tc.CoreV1().Pods(ns).Delete(t.Context(), pod, metav1.DeleteOptions{GracePeriodSeconds: &zero}))
		begin := time.Now()
		err = <-done
		require.Error(t, err, name)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		t.Logf("%s: %v, %s after the removal", name, err, time.Since(begin).Round(time.Millisecond))
	}
}

// relay passes bytes between the host and the API server until it is cut.
type relay struct {
	addr  string
	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(t *testing.T, config *rest.Config) (*relay, *rest.Config) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{addr: strings.TrimPrefix(config.Host, "https://")}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", r.addr)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, near, far)
			r.mu.Unlock()
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
			go func() { _, _ = io.Copy(near, far); _ = near.Close() }()
		}
	}()
	through := rest.CopyConfig(config)
	through.Host = "https://" + l.Addr().String()
	return r, through
}

// cut ends all connections at once, without a word of the protocols inside.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

func TestExecConnectionLost(t *testing.T) {
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		r, config := newRelay(t, c.clients.Config)
		through := bind(t, config)
		through.exec.transport = c.exec.transport
		for _, script := range []string{"echo begun; sleep 600", "echo begun; yes"} {
			out := &begun{cut: r.cut}
			cmd := shell(at, script)
			cmd.Stdout = out
			err := through.Exec(within(t, time.Minute), cmd)
			require.Error(t, err)
			require.ErrorContains(t, err, "the connection was lost before the command's status came")
			require.NotErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}

// begun cuts the connection once there is output.
type begun struct {
	once sync.Once
	cut  func()
}

func (b *begun) Write(p []byte) (int, error) {
	b.once.Do(b.cut)
	return len(p), nil
}

// A proxy that knows no WebSocket is no obstacle; what the API server itself refuses stays refused.
func TestExecWithoutWebSocket(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	start(t, tc, ns, sleeper("p", "main"))
	for name, refuse := range map[string]http.HandlerFunc{
		"forbidden, no reason": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"bad request": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "what is a websocket?", http.StatusBadRequest)
		},
		"upgrade ignored": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
	} {
		upstream, err := url.Parse(tc.Config.Host)
		require.NoError(t, err)
		proxy := httputil.NewSingleHostReverseProxy(upstream)
		config := rest.CopyConfig(tc.Config)
		config.NextProtos = []string{"http/1.1"}
		proxy.Transport, err = rest.TransportFor(config)
		require.NoError(t, err)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
				refuse(w, r)
				return
			}
			proxy.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		var logged, stdout bytes.Buffer
		clients, err := ForConfig(&rest.Config{Host: server.URL})
		require.NoError(t, err)
		c, err := New(clients, &Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		require.NoError(t, err)
		cmd := cluster.Command{Namespace: ns, Pod: "p", Args: []string{"sh", "-c", "cat; exit 6"}, Stdin: strings.NewReader("hello"), Stdout: &stdout}
		exit, ok := errors.AsType[*cluster.ExitError](c.Exec(t.Context(), cmd))
		require.True(t, ok, name)
		require.Equal(t, 6, exit.Code)
		require.Equal(t, "hello", stdout.String())
		require.Contains(t, logged.String(), "using SPDY")
	}
}

// Many commands at a time do not get into each other's way.
func TestExecAtTheSameTime(t *testing.T) {
	execs(t, sleeper("p", "main"), func(t *testing.T, c *Cluster, at cluster.Command) {
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				var stdout bytes.Buffer
				cmd := shell(at, fmt.Sprintf("cat; exit %d", i))
				cmd.Stdin, cmd.Stdout = strings.NewReader(strings.Repeat(fmt.Sprint(i), 1000)), &stdout
				err := c.Exec(t.Context(), cmd)
				exit, ok := errors.AsType[*cluster.ExitError](err)
				if i == 0 && err != nil || i > 0 && (!ok || exit.Code != i) {
					t.Errorf("command %d: %v", i, err)
				}
				if stdout.String() != strings.Repeat(fmt.Sprint(i), 1000) {
					t.Errorf("command %d wrote %d bytes", i, stdout.Len())
				}
			})
		}
		wg.Wait()
	})
}
