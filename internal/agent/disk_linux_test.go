package agent_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/cluster"
)

// smallDisk mounts a file system of 1 MiB; ok is false where this user may not.
func smallDisk(t *testing.T) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	if unix.Mount("none", dir, "tmpfs", 0, "size=1m") != nil {
		return dir, false
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	return dir, true
}

// limited runs the command with a limit of 1 MiB on the size of files, for users who may not mount.
func limited(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	// Two units are in use for ulimit -f, 512 and 1024 bytes: 1 MiB or less.
	cmd.Args = append([]string{"sh", "-c", `trap "" XFSZ; ulimit -f 1024; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
}

func TestFullDisk(t *testing.T) {
	dir, mounted := smallDisk(t)
	want := map[bool]string{true: "no space left on device: the location is full", false: "file too large"}[mounted]
	p := profileOf(t, dir)
	require.Equal(t, result{}, call(t, nil, strings.NewReader("old"), "location", "push", "-p", p, "-s", "a", "-"))
	before := tree(t, dir)
	for _, key := range []string{"a", "b"} {
		cmd, errs := process(t, "location", "push", "-p", p, "-s", key, "-")
		cmd.Stdin = strings.NewReader(strings.Repeat("x", 3<<20))
		if !mounted {
			limited(t, cmd)
		}
		require.Equal(t, 1, exitCode(cmd.Run()), errs)
		require.Contains(t, errs.String(), want)
		require.Equal(t, before, tree(t, dir))
	}
	require.Equal(t, result{out: "old"}, call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", "-"))
}

func TestPullOntoAFullDisk(t *testing.T) {
	p := profileOf(t, t.TempDir())
	require.Equal(t, result{}, call(t, nil, strings.NewReader(strings.Repeat("x", 3<<20)), "location", "push", "-p", p, "-s", "a", "-"))
	dir, mounted := smallDisk(t)
	target := filepath.Join(dir, "target")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))
	cmd, errs := process(t, "location", "pull", "-p", p, "-s", "a", target)
	if !mounted {
		limited(t, cmd)
	}
	require.Equal(t, 1, exitCode(cmd.Run()), errs)
	require.Contains(t, errs.String(), "write the target")
	require.Equal(t, []string{"target"}, tree(t, dir))
	content, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "kept", string(content))
}

// The user root may write everywhere, so the process runs as another one where it can.
func TestReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	p := profileOf(t, dir)
	require.Equal(t, result{}, call(t, nil, strings.NewReader("old"), "location", "push", "-p", p, "-s", "a", "-"))
	before := tree(t, dir)
	readOnly := unix.Mount(dir, dir, "", unix.MS_BIND, "") == nil
	if readOnly {
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
		require.NoError(t, unix.Mount("none", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	} else {
		require.NotZero(t, syscall.Geteuid())
		require.NoError(t, os.Chmod(filepath.Join(dir, "pre"), 0o500))
		require.NoError(t, os.Chmod(dir, 0o500))
		t.Cleanup(func() {
			require.NoError(t, os.Chmod(dir, 0o700))
			require.NoError(t, os.Chmod(filepath.Join(dir, "pre"), 0o700))
		})
	}
	want := map[bool]string{true: "read-only file system: the location is read-only", false: "permission denied: the credential or user"}[readOnly]
	for _, args := range [][]string{{"push", "-"}, {"delete"}} {
		cmd, errs := process(t, append([]string{"location", "-p", p, "-s", "a"}, args...)...)
		cmd.Stdin = strings.NewReader("new")
		require.Equal(t, 1, exitCode(cmd.Run()))
		require.Contains(t, errs.String(), want)
		require.Equal(t, before, tree(t, dir))
	}
	require.Equal(t, result{out: "old"}, call(t, nil, nil, "location", "pull", "-p", p, "-s", "a", "-"))
}

// An output for whose result the disk has no room is printed, and the file has no part of it.
func TestResultsOnAFullDisk(t *testing.T) {
	dir, mounted := smallDisk(t)
	path := filepath.Join(dir, "results")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	want := result{out: outputLine("key", "canary")}
	kept := outputLine("key", "canary")
	if mounted {
		require.ErrorIs(t, os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 2<<20), 0o600), unix.ENOSPC)
		want.err = "the output key is not in the file of DAVIT_RESULTS_FILE: write " + path + ": no space left on device\n"
		kept = ""
	}
	require.Equal(t, want, call(t, map[string]string{cluster.ResultsEnv: path}, nil, "output", "key", "canary"))
	require.Equal(t, kept, content(t, path))
}
