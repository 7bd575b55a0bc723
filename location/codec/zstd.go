package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/davit-project/davit/location"
)

// maxWindow is what a stream may make its reader hold in memory: the bound that the format recommends for all decoders, 8 MiB (RFC 8878, 3.1.1.1.2).
const maxWindow = 8 << 20

var errCut = errors.New("the compressed stream ends before it begins")

// Zstd returns the codec "zstd" (RFC 8878), at its fastest level: on the way to a store, time is dearer than the last tenth of the size.
func Zstd() location.Codec {
	return location.Codec{
		Name: "zstd",
		Encode: func(w io.Writer) (io.WriteCloser, error) {
			// What is empty is a frame too, so that a stream without one is known to be cut.
			return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
		},
		Decode: func(r io.Reader) (io.Reader, error) {
			var first [1]byte
			if _, err := io.ReadFull(r, first[:]); errors.Is(err, io.EOF) {
				return nil, errCut
			} else if err != nil {
				return nil, fmt.Errorf("read the compressed stream: %w", err)
			}
			return zstd.NewReader(io.MultiReader(bytes.NewReader(first[:]), r), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow),
				zstd.WithDecoderLowmem(true))
		},
	}
}
