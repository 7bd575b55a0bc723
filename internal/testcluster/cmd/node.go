//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/davit-project/davit/internal/testcluster"
)

// startNode starts the first process of the node, in namespaces of its own: when it ends, the kernel ends every container, and the mounts go too.
func (c *machine) startNode() error {
	if err := makeCgroups(c.cgroup()); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := os.Create(c.path("logs", "node.log"))
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()           // the child has it
	c.node = exec.Command(self, roleNode, c.dir) //nolint:noctx // ended by stopNode
	c.node.Stdout, c.node.Stderr = out, out
	c.node.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGKILL,
	}
	return c.node.Start()
}

func (c *machine) stopNode() {
	if c.node == nil || c.node.Process == nil {
		return
	}
	_ = c.node.Process.Kill() // it may have ended by itself
	_ = c.node.Wait()         // and was killed
}

// tellNode passes a request to the first process of the node.
func (c *machine) tellNode(ctx context.Context, request string) error {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.path("node"))
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node/"+request, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // read below
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // what there is of it
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}

// runNode is the first process of the node.
func runNode(ctx context.Context, dir string) error {
	p, err := loadParts(dir)
	if err != nil {
		return err
	}
	n := &machine{dir: dir, parts: p}
	if err := n.mounts(); err != nil {
		return fmt.Errorf("mounts of the node: %w", err)
	}
	if err := n.configure(); err != nil {
		return err
	}
	path := os.Getenv("PATH")
	for _, bin := range []string{"usr/sbin", "usr/bin", "bin", "sbin"} {
		path = filepath.Join(p.Root, bin) + ":" + path
	}
	if err := os.Setenv("PATH", n.path("bin")+":"+path); err != nil {
		return err
	}
	for _, name := range []string{testcluster.CSIDriver, "containerd"} {
		if err := n.launch(name); err != nil {
			return err
		}
	}
	err = await(ctx, "wait for containerd", func(ctx context.Context) error { return n.ctr(ctx, "version") })
	if err != nil {
		return err
	}
	for _, image := range p.Images {
		if err := n.ctr(ctx, "images", "import", image); err != nil {
			return err
		}
	}
	if err := n.launch("kubelet"); err != nil {
		return err
	}
	return n.serveNode()
}

// mounts hides what the kubelet, the network plugins and the shims write to whatever they are told.
func (c *machine) mounts() error {
	errs := []error{
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
	}
	for _, dir := range []string{"/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/run/containerd", "/run/opencontainer", "/etc/cni"} {
		errs = append(errs, os.MkdirAll(dir, 0o755), syscall.Mount("tmpfs", dir, "tmpfs", 0, "")) //nolint:gosec // as the system has them
	}
	// The kubelet sets these; a file in their place keeps the machine's own values.
	for name, value := range map[string]string{"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"} {
		file := c.path("sysctl-" + filepath.Base(name))
		errs = append(errs, os.WriteFile(file, []byte(value+"\n"), 0o600),
			syscall.Mount(file, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""))
	}
	return errors.Join(errs...)
}

// ctr runs containerd's client.
func (c *machine) ctr(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"-a", c.path("containerd.sock"), "-n", "k8s.io"}, args...)...) //nolint:gosec // ours
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ctr %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// serveNode takes requests until the end of the node.
func (c *machine) serveNode() error {
	l, err := c.listen("node")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.order(r.Context(), r.URL); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})}
	return server.Serve(l)
}

func (c *machine) order(ctx context.Context, u *url.URL) error {
	switch what, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); what {
	case "stop":
		return c.end(name)
	case "start":
		return c.launch(name)
	case "import":
		return c.ctr(ctx, "images", "import", u.Query().Get("path"))
	default:
		return fmt.Errorf("unknown request %q", u.Path)
	}
}
