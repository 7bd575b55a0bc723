//go:build e2e && unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the program says is what it has done. It is built, because its pods run it.
func TestOnThisMachine(t *testing.T) {
	program, temp := filepath.Join(t.TempDir(), "rds"), t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, dir := range []string{temp, filepath.Dir(temp)} {
		require.NoError(t, os.Chmod(dir, 0o711)) //nolint:gosec // PostgreSQL runs as another user
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	var said, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &faults
	require.NoError(t, cmd.Run(), "%s%s", &said, &faults)
	require.Empty(t, faults.String())
	require.Equal(t, `instance shop has a snapshot and a dump
instance restored holds the same 10000 orders
after the delete there are 2 instances and 0 snapshots of ours
`, said.String())
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}
