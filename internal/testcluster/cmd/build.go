//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// kubernetesVersion is that of internal/testcluster/kube/go.mod. The server tells it to clients, who check it.
const kubernetesVersion = "v1.36.3"

// buildFlags are those of everything in the module, so that what it has in common is compiled once.
func buildFlags() []string {
	const version = "k8s.io/component-base/version"
	return []string{
		"-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false",
		"-ldflags=-s -w -X " + version + ".gitVersion=" + kubernetesVersion + " -X " + version + ".gitMajor=1 -X " + version + ".gitMinor=36 -X " +
			version + ".gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=" + kubernetesVersion,
	}
}

// keyed is a name that holds what is built of the files of the module, so that a cache never gives an old one.
func keyed(prefix, source string, files []string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), buildFlags())
	for _, name := range append([]string{"go.mod", "go.sum"}, files...) {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	return fmt.Sprintf("%s-%x", prefix, h.Sum(nil)[:8]), nil
}

// goTool runs the go command in the module.
func goTool(ctx context.Context, source string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := cmd.Output()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	return out, err
}

// buildKube builds the binary.
func buildKube(ctx context.Context, cache, source string) (string, error) {
	name, err := keyed("kube", source, []string{"main.go"})
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, name)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	temp := fmt.Sprintf("%s.%d", target, os.Getpid())
	if _, err := goTool(ctx, source, append(append([]string{"build"}, buildFlags()...), "-o", temp, ".")...); err != nil {
		return "", err
	}
	return target, os.Rename(temp, target)
}

// snapshots is the module whose folder has the definitions of the API of snapshots.
const snapshots = "github.com/kubernetes-csi/external-snapshotter"

// buildCSI builds our driver and the programs that stand between it and Kubernetes, and puts the definitions of their API beside them.
func buildCSI(ctx context.Context, cache, source string) (string, error) {
	driver, err := filepath.Glob(filepath.Join(source, "cmd/btrcsi/*.go"))
	if err != nil {
		return "", err
	}
	for i, file := range driver {
		driver[i] = strings.TrimPrefix(file, source+"/")
	}
	name, err := keyed("csi", source, driver)
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, name)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	temp, err := os.MkdirTemp(cache, "csi.")
	if err != nil {
		return "", err
	}
	defer removeAll(temp)
	args := append(append([]string{"build"}, buildFlags()...), "-o", temp+"/", "./cmd/btrcsi",
		"github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner", snapshots+"/v8/cmd/csi-snapshotter", snapshots+"/v8/cmd/snapshot-controller")
	if _, err := goTool(ctx, source, args...); err != nil {
		return "", err
	}
	module, err := goTool(ctx, source, "list", "-m", "-f", "{{.Dir}}", snapshots+"/client/v8")
	if err != nil {
		return "", err
	}
	for _, kind := range []string{"volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots"} {
		definition := "snapshot.storage.k8s.io_" + kind + ".yaml"
		if err := copyFile(filepath.Join(strings.TrimSpace(string(module)), "config/crd", definition), filepath.Join(temp, definition)); err != nil {
			return "", err
		}
	}
	return target, install(temp, target)
}

// install moves a folder to its place in the cache, unless another process was quicker.
func install(temp, target string) error {
	if err := os.Rename(temp, target); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
