//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/davit-project/davit/internal/testcluster/image"
	"github.com/davit-project/davit/internal/testserver"
)

// packages are Debian's, unpacked into a folder of ours; nothing is installed on the machine.
var packages = []string{"containerd", "runc", "containernetworking-plugins", "busybox-static", "btrfs-progs"}

// parts are what a cluster is made of, by path.
type parts struct {
	// Kube is the binary that is every component of Kubernetes.
	Kube string
	// CSI is the folder with the programs of storage and what the API server is told of them.
	CSI string
	// Root is the folder Debian's packages are unpacked in.
	Root string
	// Images are archives to import.
	Images []string
}

func (p *parts) save(dir string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "parts.json"), data, 0o600)
}

func loadParts(dir string) (*parts, error) {
	data, err := os.ReadFile(filepath.Join(dir, "parts.json"))
	if err != nil {
		return nil, err
	}
	p := &parts{}
	return p, json.Unmarshal(data, p)
}

// beside is what is wanted beside the cluster.
type beside struct{ servers, peers bool }

// prepare builds and downloads what is not in the cache, for the cluster and for what is wanted beside it.
func prepare(ctx context.Context, want beside) (*parts, error) {
	if !want.servers && !want.peers {
		return prepareCluster(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var servers error
	var wait sync.WaitGroup
	wait.Go(func() { servers = testserver.Fetch(ctx, want.peers) })
	p, err := prepareCluster(ctx)
	if err != nil {
		cancel() // the servers are of no use
	}
	wait.Wait()
	if err == nil && servers != nil {
		err = fmt.Errorf("fetch the servers of tests: %w", servers)
	}
	return p, err
}

func prepareCluster(ctx context.Context) (*parts, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(base, image.CacheName)
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	source, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/davit-project/davit/internal/testcluster").Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of the cluster: run it in a checkout of the project: %w", err)
	}
	module := strings.TrimSpace(string(source))
	p := &parts{}
	if p.Kube, err = buildKube(ctx, cache, filepath.Join(module, "kube")); err != nil {
		return nil, fmt.Errorf("build Kubernetes: %w", err)
	}
	if p.CSI, err = buildCSI(ctx, cache, filepath.Join(module, "kube")); err != nil {
		return nil, fmt.Errorf("build the CSI drivers and what goes with them: %w", err)
	}
	if p.Root, err = unpack(ctx, cache); err != nil {
		return nil, fmt.Errorf("unpack Debian's packages: %w", err)
	}
	if p.Images, err = images(ctx, cache, p.Root, filepath.Join(module, "..", "..")); err != nil {
		return nil, fmt.Errorf("make images: %w", err)
	}
	return p, nil
}

// unpack downloads Debian's packages with what they depend on and unpacks them.
func unpack(ctx context.Context, cache string) (string, error) {
	target := filepath.Join(cache, "debian-"+strings.Join(packages, "-"))
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	temp, err := os.MkdirTemp(cache, "debian.")
	if err != nil {
		return "", err
	}
	defer removeAll(temp)
	// The lists may be absent or old: a package that is not found is looked for again once.
	err = download(ctx, temp)
	if err != nil {
		if out, updated := exec.CommandContext(ctx, "apt-get", "update", "-q").CombinedOutput(); updated != nil {
			return "", fmt.Errorf("%w; apt-get update: %w\n%s", err, updated, out)
		}
		if err = download(ctx, temp); err != nil {
			return "", err
		}
	}
	archives, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil {
		return "", err
	}
	root := filepath.Join(temp, "root")
	for _, archive := range archives {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", archive, root).CombinedOutput(); err != nil { //nolint:gosec // paths are ours
			return "", fmt.Errorf("unpack %s: %w\n%s", filepath.Base(archive), err, out)
		}
	}
	return target, install(root, target)
}

// download fetches the packages. Libraries they need are on every Debian: only what they name themselves is fetched. Of btrfs-progs that is so for mkfs.btrfs.
func download(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"download", "-q"}, packages...)...) //nolint:gosec // names are ours
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download: %w\n%s", err, out)
	}
	return nil
}

// removeAll removes a folder of ours; what is left of one in the temporary folder harms nothing.
func removeAll(dir string) { _ = os.RemoveAll(dir) }
