//go:build unix

package execstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
	"github.com/davit-project/davit/internal/agent"
)

// Faults of a transport.
const (
	none      = "none"
	slow      = "slow"      // every byte comes alone
	cut       = "cut"       // the rest is lost, and the end comes early
	flip      = "flip"      // a bit changes
	drop      = "drop"      // a part is lost
	duplicate = "duplicate" // a part comes twice
	swap      = "swap"      // a part comes after the one behind it
	insert    = "insert"    // a part is nobody's
)

var faults = []string{none, slow, cut, flip, drop, duplicate, swap, insert}

// fault is one fault, about size bytes at an offset.
type fault struct {
	kind     string
	at, size int
}

// harms tells whether something else may arrive than was sent.
func (f fault) harms() bool { return f.kind != none && f.kind != slow }

// damaged lets the fault happen to what is written to w.
type damaged struct {
	fault
	w    io.Writer
	pos  int
	kept []byte
	// moved is called with every write.
	moved func()
}

func (d *damaged) Write(p []byte) (int, error) {
	d.moved()
	var out []byte
	for _, b := range p {
		out = d.pass(out, b)
		d.pos++
	}
	size := max(len(out), 1)
	if d.kind == slow {
		size = 1
	}
	for part := range slices.Chunk(out, size) {
		if _, err := d.w.Write(part); err != nil {
			return 0, err
		}
	}
	if d.kind == cut && d.pos > d.at {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// pass appends to out what comes of the next byte.
func (d *damaged) pass(out []byte, b byte) []byte {
	inside := d.pos >= d.at && d.pos < d.at+d.size
	last := d.pos == d.at+d.size-1
	switch {
	case d.kind == cut && d.pos >= d.at, d.kind == drop && inside:
		return out
	case d.kind == flip && d.pos == d.at:
		b ^= 1 << (d.size % 8)
	case d.kind == insert && d.pos == d.at:
		out = append(out, bytes.Repeat([]byte{'7'}, d.size)...)
	case d.kind == duplicate && inside:
		d.kept = append(d.kept, b)
		if last {
			out = append(out, d.kept...)
		}
	case d.kind == swap && inside:
		d.kept = append(d.kept, b)
		return out
	case d.kind == swap && d.pos == d.at+2*d.size-1:
		return append(append(out, b), d.kept...)
	}
	return append(out, b)
}

// unreliable is an executor whose transport has a fault in each direction and says afterwards that all is well. When nothing moves any
// more, it breaks the connection.
type unreliable struct {
	cluster.Executor
	out, in fault
}

// patience is how long nothing may move.
const patience = 100 * time.Millisecond

func (u unreliable) Exec(ctx context.Context, cmd cluster.Command) error {
	var last atomic.Int64
	moved := func() { last.Store(time.Now().UnixNano()) }
	moved()
	r, w := io.Pipe()
	defer r.Close()
	from := cmd.Stdin
	go func() {
		_, _ = io.Copy(&damaged{fault: u.in, w: w, moved: moved}, from)
		_ = w.Close()
	}()
	over := make(chan struct{})
	defer close(over)
	if u.out.harms() || u.in.harms() {
		go func() {
			tick := time.NewTicker(patience / 10)
			defer tick.Stop()
			for time.Since(time.Unix(0, last.Load())) < patience {
				select {
				case <-tick.C:
				case <-over:
					return
				}
			}
			_ = w.Close()
		}()
	}
	cmd.Stdin, cmd.Stdout = r, &damaged{fault: u.out, w: cmd.Stdout, moved: moved}
	_ = u.Executor.Exec(ctx, cmd)
	return nil
}

// outcomeOfRead checks what must hold whatever the fault was.
func outcomeOfRead(data, got []byte, res execstream.Result, err error) error {
	if err != nil && !errors.As(err, new(*cluster.ExitError)) {
		return nil
	}
	if !bytes.Equal(got, data) || res != (execstream.Result{Bytes: int64(len(data)), SHA256: sumOf(data)}) {
		return fmt.Errorf("%d bytes became %d, said to be %d: %w", len(data), len(got), res.Bytes, errors.Join(errors.New("a false success"), err))
	}
	return nil
}

// TestNoFalseSuccess lets every fault happen at the places of a stream that differ, with every far end.
func TestNoFalseSuccess(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		const size = 100_000
		data := random(size)
		p.write(t, "data", data)
		cases := map[fault]string{{none, 0, 0}: none, {slow, 0, 0}: slow}
		for _, kind := range faults[2:] {
			// data, its last byte, the nonce, the fields, the end; for Write the header "100000\n", data, the end's line, the acknowledgement
			for i, at := range []int{0, 6, 50_000, size - 1, size, size + 10, size + 50, size + 80, size + 120} {
				cases[fault{kind, at, 1 + i%7}] = fmt.Sprintf("%s.%d", kind, at)
			}
		}
		together(t, cases, func(t *testing.T, f fault, name string) {
			var out bytes.Buffer
			cmd := command("cat", "data")
			cmd.Stdout = &out
			ctx := t.Context()
			if f.harms() { // then the stream may wait for what never comes
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
			}
			res, err := execstream.Read(ctx, unreliable{p, f, fault{kind: none}}, cmd, opts)
			require.NoError(t, outcomeOfRead(data, out.Bytes(), res, err))
			if !f.harms() {
				require.NoError(t, err)
			}

			cmd = script(`cat >"$1.part"; mv "$1.part" "$1"`, name)
			cmd.Stdin = bytes.NewReader(data)
			_, err = execstream.Write(ctx, unreliable{p, fault{kind: none}, f}, cmd, opts)
			there, absent := os.ReadFile(filepath.Join(p.dir, name))
			if err == nil || absent == nil && (opts != nil || f.kind == cut) {
				require.Equal(t, sumOf(data), sumOf(there))
			}
			if !f.harms() {
				require.NoError(t, err)
			}
		})
		p.idle(t)
	})
}

// inProcess is the agent in this process; the commands it runs are processes.
type inProcess struct{}

func (inProcess) Exec(ctx context.Context, cmd cluster.Command) error {
	code := agent.Main(ctx, cmd.Args, agent.Streams{In: cmd.Stdin, Out: cmd.Stdout, Err: io.Discard, Env: func(string) string { return "" }})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if code != 0 {
		return &cluster.ExitError{Code: code}
	}
	return nil
}

func drawFault(t *rapid.T, size int, name string) fault {
	return fault{
		kind: rapid.SampledFrom(faults).Draw(t, name+" kind"),
		at:   rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(0, size+200), rapid.IntRange(size-10, size+200)).Draw(t, name+" at"),
		size: rapid.OneOf(rapid.IntRange(1, 8), rapid.IntRange(1, size+1)).Draw(t, name+" size"),
	}
}

// lockedBuffer takes what an agent in this process still writes when it has given up; as a process of its own it would have ended.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) content() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}

func TestNoFalseSuccessOfAnyFault(t *testing.T) {
	dir := t.TempDir()
	successes := 0
	rapid.Check(t, func(rt *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(rt, "data")
		data = bytes.Repeat(data, rapid.SampledFrom([]int{1, 1, 100, 3000}).Draw(rt, "times"))
		file := filepath.Join(dir, "data")
		require.NoError(rt, os.WriteFile(file, data, 0o600))
		e := unreliable{inProcess{}, drawFault(rt, len(data), "out"), drawFault(rt, len(data), "in")}
		if rapid.Bool().Draw(rt, "one direction") {
			e.in.kind = none
		}
		opts := &execstream.Options{Agent: "davit"}
		code := rapid.SampledFrom([]string{"0", "0", "3"}).Draw(rt, "code")
		script := func(text string) cluster.Command {
			return cluster.Command{Args: []string{"sh", "-c", text + "; exit " + code, "sh", file}}
		}

		var out lockedBuffer
		cmd := script(`cat "$1"`)
		cmd.Stdout = &out
		res, err := execstream.Read(t.Context(), e, cmd, opts)
		require.NoError(rt, outcomeOfRead(data, out.content(), res, err))
		successes += min(1, int(res.Bytes))

		require.NoError(rt, os.Remove(file))
		cmd = script(`cat >"$1.part"; mv "$1.part" "$1"`)
		cmd.Stdin = bytes.NewReader(data)
		_, err = execstream.Write(t.Context(), e, cmd, opts)
		there, absent := os.ReadFile(file)
		if err == nil || absent == nil {
			require.Equal(rt, sumOf(data), sumOf(there), "the command saw an end of its input")
		}
		if err == nil {
			require.Equal(rt, "0", code)
			successes++
		}
		if !e.in.harms() && !e.out.harms() {
			require.Equal(rt, code == "0", err == nil, err)
		}
	})
	require.Positive(t, successes)
}
