//go:build e2e && linux

package session_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// The shells of container images.
func TestShells(t *testing.T) {
	for _, name := range []string{"dash", "bash", "busybox"} {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			programs := map[string]string{"sh": path}
			if name == "busybox" {
				programs["sleep"], programs["cat"] = path, path
			}
			realSessions(t, programs)
		})
	}
}
