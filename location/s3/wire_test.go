package s3

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wire is a way to a store, with faults. Bytes are counted over all its connections, up to the store and down from it.
type wire struct {
	URL string

	mu    sync.Mutex
	conns map[net.Conn]bool
	count int
	up    direction
	down  direction
	// look is shown what goes up.
	look func(p []byte)
	// dark is until when every connection is refused.
	dark time.Time
}

// direction is what happens to the bytes of one. Each fault happens once; zero is none.
type direction struct {
	passed      int64
	cutAt       int64
	flipAt      int64
	darkness    time.Duration
	pausePerKiB time.Duration
}

// newWire leads to the store at the URL.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{URL: "http://" + l.Addr().String(), conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.carry(c, strings.TrimPrefix(to, "http://")) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.cutAll()
		all.Wait()
	})
	return w
}

// carried is how many connections there were.
func (w *wire) carried() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func (w *wire) carry(near net.Conn, to string) {
	defer func() { _ = near.Close() }()
	w.mu.Lock()
	w.count++
	dark := time.Now().Before(w.dark)
	w.mu.Unlock()
	if dark {
		return
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	w.mu.Lock()
	w.conns[near], w.conns[far] = true, true
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { w.pump(far, near, &w.up) })
	both.Go(func() { w.pump(near, far, &w.down) })
	both.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, near)
	delete(w.conns, far)
}

func (w *wire) pump(to, from net.Conn, d *direction) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			rest, cut, wait := w.fault(buf[:n], d)
			time.Sleep(wait)
			if _, werr := to.Write(rest); werr != nil {
				return
			}
			if cut {
				w.cutAll()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// fault does to the bytes what is to be done and returns those that go on.
func (w *wire) fault(p []byte, d *direction) (rest []byte, cut bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.look != nil && d == &w.up {
		w.look(p)
	}
	begin, end := d.passed, d.passed+int64(len(p))
	d.passed = end
	if d.flipAt > begin && d.flipAt <= end {
		p[d.flipAt-begin-1] ^= 1
		d.flipAt = 0
	}
	if d.cutAt > begin && d.cutAt <= end {
		p, cut = p[:d.cutAt-begin-1], true
		d.cutAt = 0
		w.dark = time.Now().Add(d.darkness)
	}
	return p, cut, time.Duration(len(p)/1024) * d.pausePerKiB
}

func (w *wire) cutAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

// set makes the faults of both directions those, and counts anew.
func (w *wire) set(up, down direction) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up, w.down = up, down
}
