package chunk

import (
	"fmt"
	"math/bits"

	"github.com/restic/chunker"
)

// Rule says where the chunks of a repository end. It does not change, and is safe for concurrent use.
type Rule struct {
	// size is the average near a file's beginning, 0 for restic's chunks.
	size  int
	gear  *gear
	rabin *rabin
}

// Bounds of the size in NewRule, in bytes.
const (
	MinSize = 4 << 10
	MaxSize = 4 << 20
)

// NewRule returns the rule of a repository with that polynomial: of chunks of size bytes on average near a file's beginning, a power of two from MinSize to MaxSize, or, with 0, of restic's
// chunks. A polynomial that restic's chunker could not work with is an error.
func NewRule(polynomial uint64, size int) (*Rule, error) {
	if size == 0 {
		p := chunker.Pol(polynomial)
		if d := p.Deg(); d < minDegree || d > maxDegree {
			return nil, fmt.Errorf("the chunker's polynomial has the degree %d: from %d to %d is possible", d, minDegree, maxDegree)
		}
		return &Rule{rabin: newRabin(p)}, nil
	}
	if size < MinSize || size > MaxSize || size&(size-1) != 0 {
		return nil, fmt.Errorf("chunks of %d bytes: a power of two from %d to %d is possible", size, MinSize, MaxSize)
	}
	return &Rule{size: size, gear: newGear(polynomial)}, nil
}

// Splitter finds the ends of the chunks of one file.
type Splitter struct {
	rule *Rule
	// offset is where the next chunk begins.
	offset int64
	// scanned bytes of it were looked at, with that digest.
	scanned int
	digest  uint64
}

// Splitter begins a file.
func (r *Rule) Splitter() Splitter { return Splitter{rule: r} }

// Next returns the length of the chunk that data begins with, or 0 if more of the file must be known first: then Next is called with the same data and more after it. Max bytes are always
// enough. With end, data is all that is left of the file.
func (s *Splitter) Next(data []byte, end bool) int {
	var n int
	if s.rule.rabin != nil {
		n = s.rabin(data)
	} else {
		n = s.gear(data)
	}
	if n == 0 && end {
		n = len(data)
	}
	s.Pass(int64(n))
	return n
}

// Pass says that n bytes have become chunks of another kind, or none: the next chunk begins after them.
func (s *Splitter) Pass(n int64) {
	if n > 0 {
		s.offset += n
		s.scanned, s.digest = 0, 0
	}
}

// Max is how long the next chunk can be, in bytes.
func (s *Splitter) Max() int {
	if s.rule.rabin != nil {
		return chunker.MaxSize
	}
	return 4 * s.average()
}

// average is that of chunks at the offset.
func (s *Splitter) average() int {
	const first = 16 << 30
	if s.offset < first {
		return s.rule.size
	}
	// Every other doubling of the offset doubles the size.
	return s.rule.size << min(4, (bits.Len64(uint64(s.offset/first))+1)/2) //nolint:gosec // offsets are not negative
}
