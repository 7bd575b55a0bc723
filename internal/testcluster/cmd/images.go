//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/internal/testcluster/image"
)

// images makes the images that every test can use, out of busybox and of davit from this checkout.
func images(ctx context.Context, cache, root, source string) ([]string, error) {
	tools, err := applets(ctx, filepath.Join(root, "bin/busybox"))
	if err != nil {
		return nil, err
	}
	davit := filepath.Join(cache, "davit")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", davit, "./cmd/davit") //nolint:gosec // paths are ours
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build davit: %w\n%s", err, out)
	}
	agent := append(tools[:len(tools):len(tools)],
		image.File{Path: "/bin/davit", Mode: 0o755, Source: davit}, image.File{Path: "/bin/kando", Link: "davit"})
	var archives []string
	for _, spec := range []image.Spec{
		{Name: testcluster.RootImage, Files: tools, Cmd: []string{"sleep", "2147483647"}},
		{Name: testcluster.BusyboxImage, Files: tools, User: "1000", Cmd: []string{"sh"}},
		{Name: testcluster.AgentImage, Files: agent, User: "1000", Cmd: []string{"sh"}},
	} {
		spec.Env = []string{"PATH=/bin"}
		archive, err := image.Build(ctx, spec, cache)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", spec.Name, err)
		}
		archives = append(archives, archive)
	}
	// Tests build or unpack these themselves, where there is no network.
	for _, spec := range []image.Spec{image.Postgres(davit), image.MariaDB(davit), image.MySQLTools("localhost/tools:1", davit), image.NewerPostgres()} {
		if err := image.Fetch(ctx, spec, cache); err != nil {
			return nil, err
		}
	}
	return archives, nil
}

// applets are busybox and a link for each of its programs.
func applets(ctx context.Context, busybox string) ([]image.File, error) {
	out, err := exec.CommandContext(ctx, busybox, "--list").Output() //nolint:gosec // path is ours
	if err != nil {
		return nil, err
	}
	files := []image.File{
		{Path: "/bin/busybox", Mode: 0o755, Source: busybox}, {Path: "/tmp", Mode: os.ModeSticky | 0o777, Dir: true},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n")},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nuser:x:1000:\n")},
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if name := lines.Text(); name != "busybox" {
			files = append(files, image.File{Path: "/bin/" + name, Link: "busybox"})
		}
	}
	return files, nil
}

// pauseImage is what holds the namespaces of a pod.
const pauseImage = testcluster.RootImage
