//go:build unix

package execstream_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
)

func writeAll(t *testing.T, e cluster.Executor, cmd cluster.Command, in io.Reader, opts *execstream.Options) (read, error) {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &errs
	res, err := execstream.Write(soon(t), e, cmd, opts)
	return read{"", errs.String(), res}, err
}

func TestWriteEveryByte(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		for _, size := range []int{0, 1, 65535, 65537, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 17} {
			data := random(size)
			got, err := writeAll(t, p, script("cat >data"), bytes.NewReader(data), opts)
			require.NoError(t, err, size)
			require.Equal(t, execstream.Result{Bytes: int64(size), SHA256: sumOf(data)}, got.Result)
			require.Empty(t, got.errs)
			there, err := os.ReadFile(filepath.Join(p.dir, "data"))
			require.NoError(t, err)
			require.Equal(t, sumOf(data), sumOf(there), size)
		}
		require.Equal(t, []string{"data"}, names(t, p.dir), "no file is left")
	})
}

// A reader may yield little at a time, nothing at times, and its last bytes together with its end.
func TestWriteFromOddReaders(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		data := random(10_000)
		for name, in := range map[string]io.Reader{
			"bytes":       iotest.OneByteReader(bytes.NewReader(data)),
			"halves":      iotest.HalfReader(bytes.NewReader(data)),
			"end at once": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			got, err := writeAll(t, p, script("cat >data"), in, opts)
			require.NoError(t, err, name)
			require.Equal(t, sumOf(data), got.SHA256)
		}
	})
}

func TestWritePassesOnWhatTheCommandPrints(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		got, err := writeAll(t, p, script(`cat >/dev/null; echo printed "$nonce$report$sum$code$gone$watch"; for fd in 3 4 5 6 7 8 9; do [ ! -e /dev/fd/$fd ] || echo open $fd; done`), strings.NewReader("x"), opts)
		require.NoError(t, err)
		require.Equal(t, "printed abcdef\n", got.errs)
	})
}

func TestWriteTellsTheExitCode(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		endless := func() io.Reader { return zeros{} }
		type row struct {
			cmd  cluster.Command
			in   io.Reader
			code int
		}
		together(t, map[string]row{
			"after the input":   {script("cat >/dev/null; exit 3"), bytes.NewReader(random(3 << 20)), 3},
			"without it":        {script("exit 4"), bytes.NewReader(random(100)), 4},
			"long before":       {script("head -c 10 >/dev/null; exit 5"), endless(), 5},
			"not found":         {command("nosuchprogram"), endless(), 127},
			"ended by a signal": {script("kill -9 $$"), endless(), 137},
		}, func(t *testing.T, name string, tc row) {
			_, err := writeAll(t, p, tc.cmd, tc.in, opts)
			var exit *cluster.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, "pod app/db, container server", exit.What)
			require.Equal(t, tc.code, exit.Code)
		})
		p.idle(t)
	})
}

func TestWriteToACommandThatLeavesInput(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		together(t, map[string]io.Reader{
			"a byte too much": strings.NewReader("0123456789a"),
			"endless":         zeros{},
			"all of it":       strings.NewReader("0123456789"),
		}, func(t *testing.T, name string, in io.Reader) {
			_, err := writeAll(t, p, command("dd", "of=/dev/null", "bs=1", "count=10"), in, opts)
			if name == "all of it" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, execstream.ErrTruncated)
			require.ErrorContains(t, err, "ended with code 0 before it had read its input")
		})
		p.idle(t)
	})
}

var errSource = errors.New("the dump failed")

// A source that fails, also in the disguise of an early end, never looks like its end to the command.
func TestWriteFromAReaderThatFails(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		failures := map[string]error{"a": errSource, "b": io.ErrUnexpectedEOF, "c": errors.Join(io.EOF)}
		together(t, failures, func(t *testing.T, file string, failure error) {
			in := io.MultiReader(bytes.NewReader(random(3<<20+5)), iotest.ErrReader(failure))
			_, err := writeAll(t, p, script("trap '' TERM; cat >part.$1; : >whole.$1", file), in, opts)
			require.ErrorIs(t, err, failure)
		})
		p.idle(t)
		whole, err := filepath.Glob(filepath.Join(p.dir, "whole.*"))
		require.NoError(t, err)
		require.Empty(t, whole, "the command saw an end of its input")
	})
}
