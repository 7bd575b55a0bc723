package kubecluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster"
)

const runningPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"a"},"spec":{"containers":[{"name":"c"}]},
	"status":{"phase":"Running","containerStatuses":[{"name":"c","state":{"running":{}}}]}}`

const (
	success = `{"metadata":{},"status":"Success"}`
	exit3   = `{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`
)

// podServer knows one pod; exec serves requests for pods/exec.
func podServer(t *testing.T, exec http.HandlerFunc) *Cluster {
	return answer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/exec") {
			exec(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, runningPod)
	})
}

// socket serves one end of the WebSocket of a command; the other is the test's.
func socket(t *testing.T, serve func(*gorilla.Conn)) *Cluster {
	return podServer(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&gorilla.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		serve(conn)
	})
}

func send(conn *gorilla.Conn, stream byte, data string) {
	_ = conn.WriteMessage(gorilla.BinaryMessage, append([]byte{stream}, data...))
}

// goodbye closes the WebSocket in order.
func goodbye(conn *gorilla.Conn) {
	_ = conn.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, ""))
}

var command = cluster.Command{Namespace: "a", Pod: "p", Args: []string{"sh"}}

func TestExecThroughAWebSocket(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(*gorilla.Conn)
		want  string // part of the error; "" for success
	}{
		"success":              {func(c *gorilla.Conn) { send(c, 1, "out"); send(c, 3, success); goodbye(c) }, ""},
		"cut after the status": {func(c *gorilla.Conn) { send(c, 1, "out"); send(c, 3, success) }, ""},
		"output behind the status": {func(c *gorilla.Conn) {
			send(c, 3, success)
			send(c, 1, "out")
			goodbye(c)
		}, ""},
		"status in pieces": {func(c *gorilla.Conn) { send(c, 1, "out"); send(c, 3, success[:9]); send(c, 3, success[9:]); goodbye(c) }, ""},
		"nothing in messages": {func(c *gorilla.Conn) {
			send(c, 1, "")
			_ = c.WriteMessage(2, nil)
			send(c, 1, "out")
			send(c, 3, success)
			goodbye(c)
		}, ""},
		"a stream nobody knows":  {func(c *gorilla.Conn) { send(c, 9, "??"); send(c, 1, "out"); send(c, 3, success); goodbye(c) }, ""},
		"never closed":           {func(c *gorilla.Conn) { send(c, 1, "out"); send(c, 3, success); _, _, _ = c.NextReader() }, ""},
		"exit code":              {func(c *gorilla.Conn) { send(c, 2, "why\n"); send(c, 3, exit3); goodbye(c) }, "pod a/p, container c: exit code 3, last output:\nwhy"},
		"failure":                {func(c *gorilla.Conn) { send(c, 3, `{"status":"Failure","message":"no such container"}`); goodbye(c) }, "pod a/p, container c: exec: no such container"},
		"no status":              {func(c *gorilla.Conn) { send(c, 1, "out"); goodbye(c) }, "the connection was lost before the command's status came"},
		"nothing":                {func(c *gorilla.Conn) { goodbye(c) }, "the connection was lost before the command's status came"},
		"cut":                    {func(c *gorilla.Conn) { send(c, 1, "out") }, "the connection was lost before the command's status came"},
		"cut in a message":       {func(c *gorilla.Conn) { _, _ = c.NetConn().Write([]byte{0x82, 100, 1, 'o'}) }, "the connection was lost before the command's status came"},
		"half a status":          {func(c *gorilla.Conn) { send(c, 3, success[:9]); goodbye(c) }, "the connection was lost before the command's status came"},
		"empty status":           {func(c *gorilla.Conn) { send(c, 3, "{}"); goodbye(c) }, "the connection was lost before the command's status came"},
		"another kind of status": {func(c *gorilla.Conn) { send(c, 3, `{"status":"Perhaps"}`); goodbye(c) }, "the connection was lost before the command's status came"},
		"two statuses":           {func(c *gorilla.Conn) { send(c, 3, success); send(c, 3, success); goodbye(c) }, "the connection was lost before the command's status came"},
		"failure without code":   {func(c *gorilla.Conn) { send(c, 3, `{"status":"Failure","reason":"NonZeroExitCode"}`); goodbye(c) }, "a status that cannot be read"},
		"exit code 0":            {func(c *gorilla.Conn) { send(c, 3, strings.Replace(exit3, `"3"`, `"0"`, 1)); goodbye(c) }, "a status that cannot be read"},
		"exit code 256":          {func(c *gorilla.Conn) { send(c, 3, strings.Replace(exit3, `"3"`, `"256"`, 1)); goodbye(c) }, "a status that cannot be read"},
		"endless status":         {func(c *gorilla.Conn) { send(c, 3, strings.Repeat(" ", maxStatus+1)); _, _, _ = c.NextReader() }, "a status that cannot be read"},
		"text":                   {func(c *gorilla.Conn) { _ = c.WriteMessage(gorilla.TextMessage, []byte("1out")) }, "a text where bytes belong"},
		"garbage":                {func(c *gorilla.Conn) { _, _ = c.NetConn().Write([]byte("HTTP/1.1 500 Oops\r\n\r\n")) }, "the connection was lost before the command's status came"},
	} {
		t.Run(name, func(t *testing.T) {
			c := socket(t, tc.serve)
			c.exec.pulse.linger = time.Hour // everybody else closes it
			if name == "never closed" {
				c.exec.pulse.linger = 50 * time.Millisecond
			}
			var stdout bytes.Buffer
			cmd := command
			cmd.Stdout = &stdout
			err := c.Exec(t.Context(), cmd)
			if tc.want == "" {
				require.NoError(t, err)
				require.Equal(t, "out", stdout.String())
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestExecAsksForWhatIsWanted(t *testing.T) {
	var asked atomic.Value
	c := podServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.URL.RawQuery)
		http.Error(w, "no", http.StatusTeapot)
	})
	c.exec.transport = webSocketOnly
	for want, cmd := range map[string]cluster.Command{
		"GET command=sh&command=-c&command=a+b&container=c&stderr=true":         {Args: []string{"sh", "-c", "a b"}},
		"GET command=sh&container=c&stderr=true&stdin=true":                     {Args: []string{"sh"}, Stdin: strings.NewReader("")},
		"GET command=sh&container=c&stderr=true&stdout=true":                    {Args: []string{"sh"}, Stdout: io.Discard},
		"GET command=sh&container=c&stderr=true&stdin=true&stdout=true":         {Args: []string{"sh"}, Stdin: strings.NewReader(""), Stdout: io.Discard},
		"GET command=sh&command=&container=c&stderr=true":                       {Args: []string{"sh", ""}},
		"GET command=%C3%A4%0A&command=%26stdin%3Dtrue&container=c&stderr=true": {Args: []string{"ä\n", "&stdin=true"}},
	} {
		cmd.Namespace, cmd.Pod = "a", "p"
		require.ErrorContains(t, c.Exec(t.Context(), cmd), "418")
		require.Equal(t, want, asked.Load())
	}
}

// The input and its end arrive as they were; the command's end does not wait for input.
func TestExecInput(t *testing.T) {
	got := make(chan string, 1)
	c := socket(t, func(conn *gorilla.Conn) {
		var all bytes.Buffer
		for {
			_, data, err := conn.ReadMessage()
			if err != nil || bytes.Equal(data, []byte{255, 0}) {
				break
			}
			all.WriteByte(data[0])
			all.Write(data[1:])
		}
		got <- all.String()
		send(conn, 3, success)
		goodbye(conn)
	})
	cmd := command
	cmd.Stdin = strings.NewReader("input")
	require.NoError(t, c.Exec(t.Context(), cmd))
	require.Equal(t, "\x00input", <-got)

	never, _ := io.Pipe()
	c = socket(t, func(conn *gorilla.Conn) { send(conn, 3, success); goodbye(conn) })
	cmd.Stdin = never
	require.NoError(t, c.Exec(t.Context(), cmd))
}

// A reader that fails is no end of input.
func TestExecInputFails(t *testing.T) {
	broken, ended := errors.New("source broken"), make(chan bool, 1)
	c := socket(t, func(conn *gorilla.Conn) {
		for end := false; ; {
			_, data, err := conn.ReadMessage()
			if err != nil {
				ended <- end
				return
			}
			end = end || data[0] == 255
		}
	})
	cmd := command
	cmd.Stdin = io.MultiReader(strings.NewReader("half"), unable{broken})
	err := c.Exec(t.Context(), cmd)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "pod a/p, container c: read the command's input: source broken; the command's streams are closed")
	require.False(t, <-ended)
}

type unable struct{ err error }

func (f unable) Read([]byte) (int, error)  { return 0, f.err }
func (f unable) Write([]byte) (int, error) { return 0, f.err }

func TestExecWriterFailsLast(t *testing.T) {
	full := errors.New("disk full")
	c := socket(t, func(conn *gorilla.Conn) { send(conn, 1, "out"); send(conn, 3, success); goodbye(conn) })
	for _, w := range []io.Writer{unable{full}, shortWriter{}} {
		cmd := command
		cmd.Stdout = w
		err := c.Exec(t.Context(), cmd)
		require.ErrorContains(t, err, "take the command's output")
	}
}

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) - 1, nil }

// Servers that hang do not hold up a caller whose context ends.
func TestExecAndTheServerHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang := func(http.ResponseWriter, *http.Request) { <-release }
	for name, c := range map[string]*Cluster{
		"before the handshake": podServer(t, hang),
		"after it":             socket(t, func(*gorilla.Conn) { <-release }),
		"pod":                  answer(t, hang),
	} {
		for _, transport := range []transport{webSocketFirst, spdyOnly} {
			if name == "after it" && transport == spdyOnly {
				continue
			}
			c := &Cluster{clients: c.clients, opts: c.opts, exec: execSettings{transport: transport}} // the last one's handshake goes on
			why := errors.New("enough")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
			begin := time.Now()
			err := c.Exec(ctx, command)
			cancel()
			require.ErrorIs(t, err, why, name)
			require.Less(t, time.Since(begin), 30*time.Second, "less than a handshake may take")
		}
	}
}

// oneConn is a listener for one connection.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	if conn, ok := <-l; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// overPipe runs a command through a WebSocket without a network, so that time can be that of a synctest bubble.
func overPipe(t *testing.T, stdin io.Reader, stdout io.Writer, serve func(*gorilla.Conn)) ([]byte, error) {
	t.Helper()
	near, far := net.Pipe()
	l := make(oneConn, 1)
	l <- far
	close(l)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil)
		if err == nil {
			serve(conn)
			_ = conn.Close()
		}
	})}
	go func() { _ = server.Serve(l) }()
	dialer := &gorilla.Dialer{NetDial: func(string, string) (net.Conn, error) { return near, nil }}
	conn, _, err := dialer.DialContext(t.Context(), "ws://x", nil) //nolint:bodyclose // of a response that upgrades, which has none
	require.NoError(t, err)
	defer conn.Close()
	s := newStreams(func(error) {})
	x := &execution{streams: s, stderr: io.Discard, tail: &tail{}}
	if stdin != nil {
		x.stdin = &source{s, stdin}
	}
	if stdout != nil {
		x.stdout = &sink{s, stdout, nil}
	}
	return (&wire{conn: conn, x: x, pongs: make(chan string, 1)}).run()
}

func TestExecGivesUpASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := overPipe(t, nil, nil, func(conn *gorilla.Conn) {
			conn.SetPingHandler(func(string) error { return nil })
			_, _, _ = conn.NextReader()
		})
		require.ErrorIs(t, err, errNoStatus)
		require.ErrorContains(t, err, "silent for 1m0s")
		require.InDelta(t, time.Minute, time.Since(begin), float64(11*time.Second))
	})
}

// A server that answers is waited for, as is one that has input to work on and reads nothing else.
func TestExecWaitsForASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pongs := make(chan string, 1)
		status, err := overPipe(t, nil, nil, func(conn *gorilla.Conn) {
			conn.SetPongHandler(func(data string) error { pongs <- data; return nil })
			go func() { _, _, _ = conn.NextReader() }()
			time.Sleep(5 * time.Hour)
			_ = conn.WriteControl(gorilla.PingMessage, []byte("there?"), time.Now().Add(time.Second))
			if got := <-pongs; got != "there?" {
				t.Errorf("the answer to a ping is %q", got)
			}
			send(conn, 3, success)
			goodbye(conn)
		})
		require.NoError(t, err)
		require.JSONEq(t, success, string(status))

		_, err = overPipe(t, strings.NewReader("work"), nil, func(conn *gorilla.Conn) {
			conn.SetPingHandler(func(string) error { return nil }) // it is in the queue, behind the input
			time.AfterFunc(5*time.Hour, func() {
				send(conn, 3, success)
				goodbye(conn)
			})
			for {
				if _, _, err := conn.NextReader(); err != nil {
					return
				}
			}
		})
		require.NoError(t, err)
	})
}

// While output waits for the caller, nothing is sent to a server that may have closed its side, however long that takes.
func TestExecSendsNoPingWhileOutputWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := overPipe(t, nil, lazy{}, func(conn *gorilla.Conn) {
			conn.SetPingHandler(func(string) error { t.Error("a ping"); return nil })
			go func() { _, _, _ = conn.NextReader() }()
			send(conn, 1, "a")
			send(conn, 1, "b")
			send(conn, 3, success)
			goodbye(conn)
		})
		require.NoError(t, err)
	})
}

// lazy takes an hour for a Write.
type lazy struct{}

func (lazy) Write(p []byte) (int, error) {
	time.Sleep(time.Hour)
	return len(p), nil
}

func TestExecHandshakeTakesTooLong(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	c := podServer(t, func(http.ResponseWriter, *http.Request) { <-release })
	c.exec.transport, c.exec.pulse.handshake = webSocketOnly, 50*time.Millisecond
	begin := time.Now()
	require.Error(t, c.Exec(t.Context(), command))
	require.Less(t, time.Since(begin), 30*time.Second, "the usual time is 45 seconds")
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended error
		s := newStreams(func(err error) { ended = err })
		var to bytes.Buffer
		w := &sink{s, &to, nil}
		_, err := w.Write([]byte("before"))
		require.NoError(t, err)

		// A reader that fails ends the command, and returns when that is over.
		broken, returned := errors.New("broken"), false
		go func() {
			_, err := (&source{s, unable{broken}}).Read(nil)
			returned = errors.Is(err, broken)
		}()
		synctest.Wait()
		require.ErrorIs(t, ended, broken)
		require.ErrorIs(t, s.fault(), broken)
		require.False(t, returned)

		s.close()
		_, err = w.Write([]byte("after"))
		require.ErrorIs(t, err, errOver)
		require.Equal(t, "before", to.String())
		close(s.over)
		synctest.Wait()
		require.True(t, returned)
		n, err := (&source{s, strings.NewReader("more")}).Read(make([]byte, 4))
		require.Zero(t, n)
		require.ErrorIs(t, err, errOver)

		// The end waits for a Write that is short, and not for one that is long.
		for _, long := range []bool{false, true} {
			s, done := newStreams(func(error) {}), false
			r, pipe := io.Pipe()
			go func() {
				_, _ = (&sink{s, pipe, nil}).Write([]byte("x"))
				done = true
			}()
			synctest.Wait()
			if !long {
				time.AfterFunc(letGo/2, func() { _, _ = r.Read(make([]byte, 1)) })
			}
			s.close()
			synctest.Wait()
			require.Equal(t, !long, done)
			_ = r.Close()
			synctest.Wait()
		}
	})
}

func TestTail(t *testing.T) {
	fill := func(parts ...string) string {
		tl := &tail{}
		for _, p := range parts {
			tl.add([]byte(p))
		}
		return tl.String()
	}
	require.Empty(t, fill())
	require.Equal(t, "a\nb", fill("a\n", "b\r\n\n"))
	require.Equal(t, strings.Repeat("x", maxTail), fill(strings.Repeat("x", maxTail)))
	require.Equal(t, strings.Repeat("x", maxTail), fill(strings.Repeat("x", 3*maxTail+7)), "one line")
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	for _, size := range []int{1, 7, 1000, maxTail, maxTail + 1, 10 * maxTail} {
		var parts []string
		for text := lines.String(); text != ""; {
			n := min(size, len(text))
			parts, text = append(parts, text[:n]), text[n:]
		}
		got := fill(parts...)
		require.LessOrEqual(t, len(got), maxTail)
		require.Greater(t, len(got), maxTail-20)
		require.Regexp(t, `^line \d+\n`, got)
		require.True(t, strings.HasSuffix(got, "\nline 4999"))
	}
	require.True(t, strings.HasPrefix(fill(strings.Repeat("ä", maxTail)+"x"), "\uFFFD"), "a cut character")
}

func TestExecNeedsAConfiguration(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, runningPod)
	}))
	t.Cleanup(server.Close)
	clients, err := ForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	clients.Config = &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAFile: "absent"}}
	c, err := New(clients, nil)
	require.NoError(t, err)
	require.ErrorContains(t, c.Exec(t.Context(), command), "absent")
	c.exec.transport = spdyOnly
	require.ErrorContains(t, c.Exec(t.Context(), command), "absent")
}
