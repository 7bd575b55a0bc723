package s3

import (
	"context"
	"io"
	"io/fs"
	"sync"
)

// body is what a request sends, in memory that is used for something else afterwards. The HTTP transport may still be at it when a request that was
// answered early, or given up, is over.
type body struct {
	data  []byte
	users sync.WaitGroup
}

// bodyKey is the name of a request's body in its context.
type bodyKey struct{}

// send is a context whose requests send the data, and a function that waits until none of them needs it any more.
func send(ctx context.Context, data []byte) (sending context.Context, wait func()) {
	b := &body{data: data}
	return context.WithValue(ctx, bodyKey{}, b), b.users.Wait
}

// open begins to send; every attempt does so anew.
func (b *body) open(closer func() error) *direct {
	b.users.Add(1)
	return &direct{rest: b.data, close: sync.OnceValue(func() error {
		defer b.users.Done()
		return closer()
	})}
}

// direct is a body in memory. Over plain HTTP it goes from there to the kernel without a copy on the way. Nothing touches the memory after Close.
type direct struct {
	mu     sync.Mutex
	rest   []byte
	closed bool
	close  func() error
}

// piece is how much is written before Close is looked for.
const piece = 256 << 10

// Read copies.
func (d *direct) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, fs.ErrClosed
	}
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// writeTo writes the next piece.
func (d *direct) writeTo(w io.Writer, most int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, fs.ErrClosed
	}
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n, err := w.Write(d.rest[:min(int64(len(d.rest)), most, piece)])
	d.rest = d.rest[n:]
	return n, err
}

// Close waits for a piece that is being written.
func (d *direct) Close() error {
	d.mu.Lock()
	d.closed, d.rest = true, nil
	d.mu.Unlock()
	return d.close()
}

// ReadFrom is what the HTTP transport calls for a body.
func (s *sender) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{s}, r)
	}
	from, ok := limited.R.(*direct)
	if !ok {
		return io.Copy(struct{ io.Writer }{s}, r)
	}
	var total int64
	for limited.N > 0 {
		n, err := from.writeTo(s, limited.N)
		limited.N -= int64(n)
		total += int64(n)
		if err == io.EOF { //nolint:errorlint // it is writeTo's own
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
