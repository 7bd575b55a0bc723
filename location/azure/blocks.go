package azure

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"gocloud.dev/gcerrors"
)

// limits are those of Azure and of this package's memory; tests lower them.
type limits struct {
	// buffer is the size of a buffer, buffers how many there are.
	buffer, buffers int
	// narrow is how many blocks are of one buffer; those after them are of all.
	narrow int
	// most is how many blocks there can be: https://learn.microsoft.com/en-us/azure/storage/blobs/scalability-targets
	most int
}

var defaults = limits{buffer: 8 << 20, buffers: 4, narrow: 20_000, most: 50_000}

// firstBuffer is what a stream begins with: most objects are small.
const firstBuffer = 64 << 10

// azures is the polynomial of Azure's CRC-64, reversed.
var azures = crc64.MakeTable(0x9A6C9329AC4BC9B5)

// blocks are those of one object. They go up in the background.
type blocks struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *blockblob.Client
	limits limits
	// seed tells the blocks of this write from those of others.
	seed [16]byte

	// free are the buffers that are not in use, made how many there are; group is what the next block is made of.
	free  chan []byte
	made  int
	group [][]byte
	count int

	running sync.WaitGroup
	mu      sync.Mutex
	err     error
	// unconfirmed is set when a block was taken without a checksum in the answer.
	unconfirmed bool
}

func newBlocks(ctx context.Context, client *blockblob.Client, l limits, seed [16]byte) *blocks {
	ctx, cancel := context.WithCancel(ctx)
	return &blocks{ctx: ctx, cancel: cancel, client: client, limits: l, seed: seed, free: make(chan []byte, l.buffers)}
}

// Write adds to the object.
func (b *blocks) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		last, err := b.room()
		if err != nil {
			return n, err
		}
		buf := b.group[last]
		took := min(len(p), b.limits.buffer-len(buf))
		b.group[last] = b.grow(buf, took)
		b.group[last] = append(b.group[last], p[:took]...)
		n, p = n+took, p[took:]
	}
	return n, nil
}

// grow makes room for more bytes without ever making more than a buffer has.
func (b *blocks) grow(buf []byte, more int) []byte {
	need := len(buf) + more
	if need <= cap(buf) {
		return buf
	}
	grown := make([]byte, len(buf), min(max(2*cap(buf), need, firstBuffer), b.limits.buffer))
	copy(grown, buf)
	return grown
}

// room returns the place of a buffer that is not full. A block that is full goes up when more is to come: the last one may be all there is.
func (b *blocks) room() (int, error) {
	if err := b.failed(); err != nil {
		return 0, err
	}
	if n := len(b.group); n > 0 && len(b.group[n-1]) < b.limits.buffer {
		return n - 1, nil
	}
	if len(b.group) == b.width() {
		if err := b.send(); err != nil {
			return 0, err
		}
	}
	buf, err := b.take()
	if err != nil {
		return 0, err
	}
	b.group = append(b.group, buf)
	return len(b.group) - 1, nil
}

// width is how many buffers the next block is made of.
func (b *blocks) width() int {
	if b.count < b.limits.narrow {
		return 1
	}
	return b.limits.buffers
}

// take waits for a buffer.
func (b *blocks) take() ([]byte, error) {
	select {
	case buf := <-b.free:
		return buf, nil
	default:
	}
	if b.made < b.limits.buffers {
		b.made++
		return nil, nil
	}
	select {
	case buf := <-b.free:
		return buf, b.failed()
	case <-b.ctx.Done():
		if err := b.failed(); err != nil {
			return nil, err
		}
		return nil, context.Cause(b.ctx)
	}
}

// send lets the block go up in the background, and its buffers come back.
func (b *blocks) send() error {
	if b.count == b.limits.most {
		return means(nil, gcerrors.InvalidArgument, "split it").Failure("write", fmt.Sprintf("the object is larger than the %d blocks it can have", b.limits.most))
	}
	group, id := b.group, b.id(b.count)
	b.group = nil
	b.count++
	b.running.Go(func() {
		err := b.stage(id, &body{parts: group})
		if err != nil {
			b.fail(err)
		}
		for _, buf := range group {
			b.free <- buf[:0]
		}
	})
	return nil
}

func (b *blocks) stage(id string, data *body) error {
	crc := data.crc()
	resp, err := b.client.StageBlock(b.ctx, id, data, &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeCRC64(crc)})
	if err != nil {
		return err
	}
	confirmed, err := compare(crc, resp.ContentCRC64)
	if !confirmed {
		b.mu.Lock()
		b.unconfirmed = true
		b.mu.Unlock()
	}
	return err
}

// compare tells whether the answer has the checksum of what was sent; another one is an error.
func compare(want uint64, got []byte) (bool, error) {
	switch {
	case len(got) != 8:
		return false, nil
	case binary.LittleEndian.Uint64(got) != want:
		return false, damaged.Failure("write", "its checksum is another than that of what was sent")
	default:
		return true, nil
	}
}

// id of a block; within an object all have the same length.
func (b *blocks) id(k int) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(b.seed[:len(b.seed):len(b.seed)], uint64(k)))
}

func (b *blocks) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.cancel()
}

func (b *blocks) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// finish sends what is left and waits for all.
func (b *blocks) finish() ([]string, error) {
	if len(b.group) > 0 && b.failed() == nil {
		if err := b.send(); err != nil {
			b.fail(err)
		}
	}
	b.running.Wait()
	if err := b.failed(); err != nil {
		return nil, err
	}
	ids := make([]string, b.count)
	for k := range ids {
		ids[k] = b.id(k)
	}
	return ids, nil
}

// stop ends what is under way and gives up the memory.
func (b *blocks) stop() {
	b.cancel()
	b.running.Wait()
	b.group, b.free = nil, nil
}

// body is what a block is made of.
type body struct {
	parts [][]byte
	at    int64
}

func (b *body) crc() (sum uint64) {
	for _, p := range b.parts {
		sum = crc64.Update(sum, azures, p)
	}
	return sum
}

func (b *body) Read(p []byte) (int, error) {
	skip := b.at
	for _, part := range b.parts {
		if skip < int64(len(part)) {
			n := copy(p, part[skip:])
			b.at += int64(n)
			return n, nil
		}
		skip -= int64(len(part))
	}
	return 0, io.EOF
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		for _, part := range b.parts {
			offset += int64(len(part))
		}
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek before the beginning")
	}
	b.at = offset
	return offset, nil
}

func (b *body) Close() error { return nil }
