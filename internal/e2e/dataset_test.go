//go:build e2e

package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a dataset is made of, in bytes. Everything comes from seeds, so that each run has the same.
const (
	pageBytes  = 4 << 10
	changedRun = 64
)

// page fills one page with what a table has: a header with numbers that differ, pointers, and rows of short words, dates and numbers.
func page(p []byte, n, version uint64) {
	r := rand.New(rand.NewPCG(n, version))
	clear(p)
	binary.LittleEndian.PutUint64(p, r.Uint64()>>20)
	binary.LittleEndian.PutUint64(p[8:], n)
	rows := len(p) / 128
	for i := range rows {
		binary.LittleEndian.PutUint32(p[24+4*i:], uint32(len(p)-128*(i+1)))
	}
	for at := len(p); at-128 >= 24+4*rows; at -= 128 {
		row := fmt.Appendf(nil, "%010d|%s %s|%s@example.org|2026-%02d-%02d %02d:%02d:%02d|%08x%08x|%d", n*uint64(rows)+uint64(at), word(r), word(r), word(r),
			1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.Uint32(), r.Uint32(), r.IntN(100000))
		copy(p[at-128:at], row)
	}
}

var words = []string{"anna", "berlin", "order", "pending", "shipped", "customer", "street", "north", "blue", "invoice", "paid", "open", "smith", "garcia", "tokyo", "market"}

func word(r *rand.Rand) string { return words[r.IntN(len(words))] }

// writeVolume writes a database's volume: half of it pages, half random bytes, as of what is compressed or encrypted already.
func writeVolume(t *testing.T, dir string, mib int) {
	t.Helper()
	half := int64(mib) << 19
	create(t, filepath.Join(dir, "pages"), func(w io.Writer) {
		p := make([]byte, pageBytes)
		for n := range uint64(half / pageBytes) {
			page(p, n, 0)
			_, _ = w.Write(p)
		}
	})
	create(t, filepath.Join(dir, "random"), func(w io.Writer) {
		_, err := io.CopyN(w, rand.NewChaCha8([32]byte{1}), half)
		require.NoError(t, err)
	})
}

// changePages gives 2 % of the pages of both files new content: in runs of changedRun pages, or each by itself, evenly.
func changePages(t *testing.T, dir string, run int, version uint64) {
	t.Helper()
	for _, name := range []string{"pages", "random"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		require.NoError(t, err)
		info, err := f.Stat()
		require.NoError(t, err)
		r := rand.New(rand.NewPCG(version, uint64(run)))
		step := 50 * run
		p := make([]byte, pageBytes)
		for at := 0; (at+step)*pageBytes <= int(info.Size()); at += step {
			first := at + r.IntN(step-run+1)
			for n := first; n < first+run; n++ {
				if name == "pages" {
					page(p, uint64(n), version)
				} else {
					_, _ = rand.NewChaCha8([32]byte{2, byte(n), byte(n >> 8), byte(n >> 16), byte(version)}).Read(p)
				}
				_, err := f.WriteAt(p, int64(n)*pageBytes)
				require.NoError(t, err)
			}
		}
		require.NoError(t, f.Close())
	}
}

// writeDump writes a dump of mib MiB; with inserted, there is one more row in each 20 MB.
func writeDump(t *testing.T, dir string, mib int, inserted bool) {
	t.Helper()
	create(t, filepath.Join(dir, "dump.sql"), func(w io.Writer) {
		r := rand.New(rand.NewPCG(7, 7))
		written, next := 0, 10_000_000
		for id := 0; written < mib<<20; id++ {
			n, err := fmt.Fprintf(w, "INSERT INTO orders VALUES (%d, '%s %s', '%s', %d, '2026-%02d-%02d', '%016x');\n",
				id, word(r), word(r), word(r), r.IntN(100000), 1+r.IntN(12), 1+r.IntN(28), r.Uint64())
			require.NoError(t, err)
			if written += n; inserted && written > next {
				_, err := fmt.Fprintf(w, "INSERT INTO orders VALUES (%d, 'one more', 'row', 0, '2026-01-01', '');\n", 1_000_000_000+id)
				require.NoError(t, err)
				next += 20_000_000
			}
		}
	})
}

// writeSmallFiles writes n files of up to 8 KiB into folders of a hundred.
func writeSmallFiles(t *testing.T, dir string, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(9, 9))
	p := make([]byte, 8<<10)
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("%03d", i/10000), fmt.Sprintf("%05d", i/100))
		if i%100 == 0 {
			require.NoError(t, os.MkdirAll(sub, 0o755))
		}
		page(p, uint64(i), 3)
		require.NoError(t, os.WriteFile(filepath.Join(sub, fmt.Sprintf("file-%06d", i)), p[:1+r.IntN(len(p))], 0o644))
	}
}

func create(t *testing.T, name string, write func(io.Writer)) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	w := bufio.NewWriterSize(f, 1<<20)
	write(w)
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
}
