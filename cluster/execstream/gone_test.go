//go:build unix

package execstream_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/execstream"
)

// idle waits until no process of a command is left in the pod.
func (p pod) idle(t *testing.T) {
	t.Helper()
	var left []string
	if !waitFor(func() bool { left = p.processes(); return len(left) == 0 }) {
		require.Empty(t, left, "processes that were left behind")
	}
}

// waitFor polls; require.Eventually would run the condition beside the test.
func waitFor(condition func() bool) bool {
	for range 1000 {
		if condition() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// processes lists the command lines of the processes that run in the pod's folder, but for the pod's own.
func (p pod) processes() []string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var all []string
	for _, dir := range dirs {
		if cwd, err := os.Readlink(filepath.Join(dir, "cwd")); err != nil || cwd != p.dir {
			continue
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && len(line) > 0 && string(line) != "sleep\x00100000\x00" {
			all = append(all, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return all
}

var errEnough = errors.New("enough")

func TestCancel(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		for name, text := range map[string]string{
			"silent":         "echo begun >&2; sleep 1000",
			"closed":         "exec >&-; echo begun >&2; sleep 1000",
			"endless output": "echo begun >&2; cat /dev/zero",
			"stubborn":       "trap '' TERM; echo begun >&2; cat; while :; do sleep 1; done",
			"with children":  "sleep 1000 & sleep 1000 | sleep 1000 & echo begun >&2; wait",
		} {
			for _, way := range []string{"read", "write"} {
				ctx, cancel := context.WithCancelCause(soon(t))
				cmd := script(text)
				cmd.Stderr = &on{f: func() { cancel(errEnough) }}
				var err error
				if way == "read" {
					_, err = execstream.Read(ctx, p, cmd, opts)
				} else {
					cmd.Stdin = zeros{}
					_, err = execstream.Write(ctx, p, cmd, opts)
				}
				require.ErrorIs(t, err, errEnough, "%s %s", name, way)
			}
		}
		p.idle(t)
	})
}

// deserting is a host that goes away once the command has begun: the far end reads an end of file, and nobody ends anything but itself.
type deserting struct {
	cluster.Executor
	exit error
}

func (d *deserting) Exec(ctx context.Context, cmd cluster.Command) error {
	r, w := io.Pipe()
	in := cmd.Stdin
	go func() { _, _ = io.Copy(w, in) }()
	cmd.Stdin = r
	cmd.Stderr = &on{f: func() { _ = w.Close() }}
	d.exit = d.Executor.Exec(ctx, cmd)
	_ = r.Close()
	return d.exit
}

func TestHostGoesAway(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		for name, text := range map[string]string{
			"silent":         "echo begun >&2; sleep 1000",
			"closed":         "exec >&-; echo begun >&2; sleep 1000",
			"endless output": "echo begun >&2; cat /dev/zero",
			"stubborn":       "trap '' TERM; echo begun >&2; cat; while :; do sleep 1; done",
			"with children":  "sleep 1000 & sleep 1000 | sleep 1000 & echo begun >&2; wait",
		} {
			d := &deserting{Executor: p}
			_, err := readAll(t, d, script(text), opts)
			require.ErrorIs(t, err, execstream.ErrTruncated, name)
			require.Error(t, d.exit, "the far end's exit code")

			never, w := io.Pipe() // nothing is sent: most of these commands would not take it
			_, err = writeAll(t, d, script(text), never, opts)
			require.ErrorIs(t, err, execstream.ErrTruncated, name)
			require.Error(t, d.exit, "the far end's exit code")
			_ = w.Close()
		}
		p.idle(t)
	})
}

// The command that was given a part of its input is ended before it could take that for the whole.
func TestCommandNeverSeesAFalseEnd(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		for _, size := range []int{0, 5, 70_000, 1<<20 - 1, 1 << 20, 3 << 20} {
			never, w := io.Pipe()
			d := &deserting{Executor: p}
			cmd := script("trap '' TERM; echo begun >&2; cat >part; : >whole")
			_, err := writeAll(t, d, cmd, io.MultiReader(bytes.NewReader(random(size)), never), opts)
			require.ErrorIs(t, err, execstream.ErrTruncated)
			p.idle(t)
			require.NoFileExists(t, filepath.Join(p.dir, "whole"))
			_ = w.Close()
		}
	})
}

func TestFarEndThatCannotWork(t *testing.T) {
	for name, programs := range map[string]string{
		"no sha256sum": "sh cat tee dd wc sleep",
		"no tee":       "sh cat sha256sum dd wc sleep",
		"no dd":        "sh cat sha256sum tee wc sleep",
		"no sh":        "cat",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t)
			dir := filepath.Join(t.TempDir())
			for _, prog := range strings.Fields(programs) {
				path, err := lookPath(prog)
				require.NoError(t, err)
				require.NoError(t, os.Symlink(path, filepath.Join(dir, prog)))
			}
			e := poor{p, dir}
			_, err := readAll(t, e, command("cat", "/dev/null"), nil)
			require.ErrorIs(t, err, cluster.ErrInvalid)
			require.ErrorContains(t, err, "pod app/db, container server: ")
			_, err = writeAll(t, e, script("cat >data"), strings.NewReader("data"), nil)
			require.ErrorIs(t, err, cluster.ErrInvalid)
			p.idle(t)
		})
	}
	_, err := readAll(t, newPod(t), command("true"), &execstream.Options{Agent: "nosuchagent"})
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, "the far end did not start (exit code 127)")
}

// poor is a container with few programs.
type poor struct {
	cluster.Executor
	path string
}

func (p poor) Exec(ctx context.Context, cmd cluster.Command) error {
	cmd.Args = append([]string{"/usr/bin/env", "PATH=" + p.path}, cmd.Args...)
	return p.Executor.Exec(ctx, cmd)
}

func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
