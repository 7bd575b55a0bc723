package agent_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// process prepares a call in a process of its own.
func process(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "AGENT_TEST_MAIN=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	return cmd, &errs
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestStandardInputs(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	require.NoError(t, os.WriteFile(source, []byte("data"), 0o600))
	open := func(name string) *os.File {
		f, err := os.Open(name)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	pipe := func() *os.File {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		_, err = w.WriteString("data")
		require.NoError(t, err)
		require.NoError(t, w.Close())
		t.Cleanup(func() { r.Close() })
		return r
	}
	closed := func() *os.File {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, w.Close())
		t.Cleanup(func() { r.Close() })
		return r
	}
	for name, tc := range map[string]struct {
		in   *os.File
		code int
		err  string
	}{
		"a file":        {open(source), 0, ""},
		"a pipe":        {pipe(), 0, ""},
		"an ended pipe": {closed(), 1, "the stream is empty"},
		"nothing":       {open(os.DevNull), 1, "the stream is empty"},
		"a folder":      {open(t.TempDir()), 2, "is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd, errs := process(t, "location", "push", "-p", profileOf(t, dir), "-s", "a", "-")
			cmd.Stdin = tc.in
			require.Equal(t, tc.code, exitCode(cmd.Run()), errs)
			require.Contains(t, errs.String(), tc.err)
			if tc.code != 0 {
				require.Empty(t, tree(t, dir))
				return
			}
			require.Empty(t, errs.String())
			require.Equal(t, result{out: "data"}, call(t, nil, nil, "location", "pull", "-p", profileOf(t, dir), "-s", "a", "-"))
		})
	}
}

func TestPullIntoAPipeThatCloses(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	require.Equal(t, result{}, call(t, nil, strings.NewReader(strings.Repeat("x", 4<<20)), "location", "push", "-p", p, "-s", "a", "-"))
	cmd, errs := process(t, "location", "pull", "-p", p, "-s", "a", "-")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, 1000))
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.Equal(t, 1, exitCode(cmd.Wait()))
	require.Contains(t, errs.String(), "broken pipe")
}

func TestSignals(t *testing.T) {
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run("push "+sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			cmd, errs := process(t, "location", "push", "-p", profileOf(t, dir), "-s", "a/b", "-")
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = in.Write(make([]byte, 5<<20)) // it now waits for more, and has a file open
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Signal(sig))
			require.Equal(t, code, exitCode(cmd.Wait()), errs)
			require.Contains(t, errs.String(), "ended by signal")
			require.Equal(t, 1, strings.Count(errs.String(), "\n"))
			require.Empty(t, tree(t, dir))
			in.Close()
		})
		t.Run("pull "+sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			p := profileOf(t, dir)
			require.Equal(t, result{}, call(t, nil, strings.NewReader(strings.Repeat("x", 4<<20)), "location", "push", "-p", p, "-s", "a", "-"))
			cmd, errs := process(t, "location", "pull", "-p", p, "-s", "a", "-")
			out, err := cmd.StdoutPipe() // which nobody reads to its end
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = io.ReadFull(out, make([]byte, 1000))
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Signal(sig))
			require.Equal(t, code, exitCode(cmd.Wait()), errs)
		})
	}
}

// A process that is killed cannot tidy up; the next write does.
func TestKilledPushLeavesNothingForLong(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	cmd, _ := process(t, "location", "push", "-p", p, "-s", "a", "-")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = in.Write(make([]byte, 5<<20))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	in.Close()
	got := call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", "-")
	require.Equal(t, 3, got.code)
	require.Equal(t, result{}, call(t, nil, strings.NewReader("data"), "location", "push", "-p", p, "-s", "a", "-"))
	require.Equal(t, []string{"pre/.davit/sum/a.json", "pre/a"}, tree(t, dir))
}
