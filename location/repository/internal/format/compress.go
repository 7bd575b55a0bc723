package format

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// MaxUnpacked is the longest content of a file that is no pack, in bytes: an index of about five million blobs.
const MaxUnpacked = 1 << 30

// zstdMark begins a file whose content is compressed; JSON begins with a bracket.
const zstdMark = 2

// Codec compresses and decompresses; it is safe for concurrent use.
type Codec struct {
	encoders, decoders, streams sync.Pool
}

// NewCodec makes one of zstd's fastest level.
func NewCodec() *Codec {
	c := &Codec{}
	c.encoders.New = func() any {
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(window), zstd.WithAllLitEntropyCompression(true)) // the options are right
		return e
	}
	c.decoders.New = func() any {
		d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(MaxUnpacked))
		return d
	}
	c.streams.New = func() any {
		d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		return d
	}
	return c
}

const (
	window    = 512 << 10
	maxWindow = 64 << 20
)

// Compress appends the compressed content to dst.
func (c *Codec) Compress(dst, content []byte) []byte {
	e := c.encoders.Get().(*zstd.Encoder) //nolint:forcetypeassert // the pool holds nothing else
	defer c.encoders.Put(e)
	return e.EncodeAll(content, dst)
}

// Decompress appends the content, which must have exactly size bytes, to dst. No more than that is ever held.
func (c *Codec) Decompress(dst, compressed []byte, size int) ([]byte, error) {
	before := len(dst)
	dst = slices.Grow(dst, size)
	d := c.decoders.Get().(*zstd.Decoder) //nolint:forcetypeassert // the pool holds nothing else
	defer c.decoders.Put(d)
	out, err := d.DecodeAll(compressed, dst[:before:before+size])
	if err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrDamaged, err)
	}
	if len(out)-before != size {
		return nil, fmt.Errorf("%w: compressed data has %d bytes, not %d", ErrDamaged, len(out)-before, size)
	}
	// It is the same memory, with its capacity.
	return dst[:before+size], nil
}

// Pack is the content of a file that is no pack, as a repository of that version has it before it is sealed.
func (c *Codec) Pack(version int, content []byte) []byte {
	if version < Version2 {
		return content
	}
	return c.Compress([]byte{zstdMark}, content)
}

// Unpack is the content that Pack was given, of at most limit bytes.
func (c *Codec) Unpack(packed []byte, limit int) ([]byte, error) {
	switch {
	case len(packed) == 0:
		return nil, fmt.Errorf("%w: an empty file", ErrDamaged)
	case packed[0] == '{' || packed[0] == '[':
		return packed, nil
	case packed[0] != zstdMark:
		return nil, fmt.Errorf("%w: a file has the unknown encoding %d", ErrDamaged, packed[0])
	}
	d := c.streams.Get().(*zstd.Decoder) //nolint:forcetypeassert // the pool holds nothing else
	defer c.streams.Put(d)
	if err := d.Reset(bytes.NewReader(packed[1:])); err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrDamaged, err)
	}
	content, err := io.ReadAll(io.LimitReader(d, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrDamaged, err)
	}
	if len(content) == 0 {
		return nil, fmt.Errorf("%w: a compressed file is empty", ErrDamaged)
	}
	if len(content) > limit {
		return nil, fmt.Errorf("%w: a compressed file has more than %d bytes", ErrDamaged, limit)
	}
	return content, nil
}
