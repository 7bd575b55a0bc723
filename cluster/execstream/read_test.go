//go:build unix

package execstream_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
)

func TestReadEveryByte(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		for _, size := range []int{0, 1, 25, 26, 27, 65535, 65536, 65537, 1<<20 + 1, 5 << 20} {
			data := random(size)
			p.write(t, "data", data)
			got, err := readAll(t, p, command("cat", "data"), opts)
			require.NoError(t, err, size)
			require.Equal(t, execstream.Result{Bytes: int64(size), SHA256: sumOf(data)}, got.Result)
			require.Equal(t, sumOf(data), sumOf([]byte(got.out)), size)
			require.Empty(t, got.errs)
		}
		p.write(t, "data", make([]byte, 3<<20))
		got, err := readAll(t, p, command("cat", "data"), opts)
		require.NoError(t, err)
		require.Equal(t, sumOf(make([]byte, 3<<20)), sumOf([]byte(got.out)), "zeros")
		require.Equal(t, []string{"data"}, names(t, p.dir), "no file is left")
	})
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestReadWithoutAWriter(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		res, err := execstream.Read(soon(t), p, command("echo", "dropped"), opts)
		require.NoError(t, err)
		require.Equal(t, execstream.Result{Bytes: 8, SHA256: sumOf([]byte("dropped\n"))}, res)
	})
}

func TestReadTellsTheExitCode(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		p.write(t, "text", []byte("text"))
		require.NoError(t, os.Chmod(filepath.Join(p.dir, "text"), 0o600))
		for _, tc := range []struct {
			cmd       cluster.Command
			code      int
			out, errs string
		}{
			{script("echo all of it; echo why >&2; exit 3"), 3, "all of it\n", "why\n"},
			{script("exec >&-; echo goes on >&2; exit 4"), 4, "", "goes on\n"},
			{script("echo before; kill -9 $$"), 128 + 9, "before\n", ""},
			{command("nosuchprogram"), 127, "", "nosuchprogram"},
			{command("exit", "0"), 127, "", "exit"}, // no program, though a shell knows it
			{command("./text"), 126, "", "text"},
		} {
			got, err := readAll(t, p, tc.cmd, opts)
			var exit *cluster.ExitError
			require.ErrorAs(t, err, &exit, "%v", tc.cmd.Args)
			require.Equal(t, "pod app/db, container server", exit.What)
			require.Equal(t, tc.code, exit.Code)
			require.Equal(t, strings.TrimSuffix(got.errs, "\n"), exit.Tail)
			require.Equal(t, tc.out, got.out)
			require.Equal(t, execstream.Result{Bytes: int64(len(tc.out)), SHA256: sumOf([]byte(tc.out))}, got.Result, "it was verified all the same")
			require.Contains(t, got.errs, tc.errs)
		}
	})
}

func TestTailOfAnError(t *testing.T) {
	p := newPod(t)
	got, err := readAll(t, p, script("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done >&2; exit 3"), nil)
	var exit *cluster.ExitError
	require.ErrorAs(t, err, &exit)
	require.Len(t, strings.Split(got.errs, "\n"), 2001)
	require.LessOrEqual(t, len(exit.Tail), 4096)
	require.Greater(t, len(exit.Tail), 4000)
	require.True(t, strings.HasPrefix(exit.Tail, "line "), "whole lines")
	require.True(t, strings.HasSuffix(exit.Tail, "\nline 1999"))

	cmd := script("head -c 10000 /dev/zero | tr '\\0' x >&2; printf '\\377' >&2; exit 3")
	_, err = execstream.Read(soon(t), p, cmd, nil)
	require.ErrorAs(t, err, &exit)
	require.Equal(t, strings.Repeat("x", 4095)+"\uFFFD", exit.Tail, "without a line's end, and with nobody to write to")
}

// The command sees what it sees in a plain exec.
func TestReadKeepsTheCommandsSurroundings(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		args := []string{"a  b", "", "*", "$HOME", `\n'"`, "-e", "two\nlines"}
		got, err := readAll(t, p, script(`printf '%s|' "$@"`, args...), opts)
		require.NoError(t, err)
		require.Equal(t, strings.Join(args, "|")+"|", got.out)

		got, err = readAll(t, p, script(`cat; for fd in 3 4 5 6 7 8 9; do [ ! -e /dev/fd/$fd ] || echo open $fd; done`), opts)
		require.NoError(t, err)
		require.Empty(t, got.out, "its input is empty, and it has no descriptor more")

		var plain bytes.Buffer
		cmd := command("env")
		cmd.Stdout = &plain
		require.NoError(t, p.Exec(t.Context(), cmd))
		got, err = readAll(t, p, command("env"), opts)
		require.NoError(t, err)
		require.Equal(t, environment(plain.String()), environment(got.out))
	})
}

// environment sorts the lines, without those that every shell sets anew.
func environment(text string) []string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool {
		name, _, _ := strings.Cut(l, "=")
		return slices.Contains([]string{"_", "SHLVL", "PWD", "OLDPWD"}, name)
	})
	slices.Sort(lines)
	return lines
}

// on calls f when a part of the stream has come.
type on struct {
	bytes.Buffer
	f func()
}

func (o *on) Write(p []byte) (int, error) {
	defer o.f()
	return o.Buffer.Write(p)
}

func TestReadWaitsForWhoHoldsTheOutput(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		cmd := script(`(while [ ! -e go ]; do sleep 0.01; done; echo late) & echo early >&2`)
		errs := &on{f: func() { p.write(t, "go", nil) }}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, errs
		_, err := execstream.Read(soon(t), p, cmd, opts)
		require.NoError(t, err)
		require.Equal(t, "late\n", out.String())
	})
}

func TestReadIntoAWriterThatFails(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		cmd := command("cat", "/dev/zero")
		cmd.Stdout = &full{1 << 20}
		_, err := execstream.Read(soon(t), p, cmd, opts)
		require.ErrorIs(t, err, errFull)
		cmd.Stdout = short{}
		_, err = execstream.Read(soon(t), p, cmd, opts)
		require.ErrorIs(t, err, io.ErrShortWrite)

		cmd = script("trap 'exit 0' TERM; echo a part; echo begun >&2; while :; do sleep 0.1; done")
		cmd.Stderr = &full{}
		_, err = execstream.Read(soon(t), p, cmd, opts)
		require.ErrorIs(t, err, errFull, "the command was ended for it, and says that all is well")
		p.idle(t)
	})
}

func TestInvalidCalls(t *testing.T) {
	_, err := execstream.Read(t.Context(), nil, cluster.Command{Namespace: "app", Pod: "db"}, nil)
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.EqualError(t, err, "invalid request: pod app/db: no command")
	cmd := command("cat")
	cmd.Stdin = strings.NewReader("")
	_, err = execstream.Read(t.Context(), nil, cmd, nil)
	require.ErrorIs(t, err, cluster.ErrInvalid)
	cmd.Stdout = io.Discard
	_, err = execstream.Write(t.Context(), nil, cmd, nil)
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = execstream.Write(t.Context(), nil, command("cat"), nil)
	require.ErrorIs(t, err, cluster.ErrInvalid)
}

func TestErrorsOfTheExecutorPass(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		cmd := command("true")
		cmd.Pod = "other"
		_, err := execstream.Read(soon(t), p, cmd, opts)
		require.ErrorIs(t, err, cluster.ErrNotFound)
		require.NotErrorIs(t, err, execstream.ErrTruncated)
	})
}
