//go:build unix

package execstream_test

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster/execstream"
)

// memoryBound is what the host may hold of a stream, with room for the binding and the collector, in bytes.
const memoryBound = 16 << 20

// watched is a stream's end that looks at the heap every now and then.
type watched struct {
	most uint64
	last time.Time
}

func (w *watched) look() {
	if time.Since(w.last) < 20*time.Millisecond {
		return
	}
	w.most = max(w.most, heap()) // how much there is of garbage depends on what ran before
	w.last = time.Now()
}

func (w *watched) Write(p []byte) (int, error) {
	w.look()
	return len(p), nil
}

func (w *watched) Read(p []byte) (int, error) {
	w.look()
	return len(p), nil
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMemoryIsBounded(t *testing.T) {
	const size = 64 << 20
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		idle, w := heap(), &watched{}
		cmd := command("head", "-c", fmt.Sprint(size), "/dev/zero")
		cmd.Stdout = w
		res, err := execstream.Read(soon(t), p, cmd, opts)
		require.NoError(t, err)
		require.Equal(t, int64(size), res.Bytes)
		cmd = script("cat >/dev/null")
		cmd.Stdin = io.LimitReader(w, size)
		res, err = execstream.Write(soon(t), p, cmd, opts)
		require.NoError(t, err)
		require.Equal(t, int64(size), res.Bytes)
		require.NotZero(t, w.most)
		require.Less(t, w.most, idle+memoryBound)
	})
}

// BenchmarkRead compares both far ends with a plain exec of the same command.
func BenchmarkRead(b *testing.B) {
	const size = 64 << 20
	p := newPod(b)
	p.write(b, "data", random(size))
	cmd := command("cat", "data")
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			cmd.Stdout = io.Discard
			require.NoError(b, p.Exec(b.Context(), cmd))
		}
	})
	for name, opts := range map[string]*execstream.Options{"agent": {Agent: "davit"}, "shell": nil} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				res, err := execstream.Read(b.Context(), p, cmd, opts)
				require.NoError(b, err)
				require.Equal(b, int64(size), res.Bytes)
			}
		})
	}
}
