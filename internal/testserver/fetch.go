//go:build linux

package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// cacheName is the folder, in the user's cache folder, of what is built and installed. All of it can be removed at any time.
const cacheName = "davit-testserver"

// tool is a program at one version: a command of a Go module, or a package of npm.
type tool struct{ name, source, version string }

var (
	versitygw = tool{"versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"}
	minio     = tool{"minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"}
	fakeGCS   = tool{"fake-gcs-server", "github.com/fsouza/fake-gcs-server", "v1.56.1"}
	rclone    = tool{"rclone", "github.com/rclone/rclone", "v1.75.1"}
	azurite   = tool{"azurite", "", "3.37.0"}
)

// Fetch builds and installs the servers, and restic, that are not in the cache yet, so that tests need no network; with peers also the programs that benchmarks compare
// with. Several processes may do so at once.
func Fetch(ctx context.Context, peers bool) error {
	dir, err := cacheDir()
	if err != nil {
		return err
	}
	// The compiler uses all processors by itself; npm waits for the network.
	var npm error
	var wait sync.WaitGroup
	wait.Go(func() { _, npm = azurite.fetch(ctx, dir) })
	var deb error
	wait.Go(func() { deb = installRestic(ctx) })
	tools := []tool{versitygw, minio, fakeGCS}
	if peers {
		tools = append(tools, rclone)
	}
	var errs []error
	for _, t := range tools {
		_, err := t.fetch(ctx, dir)
		errs = append(errs, err)
	}
	wait.Wait()
	return errors.Join(append(errs, npm, deb)...)
}

// installRestic installs Debian's restic, which repositories are compared with, if there is none.
func installRestic(ctx context.Context) error {
	if _, err := exec.LookPath("restic"); err == nil {
		return nil
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "restic"}} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q"}, args...)...) //nolint:gosec // the arguments are ours
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("install restic with apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// Rclone returns the path of the rclone program.
func Rclone(t testing.TB) string {
	t.Helper()
	return rclone.path(t)
}

// path returns the program of a Go module, the folder of a package of npm.
func (t tool) path(tb testing.TB) string {
	tb.Helper()
	dir, err := cacheDir()
	require.NoError(tb, err)
	path, err := t.fetch(tb.Context(), dir)
	require.NoError(tb, err)
	return path
}

func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, cacheName)
	return dir, os.MkdirAll(dir, 0o700)
}

// fetch makes the tool unless it is there. Who comes second waits for the first; what is there is whole, as it is renamed into its place.
func (t tool) fetch(ctx context.Context, dir string) (string, error) {
	target := filepath.Join(dir, t.name+"-"+t.version)
	if t.source != "" {
		target += "-" + runtime.Version()
	}
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	unlock, err := lock(target + ".lock")
	if err != nil {
		return "", fmt.Errorf("lock %s: %w", target, err)
	}
	defer unlock()
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	temp, err := os.MkdirTemp(dir, t.name+".")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }() // what stays harms nothing
	cmd := t.command(ctx, temp)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("get %s %s, which needs the network the first time: %s: %w\n%s", t.name, t.version, cmd, err, out)
	}
	made := temp
	if t.source != "" {
		made = filepath.Join(temp, t.name)
	}
	return target, os.Rename(made, target)
}

// command makes the tool in an empty folder.
func (t tool) command(ctx context.Context, dir string) *exec.Cmd {
	if t.source == "" {
		return exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", t.name+"@"+t.version) //nolint:gosec // ours
	}
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", "-ldflags=-s -w", t.source+"@"+t.version) //nolint:gosec // ours
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	return cmd
}

// lock waits for the file to be ours; it is given back by the function, or with the end of the process.
func lock(name string) (func(), error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
	}
}
