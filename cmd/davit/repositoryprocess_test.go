package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// called is a call of the program within the test.
type called struct {
	out, err bytes.Buffer
	signals  chan os.Signal
	stdin    io.Reader
}

func (c *called) run(args ...string) int {
	p := &program{
		args: append([]string{"davit"}, args...), stdin: c.stdin, stdout: &c.out, stderr: &c.err,
		getenv:     func(name string) string { return map[string]string{passwordEnv: "opensesame", "GOGC": "100"}[name] },
		interrupts: func() (<-chan os.Signal, func()) { return c.signals, func() {} },
		exit:       func(code int) { panic(code) },
	}
	return p.main(context.Background())
}

// A restore of a snapshot whose content is damaged in part restores the rest and has a code of its own.
func TestIncompleteRestore(t *testing.T) {
	dir := t.TempDir()
	at := "--location=file://" + filepath.Join(dir, "store")
	content := make([]byte, 1<<20)
	_, _ = rand.Read(content)
	source := filepath.Join(dir, "source")
	require.NoError(t, os.Mkdir(source, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(source, "large"), content, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "empty"), nil, 0o600))
	var c called
	require.Equal(t, 0, c.run("repository", "init", at), c.err.String())
	require.Equal(t, 0, c.run("repository", "backup", source, at), c.err.String())

	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "store", "data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > 1<<20 {
			return os.Remove(path)
		}
		return err
	}))
	target := filepath.Join(dir, "target")
	require.Equal(t, exitIncomplete, c.run("repository", "restore", "latest:"+source, "--target", target, at))
	require.Contains(t, c.err.String(), `"large": its content is missing`)
	require.FileExists(t, filepath.Join(target, "empty"))
	require.NoFileExists(t, filepath.Join(target, "large"))
}

// An interrupt ends a backup of a stream from which nothing comes, says what is left, and leaves no snapshot and no lock.
func TestInterruptedBackup(t *testing.T) {
	dir := t.TempDir()
	at := "--location=file://" + filepath.Join(dir, "store")
	r, w := io.Pipe()
	defer w.Close()
	c := called{signals: make(chan os.Signal, 1), stdin: r}
	require.Equal(t, 0, c.run("repository", "init", at), c.err.String())
	go func() {
		_, _ = w.Write([]byte("begun")) // returns once it was read
		c.signals <- syscall.SIGINT
	}()
	require.Equal(t, 130, c.run("repository", "backup", "--stdin-filename", "x", at))
	require.Contains(t, c.err.String(), "davit repository backup: ended by signal: interrupt: no snapshot was made")
	for _, kind := range []string{"snapshots", "locks"} {
		left, err := filepath.Glob(filepath.Join(dir, "store", kind, "*"))
		require.NoError(t, err)
		require.Empty(t, left)
	}
}
