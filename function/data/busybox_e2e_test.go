//go:build e2e

package data

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// busybox is a folder with what busybox has, and nothing else.
func busybox(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("busybox")
	require.NoError(t, err, "this test needs busybox")
	list, err := exec.Command(program, "--list").Output()
	require.NoError(t, err)
	bin := t.TempDir()
	for _, name := range strings.Fields(string(list)) {
		require.NoError(t, os.Symlink(program, filepath.Join(bin, name)))
	}
	return bin
}

// TestExecSourceOfBusybox reads a tree of a container that has nothing but busybox.
func TestExecSourceOfBusybox(t *testing.T) {
	local, claim := oneContainer(t, map[string]string{"PATH": busybox(t)})
	testExecSource(t, local, claim)
}
