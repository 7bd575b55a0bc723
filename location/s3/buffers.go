package s3

import (
	"context"
	"hash/crc32"
	"sync"
)

// buffers are the memory of all writes of a bucket. Every stream has one buffer of its own and borrows more from a common stock, so that many streams at
// once need little more than one, and none waits for another for ever.
type buffers struct {
	size int
	// spare holds a token for each buffer that may be borrowed.
	spare chan struct{}

	mu     sync.Mutex
	free   [][]byte
	active int
}

func newBuffers(size, spare int) *buffers {
	return &buffers{size: size, spare: make(chan struct{}, max(spare, 0))}
}

// lender gives buffers to one stream.
type lender struct {
	from *buffers
	own  chan struct{}
	once sync.Once
}

func (b *buffers) lender() *lender {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active++
	return &lender{from: b, own: make(chan struct{}, 1)}
}

// lent is a buffer and whom it must be given back to.
type lent struct {
	data  []byte
	n     int
	crc   uint32
	token chan struct{}
}

func (l *lent) bytes() []byte { return l.data[:l.n] }

// block is so small that the processor still has it in its nearest cache when it comes to the checksum.
const block = 16 << 10

// fill takes as much of p as there is room for.
func (l *lent) fill(p []byte) int {
	took := 0
	for len(p) > 0 && l.n < len(l.data) {
		n := copy(l.data[l.n:], p[:min(len(p), block)])
		l.crc = crc32.Update(l.crc, castagnoli, p[:n])
		l.n += n
		took += n
		p = p[n:]
	}
	return took
}

// get waits for a buffer until ctx ends.
func (l *lender) get(ctx context.Context) (*lent, error) {
	token := l.own
	select {
	case l.own <- struct{}{}:
	default:
		select {
		case l.own <- struct{}{}:
		case l.from.spare <- struct{}{}:
			token = l.from.spare
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return &lent{data: l.from.take(), token: token}, nil
}

// put gives the buffer back.
func (l *lender) put(b *lent) {
	l.from.mu.Lock()
	l.from.free = append(l.from.free, b.data)
	l.from.mu.Unlock()
	b.data = nil
	<-b.token
}

// close ends the stream, all of whose buffers are back. Without a stream there is no memory.
func (l *lender) close() {
	l.once.Do(func() {
		l.from.mu.Lock()
		defer l.from.mu.Unlock()
		if l.from.active--; l.from.active == 0 {
			l.from.free = nil
		}
	})
}

func (b *buffers) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		data := b.free[n-1]
		b.free = b.free[:n-1]
		return data
	}
	return make([]byte, b.size)
}
