package kubecluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	gorilla "github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/transport/websocket"
)

// errHandshake means that the answer to a request for a WebSocket was another one.
var errHandshake = gorilla.ErrBadHandshake

// pulse says when a WebSocket is thought to be dead.
type pulse struct {
	// handshake bounds opening it. Default 45s.
	handshake time.Duration
	// every is how long nothing comes until a ping is sent, which also keeps proxies from closing it. Default 10s.
	every time.Duration
	// silence is how long the server may answer nothing. Default 1m.
	silence time.Duration
	// linger is how long the server may take to close it after the status. Default 5s.
	linger time.Duration
}

// chunk is how much is copied at a time, in bytes.
const chunk = 32 << 10

// webSocket runs the command through a WebSocket and returns its status.
//
// client-go has an executor for that (remotecommand.NewWebSocketExecutor), and this does without: it takes a connection that was closed in order before the
// status came for success, it gives up a command when its reader or the command's input lets the other side wait for a minute, and its pings cut off the end of what a
// slow reader has not taken yet (see beat).
func (c *Cluster) webSocket(ctx context.Context, x *execution) ([]byte, error) {
	transport, holder, err := websocket.RoundTripperFor(c.clients.Config)
	if err != nil {
		return nil, err
	}
	opening, opened := context.WithTimeout(ctx, cmp.Or(c.exec.pulse.handshake, 45*time.Second))
	defer opened()
	req, err := http.NewRequestWithContext(opening, http.MethodGet, x.url.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, err := websocket.Negotiate(transport, holder, req, remotecommand.StreamProtocolV5Name)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // the status says how it went
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	w := &wire{conn: conn, x: x, pulse: c.exec.pulse, pongs: make(chan string, 1)}
	return w.run()
}

// wire is the WebSocket of a command. The first byte of each message is the stream's number.
type wire struct {
	conn  *gorilla.Conn
	x     *execution
	pulse pulse
	// pongs are answers that the server waits for.
	pongs chan string

	heard      atomic.Int64 // when the server was last heard, in ns
	delivering atomic.Bool  // the caller's writer is taking its time
	fed        atomic.Bool  // input was sent
	silent     atomic.Bool  // the server was given up
}

func (w *wire) run() ([]byte, error) {
	w.hear()
	w.conn.SetPongHandler(func(string) error {
		w.hear()
		return nil
	})
	w.conn.SetPingHandler(func(data string) error {
		w.hear()
		select {
		case w.pongs <- data:
		default: // an answer is under way
		}
		return nil
	})
	quit := make(chan struct{})
	defer close(quit)
	go w.beat(quit)
	if w.x.stdin != nil {
		go w.feed()
	}
	return w.read()
}

func (w *wire) hear() { w.heard.Store(time.Now().UnixNano()) }

// beat sends a ping when nothing has come for a while, and closes the connection when the server stays silent. While output comes, or waits for the caller's
// writer, there is none: the server may have closed its side behind what it has sent, and anything that reaches it then makes its system forget what
// is still on the way, the status included. A server that was sent input reads no ping until the command has taken the input, so it is not judged.
// A ping has no deadline, which would end a connection that is only slow; closing the connection ends it.
func (w *wire) beat(quit <-chan struct{}) {
	every, silence := cmp.Or(w.pulse.every, 10*time.Second), cmp.Or(w.pulse.silence, time.Minute)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		kind, data := gorilla.PingMessage, ""
		select {
		case <-quit:
			return
		case data = <-w.pongs:
			kind = gorilla.PongMessage
		case <-ticker.C:
			quiet := time.Since(time.Unix(0, w.heard.Load()))
			if w.delivering.Load() || quiet < every {
				continue
			}
			if quiet > silence && !w.fed.Load() {
				w.silent.Store(true)
				_ = w.conn.Close() // the reader says why
				return
			}
		}
		if err := w.conn.WriteControl(kind, []byte(data), time.Time{}); err != nil {
			return // the reader sees it
		}
	}
}

// feed sends the input, and its end where it has one.
func (w *wire) feed() {
	buf := make([]byte, 1+chunk)
	buf[0] = remotecommand.StreamStdIn
	for {
		n, err := w.x.stdin.Read(buf[1:])
		if n > 0 {
			w.fed.Store(true)
			if w.conn.WriteMessage(gorilla.BinaryMessage, buf[:1+n]) != nil {
				return // the reader sees it
			}
		}
		if err == io.EOF {
			_ = w.conn.WriteMessage(gorilla.BinaryMessage, []byte{remotecommand.StreamClose, remotecommand.StreamStdIn})
		}
		if err != nil {
			return
		}
	}
}

// read takes the output and the status, until the connection ends.
func (w *wire) read() (status []byte, err error) {
	buf := make([]byte, chunk)
	for {
		kind, r, err := w.conn.NextReader()
		if err != nil {
			return w.ended(status, err)
		}
		w.hear()
		if kind != gorilla.BinaryMessage {
			return nil, errors.New("the server sent a text where bytes belong")
		}
		if _, err := io.ReadFull(r, buf[:1]); err == io.EOF {
			continue
		} else if err != nil {
			return w.ended(status, err)
		}
		switch buf[0] {
		case remotecommand.StreamStdOut:
			err = w.deliver(w.x.stdout, r, buf)
		case remotecommand.StreamStdErr:
			err = w.deliver(w.x.stderr, r, buf)
		case remotecommand.StreamErr:
			var more []byte
			more, err = io.ReadAll(io.LimitReader(r, maxStatus+1))
			if status = append(status, more...); len(status) > maxStatus {
				return nil, errStatus
			}
		}
		if err != nil {
			return w.ended(status, err)
		}
		if _, complete := parseStatus(status); complete { // what the server closes now, or never
			_ = w.conn.SetReadDeadline(time.Now().Add(cmp.Or(w.pulse.linger, 5*time.Second)))
		}
	}
}

// ended tells a connection that has done its work from one that was lost.
func (w *wire) ended(status []byte, err error) ([]byte, error) {
	if _, complete := parseStatus(status); complete {
		return status, nil
	}
	if w.silent.Load() {
		return nil, fmt.Errorf("%w: the server was silent for %s", errNoStatus, cmp.Or(w.pulse.silence, time.Minute))
	}
	return nil, fmt.Errorf("%w: %w", errNoStatus, err)
}

// deliver copies a message to a writer of the caller's; while that takes its time, nothing is read.
func (w *wire) deliver(to io.Writer, r io.Reader, buf []byte) error {
	for {
		n, err := r.Read(buf)
		if n > 0 && to != nil {
			w.delivering.Store(true)
			_, broken := to.Write(buf[:n])
			w.hear()
			w.delivering.Store(false)
			if broken != nil {
				return broken
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
