//go:build e2e && linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const twoTasks = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: tasks}
actions:
  backup:
    phases:
    - func: KubeTask
      name: first
      args: {image: example.com/tools:1, namespace: shop, command: [sh, -c, "echo first >> '{{ .Options.log }}'"]}
    - func: KubeTask
      name: second
      args: {image: example.com/tools:1, namespace: shop, command: [sh, -c, "echo second >> '{{ .Options.log }}'"]}
`

// TestE2EFullDisk runs on state folders of all sizes from too small to large enough. Each run is complete, or says that there is no
// space and, given some, ends as if nothing had happened. It mounts a tmpfs, for which it must be root.
func TestE2EFullDisk(t *testing.T) {
	dir := t.TempDir()
	davit := filepath.Join(dir, "davit")
	build, err := exec.CommandContext(t.Context(), "go", "build", "-o", davit, ".").CombinedOutput()
	require.NoError(t, err, "%s", build)
	app, bp := filepath.Join(dir, "app.yaml"), filepath.Join(dir, "bp.yaml")
	require.NoError(t, os.WriteFile(app, []byte(sleeper), 0o600))
	require.NoError(t, os.WriteFile(bp, []byte(twoTasks), 0o600))

	outcomes := map[string]int{}
	for pages := 1; pages <= 48; pages++ {
		t.Run(fmt.Sprintf("%d pages", pages), func(t *testing.T) {
			disk, log := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.Mkdir(disk, 0o700))
			require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", pages*os.Getpagesize())))
			t.Cleanup(func() { assert.NoError(t, unix.Unmount(disk, 0), "nothing uses the disk any more") })
			run := func() (int, string) {
				var errs bytes.Buffer
				cmd := exec.CommandContext(t.Context(), davit, "run", "--state", disk, "--run", "r1", "--local", app,
					"-b", bp, "-a", "backup", "-d", "shop/db", "-o", "log="+log)
				cmd.Stderr = &errs
				if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
					require.NoError(t, err)
				}
				return cmd.ProcessState.ExitCode(), errs.String()
			}
			code, errs := run()
			ended := code == exitFailed && !strings.Contains(errs, "resume it with --run r1")
			outcomes[fmt.Sprintf("exit code %d, ended %t", code, ended || code == 0)]++
			if code == 0 {
				assert.Equal(t, "first\nsecond\n", read(t, log))
				return
			}
			assert.Contains(t, []int{exitFailed, exitUsage}, code)
			// A pod's supervisor is a shell script; it cannot always tell why it could not write.
			assert.Regexp(t, `no space left on device|is the disk full\?|the supervisor ended before it began`, errs)

			require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=8388608"))
			code, errs = run()
			if ended {
				assert.Equal(t, exitFailed, code, "a run that has ended stays as it is")
				return
			}
			require.Zero(t, code, errs)
			assert.Equal(t, "first\nsecond\n", read(t, log))
		})
	}
	t.Log(outcomes)
	assert.Greater(t, len(outcomes), 2, "sizes that are too small in several ways, and one that is enough")
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}
