//go:build e2e

package repository

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/file"
)

// restic runs Debian's restic on the repository in dir.
func restic(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	out, err := resticErr(t, dir, args...)
	require.NoError(t, err, "restic %v: %s", args, out)
	return out
}

func resticErr(t *testing.T, dir string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "restic", append([]string{"-r", dir, "--no-cache"}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+testPassword)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		out.Write(errs.Bytes())
	}
	return out.Bytes(), err
}

// folder opens the folder as a bucket.
func folder(t *testing.T, dir string) *location.Bucket {
	t.Helper()
	b, err := location.Open(context.Background(), &location.Location{Type: location.TypeFile, Bucket: dir}, map[string]location.Opener{location.TypeFile: file.Open}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// openFolder opens the repository in the folder.
func openFolder(t *testing.T, dir string, opts *Options) *Repository {
	t.Helper()
	r, err := Open(t.Context(), folder(t, dir), testPassword, opts)
	require.NoError(t, err)
	return r
}

// initFolder makes a repository in a new folder.
func initFolder(t *testing.T) (*Repository, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repository")
	r, err := Init(t.Context(), folder(t, dir), testPassword, &Options{cost: 2})
	require.NoError(t, err)
	return r, dir
}

func TestResticOpensOurs(t *testing.T) {
	r, dir := initFolder(t)
	require.Contains(t, string(restic(t, dir, "cat", "config")), r.ID())
	restic(t, dir, "check", "--read-data")
	restic(t, dir, "key", "list")
	_, unlock, err := r.lock(t.Context(), true)
	require.NoError(t, err)
	out, err := resticErr(t, dir, "check")
	require.Error(t, err)
	require.Contains(t, string(out), "locked exclusively by PID")
	require.NoError(t, unlock())
}

func TestOursOpensRestics(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		for _, compression := range []string{"off", "max"} {
			t.Run(version+compression, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "repository")
				restic(t, dir, "init", "--repository-version", version)
				restic(t, dir, "backup", "--compression", compression, ".")
				r := openFolder(t, dir, nil)
				require.NoError(t, r.loadIndex(t.Context()))
				n := 0
				for p := range r.idx.all() {
					n++
					_, err := r.loadBlob(t.Context(), p.Handle, nil)
					require.NoError(t, err)
				}
				require.NotZero(t, n)
			})
		}
	}
}
