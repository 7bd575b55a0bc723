package execstream

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"sync"
)

// Sizes of a piece of the stream of Write, in bytes: of its data at most, and of its header.
const (
	pieceSize  = 1 << 20
	pieceStart = len("1048576\n")
)

// emptyReads is how often in a row a reader may yield nothing.
const emptyReads = 100

// feed is the standard input of the exec: the pieces of the stream, where there is one, and the acknowledgement.
type feed struct {
	src   io.Reader // nil once it has ended
	nonce string
	end   func(cause error)
	// due says that the trailer is good, over that nothing is to be sent any more.
	due, over chan struct{}
	stopOnce  sync.Once

	// what is being read; used by Read alone
	buf, pending []byte
	acked        bool

	mu    sync.Mutex
	sum   hash.Hash
	bytes int64
	ended bool
	err   error
}

func newFeed(src io.Reader, nonce string, end func(cause error)) *feed {
	return &feed{src: src, nonce: nonce, end: end, due: make(chan struct{}), over: make(chan struct{}), sum: sha256.New(), ended: src == nil}
}

var _ io.Reader = (*feed)(nil)

// acknowledge lets the acknowledgement follow what was sent.
func (f *feed) acknowledge() { close(f.due) }

// stop ends the input without anything more.
func (f *feed) stop() { f.stopOnce.Do(func() { close(f.over) }) }

// sent is what was read of the source, and whether that was all of it.
func (f *feed) sent() (Result, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Result{f.bytes, hex.EncodeToString(f.sum.Sum(nil))}, f.ended
}

// failure is the error of the source.
func (f *feed) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Read yields the next bytes for the far end. An end of file that does not follow the acknowledgement makes the far end give up.
func (f *feed) Read(p []byte) (int, error) {
	if len(f.pending) == 0 && !f.next() {
		return 0, io.EOF
	}
	n := copy(p, f.pending)
	f.pending = f.pending[n:]
	return n, nil
}

// next fills pending, or says that there is no more.
func (f *feed) next() bool {
	select {
	case <-f.over:
		return false
	default:
	}
	if f.src != nil {
		return f.piece()
	}
	if f.acked {
		return false
	}
	select {
	case <-f.due:
		f.acked = true
		f.pending = []byte(f.nonce + "\n")
		return true
	case <-f.over:
		return false
	}
}

// piece makes pending of the source's next bytes, or of its end.
func (f *feed) piece() bool {
	if f.buf == nil {
		f.buf = make([]byte, pieceStart+pieceSize)
	}
	data, ended, err := fill(f.src, f.buf[pieceStart:])
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.err = fmt.Errorf("read the input of the stream: %w", err)
		f.src, f.acked = nil, true
		f.end(f.err)
		return false
	}
	f.sum.Write(data)
	f.bytes += int64(len(data))
	if len(data) > 0 {
		header := strconv.Itoa(len(data)) + "\n"
		start := pieceStart - len(header)
		copy(f.buf[start:], header)
		f.pending = f.buf[start : pieceStart+len(data)]
	}
	if ended {
		f.src, f.ended = nil, true
		f.pending = fmt.Appendf(f.pending, "0 %x\n", f.sum.Sum(nil))
	}
	return true
}

// fill reads until buf is full or the reader ends or fails. Only io.EOF itself is the end: a reader that wraps it, or has io.ErrUnexpectedEOF, failed.
func fill(r io.Reader, buf []byte) (data []byte, ended bool, err error) {
	n := 0
	for empty := 0; n < len(buf); {
		k, err := r.Read(buf[n:])
		n += k
		if err == io.EOF {
			return buf[:n], true, nil
		}
		if err != nil {
			return buf[:n], false, err
		}
		if empty++; k > 0 {
			empty = 0
		}
		if empty == emptyReads {
			return buf[:n], false, io.ErrNoProgress
		}
	}
	return buf[:n], false, nil
}
