package kubecluster

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/davit-project/davit/cluster"
)

// What the API server says is final; what cannot be its word about the pod leads to SPDY.
func TestExecFallsBack(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   error // nil for SPDY
		text   string
	}{
		"legacy server": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, nil, ""},
		"proxy":         {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, nil, ""},
		"no upgrade": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, status(400, "BadRequest", "you must upgrade"))
		}, nil, ""},
		"denied":         {say(403, status(403, "Forbidden", `pods \"p\" is forbidden: User \"u\" cannot get resource \"pods/exec\"`)), cluster.ErrDenied, "get and create on pods/exec are needed"},
		"no create":      {say(403, status(403, "Forbidden", `pods \"p\" is forbidden: `)), cluster.ErrDenied, "get and create on pods/exec are needed"},
		"webhook":        {say(403, status(403, "Forbidden", `admission webhook \"w\" denied the request: no exec here`)), cluster.ErrInvalid, "no exec here"},
		"no credentials": {say(401, status(401, "Unauthorized", `Unauthorized`)), cluster.ErrDenied, "Unauthorized"},
		"pod is gone":    {say(404, status(404, "NotFound", `pods \"p\" not found`)), cluster.ErrNotFound, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			var posts atomic.Int32
			c := podServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					tt.answer(w, r)
					return
				}
				posts.Add(1)
				http.Error(w, "spdy", http.StatusTeapot)
			})
			err := c.Exec(t.Context(), command)
			require.Equal(t, tt.want == nil, posts.Load() == 1)
			if tt.want == nil {
				require.ErrorContains(t, err, "the server answered 418 I'm a teapot: spdy")
				return
			}
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.text)
		})
	}
}

func say(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// A WebSocket that was opened may have begun the command: it is not begun again.
func TestExecDoesNotBeginTwice(t *testing.T) {
	var posts atomic.Int32
	c := podServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
			return
		}
		conn, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil) // no protocol
		if err == nil {
			_ = conn.Close()
		}
	})
	require.ErrorContains(t, c.Exec(t.Context(), command), "invalid protocol")
	require.Zero(t, posts.Load())
}

// spdyServer serves one command through SPDY; streams are by type.
func spdyServer(t *testing.T, serve func(conn httpstream.Connection, streams map[string]httpstream.Stream)) *Cluster {
	c := podServer(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := httpstream.Handshake(r, w, []string{"v4.channel.k8s.io"}); err != nil {
			t.Error(err)
			return
		}
		created := make(chan httpstream.Stream, 4)
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			created <- s
			return nil
		})
		if conn == nil {
			t.Error("no SPDY")
			return
		}
		defer conn.Close()
		streams := map[string]httpstream.Stream{}
		for range 3 { // error, stdout, stderr
			s := <-created
			streams[s.Headers().Get(corev1.StreamType)] = s
		}
		serve(conn, streams)
	})
	c.exec.transport = spdyOnly
	return c
}

func TestExecThroughSPDY(t *testing.T) {
	finish := func(streams map[string]httpstream.Stream) {
		for _, s := range streams {
			_ = s.Close()
		}
	}
	write := func(s httpstream.Stream, text string) { _, _ = io.WriteString(s, text) }
	for name, tc := range map[string]struct {
		serve func(conn httpstream.Connection, s map[string]httpstream.Stream)
		want  string
	}{
		"success": {func(_ httpstream.Connection, s map[string]httpstream.Stream) {
			write(s["stdout"], "out")
			write(s["error"], success)
			finish(s)
		}, ""},
		"exit code": {func(_ httpstream.Connection, s map[string]httpstream.Stream) {
			write(s["stderr"], "why\n")
			write(s["error"], exit3)
			finish(s)
		}, "exit code 3, last output:\nwhy"},
		"no status": {func(_ httpstream.Connection, s map[string]httpstream.Stream) {
			write(s["stdout"], "out")
			finish(s)
		}, "the connection was lost before the command's status came"},
		"cut": {func(conn httpstream.Connection, s map[string]httpstream.Stream) {
			write(s["stdout"], "out")
			_ = conn.Close()
		}, "the connection was lost before the command's status came"},
		"half a status": {func(_ httpstream.Connection, s map[string]httpstream.Stream) {
			write(s["error"], success[:9])
			finish(s)
		}, "the connection was lost before the command's status came"},
		"endless status": {func(_ httpstream.Connection, s map[string]httpstream.Stream) {
			write(s["error"], strings.Repeat(" ", 2*maxStatus)+success)
			finish(s)
		}, "the connection was lost before the command's status came"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout bytes.Buffer
			cmd := command
			cmd.Stdout = &stdout
			err := spdyServer(t, tc.serve).Exec(t.Context(), cmd)
			if tc.want == "" {
				require.NoError(t, err)
				require.Equal(t, "out", stdout.String())
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
}
