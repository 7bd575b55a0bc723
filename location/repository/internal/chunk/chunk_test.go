package chunk

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/restic/chunker"
	"github.com/stretchr/testify/require"
)

const polynomial = 0x3DA3358B4DC173

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func rule(t testing.TB, size int) *Rule {
	t.Helper()
	r, err := NewRule(polynomial, size)
	require.NoError(t, err)
	return r
}

// split cuts all of data, which is known from the beginning, and returns the lengths.
func split(r *Rule, data []byte) []int {
	var lengths []int
	for s := r.Splitter(); len(data) > 0; {
		n := s.Next(data, true)
		lengths = append(lengths, n)
		data = data[n:]
	}
	return lengths
}

// splitSlowly does the same with data that becomes known bit by bit.
func splitSlowly(r *Rule, data []byte, steps *rand.Rand) []int {
	var lengths []int
	s := r.Splitter()
	for known := 0; len(data) > 0; {
		n := s.Next(data[:known], known == len(data))
		if n == 0 {
			known = min(len(data), known+1+steps.IntN(1+len(data)/3))
			continue
		}
		lengths = append(lengths, n)
		data, known = data[n:], known-n
	}
	return lengths
}

func TestRestic(t *testing.T) {
	for name, data := range map[string][]byte{
		"random": random(1, 40<<20), "zeros": make([]byte, 20<<20), "short": random(2, 1000), "least": random(3, chunker.MinSize), "pattern": bytes.Repeat([]byte{1, 2, 3}, 6<<20),
	} {
		t.Run(name, func(t *testing.T) {
			var want []int
			for c := chunker.New(bytes.NewReader(data), polynomial); ; {
				chunk, err := c.Next(make([]byte, 0, chunker.MaxSize))
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				want = append(want, int(chunk.Length))
			}
			require.Equal(t, want, split(rule(t, 0), data))
			require.Equal(t, want, splitSlowly(rule(t, 0), data, rand.New(rand.NewPCG(1, 2))))
		})
	}
}

// What was cut so once must be cut so forever.
func TestGearStays(t *testing.T) {
	require.Equal(t, []int{
		67266, 49404, 57832, 55497, 52880, 52554, 37431, 65259, 58355, 53389, 69549, 60372, 52800, 56830, 53318, 53536, 81675, 64188, 6441,
	}, split(rule(t, 64<<10), random(4, 1<<20)))
	require.Equal(t, []int{
		7241, 13416, 14069, 13542, 13140, 13472, 15810, 14227, 11753, 13105, 13121, 13614, 14142, 14955, 13356, 5837,
	}, split(rule(t, 16<<10), random(4, 200<<10)))
	sum := sha256.Sum256(fmt.Append(nil, split(rule(t, 64<<10), random(5, 32<<20))))
	require.Equal(t, "363975d4ba3f0bb0", fmt.Sprintf("%x", sum[:8]))
	other, err := NewRule(polynomial^2, 64<<10)
	require.NoError(t, err)
	require.NotEqual(t, split(rule(t, 64<<10), random(4, 1<<20)), split(other, random(4, 1<<20)))
}

func TestGearSizes(t *testing.T) {
	for _, size := range []int{16 << 10, 64 << 10, 256 << 10} {
		n := 400 * size
		lengths := split(rule(t, size), random(6, n))
		require.InEpsilon(t, size, n/len(lengths), 0.1)
		lengths = lengths[:len(lengths)-1]
		require.GreaterOrEqual(t, slices.Min(lengths), size/4)
		require.LessOrEqual(t, slices.Max(lengths), 4*size)
		near := 0
		for _, l := range lengths {
			if l > size/2 && l < 2*size {
				near++
			}
		}
		require.Greater(t, near, len(lengths)*8/10)
	}
}

func TestGearOffsets(t *testing.T) {
	s := rule(t, 64<<10).Splitter()
	for _, c := range []struct {
		gib int64
		max int
	}{{0, 1}, {15, 1}, {1, 2}, {47, 2}, {1, 4}, {191, 4}, {1, 8}, {767, 8}, {1, 16}, {8 << 10, 16}} {
		s.Pass(c.gib << 30)
		require.Equal(t, c.max*256<<10, s.Max(), "%d GiB", s.offset>>30)
	}
	data := random(7, 4<<20)
	require.Zero(t, s.Next(data[:256<<10], false))
	require.NotZero(t, s.Next(data, false))
}

// Whatever is put in or taken out, the chunks are soon the same again.
func TestGearInsertion(t *testing.T) {
	r := rule(t, 64<<10)
	data := random(8, 8<<20)
	before := set(r, data)
	for _, edit := range []struct{ at, out, in int }{{0, 0, 1}, {100_000, 0, 5}, {1 << 20, 3, 0}, {4 << 20, 100_000, 70_000}, {5<<20 + 1, 4096, 4096}} {
		edited := slices.Concat(data[:edit.at], random(9, edit.in), data[edit.at+edit.out:])
		fresh := 0
		for chunk, n := range set(r, edited) {
			if before[chunk] == 0 {
				fresh += n
			}
		}
		require.Less(t, fresh, edit.in+640<<10, edit)
	}
}

// set is the lengths of chunks by their hash.
func set(r *Rule, data []byte) map[[32]byte]int {
	chunks := map[[32]byte]int{}
	for _, n := range split(r, data) {
		chunks[sha256.Sum256(data[:n])] = n
		data = data[n:]
	}
	return chunks
}

// 2 % of the pages of a database change, evenly or in runs of 64.
func TestGearPages(t *testing.T) {
	const page, pages = 4 << 10, 16 << 10
	r := rule(t, 64<<10)
	data, other := random(10, pages*page), random(11, pages*page)
	before := set(r, data)
	for _, c := range []struct {
		run   int
		bound float64
	}{{1, 0.40}, {64, 0.05}} {
		edited := slices.Clone(data)
		fresh := 0
		for i := 0; i < pages; i += 50 * c.run {
			copy(edited[i*page:], other[i*page:][:min(c.run, pages-i)*page])
		}
		for chunk, n := range set(r, edited) {
			if before[chunk] == 0 {
				fresh += n
			}
		}
		t.Logf("runs of %d: %.3f of the data is new", c.run, float64(fresh)/float64(len(data)))
		require.Less(t, float64(fresh)/float64(len(data)), c.bound)
	}
}

func TestNewRule(t *testing.T) {
	for _, size := range []int{-1, 1, 100_000, 2 << 10, 8 << 20} {
		_, err := NewRule(polynomial, size)
		require.Error(t, err, size)
	}
	for _, p := range []uint64{0, 1, 0xff, 1 << 60} {
		_, err := NewRule(p, 0)
		require.Error(t, err, p)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(uint64(polynomial), []byte("abc"), uint16(3), uint64(1), false)
	f.Add(uint64(0), make([]byte, 100), uint16(50000), uint64(7), true)
	f.Fuzz(func(t *testing.T, p uint64, seed []byte, times uint16, steps uint64, restic bool) {
		size := MinSize
		if restic {
			size = 0
		}
		r, err := NewRule(p, size)
		if err != nil {
			return
		}
		data := bytes.Repeat(seed, int(times))
		if len(data) > 10<<20 {
			return
		}
		lengths := split(r, data)
		require.Equal(t, lengths, splitSlowly(r, data, rand.New(rand.NewPCG(steps, 0))))
		least, most := MinSize/4, MinSize*4
		if restic {
			least, most = chunker.MinSize, chunker.MaxSize
		}
		total := 0
		for i, n := range lengths {
			total += n
			require.LessOrEqual(t, n, most)
			require.True(t, n >= least || i == len(lengths)-1)
		}
		require.Equal(t, len(data), total)
	})
}

func TestCompressible(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	words := rand.New(rand.NewPCG(1, 2))
	for range 500_000 {
		_, _ = fmt.Fprintf(z, "%x ", int(words.ExpFloat64()*1000))
	}
	require.NoError(t, z.Close())
	no := 0
	for i := range 1000 {
		if !Compressible(random(byte(i), 64<<10+i)) {
			no++
		}
	}
	require.Greater(t, no, 980, "random data")
	no = 0
	for chunk := range slices.Chunk(zipped.Bytes(), 64<<10) {
		if !Compressible(chunk) {
			no++
		}
	}
	require.Greater(t, no, zipped.Len()>>16*3/4, "compressed data")

	text := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 2000))[:64<<10]
	mixed := random(1, 64<<10)
	copy(mixed[20<<10:], make([]byte, 6<<10))
	numbers := make([]byte, 64<<10)
	for i, b := range random(2, len(numbers)) {
		numbers[i] = "0123456789abcdef"[b&15]
	}
	for name, content := range map[string][]byte{"text": text, "zeros": make([]byte, 64<<10), "mixed": mixed, "hexadecimal": numbers, "short": random(3, 1000), "empty": nil, "page": text[:4096]} {
		require.True(t, Compressible(content), name)
	}
	require.False(t, Compressible(random(4, 2500)))
}

func BenchmarkGear(b *testing.B)  { benchmark(b, 64<<10) }
func BenchmarkRabin(b *testing.B) { benchmark(b, 0) }

func benchmark(b *testing.B, size int) {
	r, data := rule(b, size), random(1, 64<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		split(r, data)
	}
}

func BenchmarkCompressible(b *testing.B) {
	data := random(1, 64<<10)
	for b.Loop() {
		Compressible(data)
	}
}
