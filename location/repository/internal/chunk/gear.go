package chunk

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// window is how many bytes a fingerprint depends on, of either kind.
const window = 64

// gear has a number for each value of a byte, and the same number doubled.
type gear struct {
	once, twice [256]uint64
}

// newGear derives the numbers from the polynomial: four from each SHA-256 of a label, the polynomial and a counter.
func newGear(polynomial uint64) *gear {
	g := &gear{}
	text := append([]byte("davit gear 1\x00"), make([]byte, 16)...)
	for i := range 64 {
		binary.BigEndian.PutUint64(text[len(text)-16:], polynomial)
		binary.BigEndian.PutUint64(text[len(text)-8:], uint64(i)) //nolint:gosec // not negative
		sum := sha256.Sum256(text)
		for k := range 4 {
			n := binary.BigEndian.Uint64(sum[8*k:])
			g.once[4*i+k], g.twice[4*i+k] = n, 2*n
		}
	}
	return g
}

// gear is Next for Davit's chunks.
func (s *Splitter) gear(data []byte) int {
	average := s.average()
	data = data[:min(len(data), 4*average)]
	least, normal := average/4, average/5*4
	if len(data) <= least {
		return 0
	}
	// A fingerprint is below 2^64/n with a chance of 1/n.
	low := math.MaxUint64 / uint64(8*average) //nolint:gosec // not negative
	g, h, at := s.rule.gear, s.digest, s.scanned
	if at == 0 {
		for _, b := range data[least-window : least] {
			h = h<<1 + g.once[b]
		}
		at = least
	}
	var n int
	if middle := min(normal, len(data)); at < middle {
		if n, h = g.cut(h, data[at:middle], low); n > 0 {
			return at + n
		}
		at = middle
	}
	if n, h = g.cut(h, data[at:], 64*low); n > 0 {
		return at + n
	}
	if len(data) == 4*average {
		return len(data)
	}
	s.scanned, s.digest = len(data), h
	return 0
}

// cut returns after how many bytes the fingerprint, which begins with h, is below the limit, or 0, and the fingerprint there. Two bytes at once are faster than one after the other.
func (g *gear) cut(h uint64, data []byte, limit uint64) (int, uint64) {
	i := 0
	for ; i+8 <= len(data); i += 8 {
		d := data[i : i+8 : i+8]
		a := h<<1 + g.once[d[0]]
		if a < limit {
			return i + 1, a
		}
		h = h<<2 + (g.twice[d[0]] + g.once[d[1]])
		if h < limit {
			return i + 2, h
		}
		a = h<<1 + g.once[d[2]]
		if a < limit {
			return i + 3, a
		}
		h = h<<2 + (g.twice[d[2]] + g.once[d[3]])
		if h < limit {
			return i + 4, h
		}
		a = h<<1 + g.once[d[4]]
		if a < limit {
			return i + 5, a
		}
		h = h<<2 + (g.twice[d[4]] + g.once[d[5]])
		if h < limit {
			return i + 6, h
		}
		a = h<<1 + g.once[d[6]]
		if a < limit {
			return i + 7, a
		}
		h = h<<2 + (g.twice[d[6]] + g.once[d[7]])
		if h < limit {
			return i + 8, h
		}
	}
	for ; i < len(data); i++ {
		if h = h<<1 + g.once[data[i]]; h < limit {
			return i + 1, h
		}
	}
	return 0, h
}
