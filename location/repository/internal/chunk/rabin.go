package chunk

import "github.com/restic/chunker"

// Degrees of polynomials that restic's chunker works with; restic makes those of degree 53.
const (
	minDegree = 9
	maxDegree = 53
)

// cutMask: a fingerprint of which these bits are 0 ends one of restic's chunks.
const cutMask = 1<<20 - 1

// rabin has the tables of a Rabin fingerprint over 64 bytes: the remainder of the bytes, read as a polynomial over GF(2), divided by the repository's.
type rabin struct {
	// out has what a byte contributes to the fingerprint 64 bytes later, reduce what the topmost 8 bits that stand above the polynomial become, and the bits themselves.
	out, reduce [256]uint64
	shift       uint
}

func newRabin(p chunker.Pol) *rabin {
	degree := uint(p.Deg()) //nolint:gosec // not negative
	t := &rabin{shift: degree - 8}
	for b := range 256 {
		top := chunker.Pol(b) << degree
		t.reduce[b] = uint64(top.Mod(p) | top)
		h := chunker.Pol(b).Mod(p)
		for range window - 1 {
			h = (h << 8).Mod(p)
		}
		t.out[b] = uint64(h)
	}
	return t
}

// rabin is Next for restic's chunks: from the least length on, a chunk ends where the fingerprint of the 64 bytes before says so.
func (s *Splitter) rabin(data []byte) int {
	const least, most = chunker.MinSize, chunker.MaxSize
	data = data[:min(len(data), most)]
	if len(data) < least {
		return 0
	}
	t, h, i := s.rule.rabin, s.digest, s.scanned
	shift := t.shift & 63
	if i == 0 {
		for _, b := range data[least-window : least] {
			h = (h<<8 | uint64(b)) ^ t.reduce[byte(h>>shift)]
		}
		if h&cutMask == 0 {
			return least
		}
		i = least
	}
	tail := data[i-window : len(data)-window]
	for k, b := range data[i:] {
		h ^= t.out[tail[k]]
		h = (h<<8 | uint64(b)) ^ t.reduce[byte(h>>shift)]
		if h&cutMask == 0 {
			return i + k + 1
		}
	}
	if len(data) == most {
		return most
	}
	s.scanned, s.digest = len(data), h
	return 0
}
