//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// configure writes the files of containerd, the kubelet and the network plugins, and finds containerd.
func (c *machine) configure() error {
	containerd := filepath.Join(c.parts.Root, "usr/bin/containerd")
	if _, err := exec.LookPath(containerd); err != nil {
		return err
	}
	replace := strings.NewReplacer("@DIR@", c.dir, "@ROOT@", c.parts.Root, "@PAUSE@", pauseImage, "@NET@", podNet, "@GATEWAY@", gateway, "@CGROUP@", "/"+c.cgroup())
	write := func(name, text string) error {
		path := c.path(name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(replace.Replace(text)), 0o600))
	}
	return errors.Join(
		os.Symlink(containerd, c.path("bin", "containerd")),
		write("containerd.toml", containerdConfig), write("kubelet.yaml", kubeletConfig), write("cni/10-net.conflist", networkConfig),
	)
}

// nodeFlags are the flags of a component that runs in the node's namespaces.
func (c *machine) nodeFlags(name string) []string {
	if name == "containerd" {
		return []string{"-c", c.path("containerd.toml")}
	}
	return []string{
		"--config=" + c.path("kubelet.yaml"), "--kubeconfig=" + c.path("pki", "kubelet.kubeconfig"), "--root-dir=" + c.path("kubelet"),
		"--cert-dir=" + c.path("kubelet-pki"), "--hostname-override=" + nodeName, "--node-labels=kubernetes.io/hostname=" + nodeName, "--v=2",
	}
}

const containerdConfig = `
version = 2
root = "@DIR@/containerd/root"
state = "@DIR@/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "@DIR@/containerd.sock"
[ttrpc]
  address = "@DIR@/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "@PAUSE@"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "@ROOT@/usr/lib/cni"
    conf_dir = "@DIR@/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "@ROOT@/usr/sbin/runc"
`

// The logs of containers are rotated early and often, so that tests meet it.
const kubeletConfig = `
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: 10250
healthzBindAddress: 127.0.0.1
healthzPort: 10248
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: @DIR@/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: @DIR@/pki/kubelet-server.crt
tlsPrivateKeyFile: @DIR@/pki/kubelet-server.key
containerRuntimeEndpoint: unix://@DIR@/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: @CGROUP@
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
resolvConf: ""
clusterDomain: cluster.local
clusterDNS: [@GATEWAY@]
evictionHard: {memory.available: "50Mi", nodefs.available: "1%", imagefs.available: "1%"}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
podLogsDir: @DIR@/podlogs
volumePluginDir: @DIR@/volumeplugins
maxPods: 250
syncFrequency: 10s
fileCheckFrequency: 5s
volumeStatsAggPeriod: 10s
containerLogMaxSize: 4Mi
containerLogMaxFiles: 3
containerLogMonitorInterval: 3s
`

const networkConfig = `{"cniVersion": "0.4.0", "name": "podnet", "plugins": [
 {"type": "bridge", "bridge": "pods0", "isGateway": true, "isDefaultGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "@DIR@/cni-addresses", "ranges": [[{"subnet": "@NET@", "gateway": "@GATEWAY@"}]]}}]}
`

// controllers of cgroups, version 1, that have hierarchies of their own.
func controllers() ([]string, error) {
	dirs, err := filepath.Glob("/sys/fs/cgroup/*")
	if err == nil && len(dirs) == 0 {
		err = errors.New("no cgroups at /sys/fs/cgroup")
	}
	return dirs, err
}

// cgroup is the parent of the cgroups of the cluster's pods.
func (c *machine) cgroup() string { return filepath.Base(c.dir) }

func makeCgroups(name string) error {
	dirs, err := controllers()
	if err != nil {
		return err
	}
	errs := []error{}
	for _, dir := range dirs {
		made := filepath.Join(dir, name)
		errs = append(errs, os.Mkdir(made, 0o755)) //nolint:gosec // as the system has them
		if filepath.Base(dir) != "cpuset" {
			continue
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			errs = append(errs, err, os.WriteFile(filepath.Join(made, file), data, 0o600))
		}
	}
	return errors.Join(errs...)
}

// removeCgroups removes them, the deepest first. Processes that were killed a moment ago may still be in them.
func removeCgroups(ctx context.Context, name string) error {
	dirs, err := controllers()
	if err != nil {
		return err
	}
	return await(ctx, "remove the cgroups", func(context.Context) error {
		var errs []error
		for _, dir := range dirs {
			errs = append(errs, removeFolders(filepath.Join(dir, name)))
		}
		return errors.Join(errs...)
	})
}

// removeFolders removes a folder with the folders in it; the files of a cgroup go with it.
func removeFolders(dir string) error {
	inside, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	errs := []error{err}
	for _, entry := range inside {
		if entry.IsDir() {
			errs = append(errs, removeFolders(filepath.Join(dir, entry.Name())))
		}
	}
	if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
		errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
	}
	return errors.Join(errs...)
}
