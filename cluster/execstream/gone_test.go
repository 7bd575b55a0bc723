//go:build unix

package execstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	for range 6000 {
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

// unending are commands that do not end by themselves. They say so when they have begun.
var unending = map[string]string{
	"silent":         "echo begun >&2; sleep 1000",
	"closed":         "exec >&-; echo begun >&2; sleep 1000",
	"endless output": "echo begun >&2; cat /dev/zero",
	"stubborn":       "trap '' TERM; echo begun >&2; cat; while :; do sleep 1; done",
	"content":        "trap 'exit 0' TERM; echo begun >&2; while :; do sleep 0.1; done",
	"with children":  "sleep 1000 & sleep 1000 | sleep 1000 & echo begun >&2; wait",
}

// together runs the cases at the same time, however many there are: most of them wait for a command to be killed.
func together[K comparable, V any](t *testing.T, cases map[K]V, f func(t *testing.T, k K, v V)) {
	t.Helper()
	var all sync.WaitGroup
	for k, v := range cases {
		all.Go(func() { t.Run(fmt.Sprint(k), func(t *testing.T) { f(t, k, v) }) })
	}
	all.Wait()
}

func TestCancel(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		together(t, unending, func(t *testing.T, _, text string) {
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
				require.ErrorIs(t, err, errEnough, way)
			}
		})
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
		together(t, unending, func(t *testing.T, _, text string) {
			d := &deserting{Executor: p}
			_, err := readAll(t, d, script(text), opts)
			require.ErrorIs(t, err, execstream.ErrTruncated)
			require.Error(t, d.exit, "the far end's exit code")

			never, w := io.Pipe() // nothing is sent: most of these commands would not take it
			_, err = writeAll(t, d, script(text), never, opts)
			require.ErrorIs(t, err, execstream.ErrTruncated)
			require.Error(t, d.exit, "the far end's exit code")
			_ = w.Close()
		})
		p.idle(t)
	})
}

// The command that was given a part of its input is ended before it could take that for the whole.
func TestCommandNeverSeesAFalseEnd(t *testing.T) {
	each(t, func(t *testing.T, p pod, opts *execstream.Options) {
		sizes := map[int]string{0: "a", 5: "b", 70_000: "c", 1<<20 - 1: "d", 1 << 20: "e", 3 << 20: "f"}
		together(t, sizes, func(t *testing.T, size int, file string) {
			never, w := io.Pipe()
			d := &deserting{Executor: p}
			cmd := script("trap '' TERM; echo begun >&2; cat >part.$1; : >whole.$1", file)
			_, err := writeAll(t, d, cmd, io.MultiReader(bytes.NewReader(random(size)), never), opts)
			require.ErrorIs(t, err, execstream.ErrTruncated)
			_ = w.Close()
		})
		p.idle(t)
		whole, err := filepath.Glob(filepath.Join(p.dir, "whole.*"))
		require.NoError(t, err)
		require.Empty(t, whole, "the command saw an end of its input")
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
