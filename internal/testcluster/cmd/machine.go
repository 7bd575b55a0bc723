//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Addresses inside the network namespace. The API server has the port and one of the addresses of the service "kubernetes", so that pods reach it without a proxy.
const (
	apiPort    = 443
	serviceNet = "10.0.0.0/24"
	serviceIP  = "10.0.0.1"
	podNet     = "10.244.0.0/16"
	gateway    = "10.244.0.1"
	nodeName   = "127.0.0.1"
)

// machine is a running cluster.
type machine struct {
	dir   string
	parts *parts

	mu        sync.Mutex
	processes map[string]*process
	stopped   bool
	node      *exec.Cmd
	closers   []func()
}

// process is a component that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (c *machine) path(names ...string) string {
	return filepath.Join(append([]string{c.dir}, names...)...)
}

// start brings the cluster up and returns when a pod can be made.
func (c *machine) start(ctx context.Context) error {
	for _, dir := range []string{"bin", "logs", "etcd", "volumes"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil { //nolint:gosec // containers of any user read what is in volumes
			return err
		}
	}
	for _, name := range components {
		if err := os.Symlink(c.parts.Kube, c.path("bin", name)); err != nil {
			return err
		}
	}
	for name, program := range storage {
		if err := os.Symlink(filepath.Join(c.parts.CSI, program), c.path("bin", name)); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Chmod(c.dir, 0o755), newAuthority(c.path("pki")), linkUp("lo"), addAddress("lo:1", serviceIP)); err != nil { //nolint:gosec // as above
		return err
	}
	if err := copyFile(c.path("pki", "admin.kubeconfig"), c.path("kubeconfig")); err != nil {
		return err
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if err := c.launch(name); err != nil {
			return err
		}
	}
	if err := c.startNode(); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	// Storage gets ready while the node does.
	stored := make(chan error, 1)
	go func() { stored <- c.startStorage(ctx, client) }()
	if err := errors.Join(c.ready(ctx, client), <-stored); err != nil {
		return err
	}
	if err := c.serveNames(ctx, client); err != nil {
		return err
	}
	return c.serveControl()
}

func (c *machine) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.path("kubeconfig"))
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// launch starts a component of the control plane.
func (c *machine) launch(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.processes == nil {
		c.processes = map[string]*process{}
	}
	if c.processes[name] != nil {
		return fmt.Errorf("%s runs already", name)
	}
	return c.run(name)
}

// run starts a component; c.mu is held.
func (c *machine) run(name string) error {
	if c.stopped {
		return errors.New("the cluster is being stopped")
	}
	out, err := os.OpenFile(c.path("logs", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(c.path("bin", name), c.flags(name)...) // ended by stop; the paths are ours
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, out.Close())
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	c.processes[name] = p
	go func() {
		defer close(p.done)
		_ = cmd.Wait()  // how a component ends is in its log
		_ = out.Close() // as is this
		if reborn[name] {
			go c.again(name, p)
		}
	}()
	return nil
}

// again starts a component that has ended by itself, after a while.
func (c *machine) again(name string, p *process) {
	time.Sleep(200 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.processes[name] == p && !c.stopped {
		_ = c.run(name) // a program that cannot be started shows when it is used
	}
}

// end kills a component: the state that counts is in etcd, and tests want ends that are not announced.
func (c *machine) end(name string) error {
	c.mu.Lock()
	p := c.processes[name]
	delete(c.processes, name)
	c.mu.Unlock()
	if p == nil {
		return fmt.Errorf("%s does not run", name)
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
	return nil
}

// stop ends everything and removes what the node made outside its namespaces.
func (c *machine) stop(ctx context.Context) error {
	for _, f := range c.closers {
		f()
	}
	c.stopNode()
	c.mu.Lock()
	c.stopped = true
	names := make([]string, 0, len(c.processes))
	for name := range c.processes {
		names = append(names, name)
	}
	c.mu.Unlock()
	for _, name := range names {
		_ = c.end(name) // it is there
	}
	return removeCgroups(ctx, c.cgroup())
}

// tails shows the last lines of each log, for a cluster that does not start.
func (c *machine) tails() string {
	var text strings.Builder
	files, _ := filepath.Glob(c.path("logs", "*.log")) // the pattern is good
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fmt.Fprintf(&text, "--- %s\n%s\n", filepath.Base(file), data[max(0, len(data)-2000):])
	}
	return text.String()
}

// await calls try until it succeeds.
func await(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; last: %w", what, context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// listen opens a socket of the cluster's folder.
func (c *machine) listen(name string) (net.Listener, error) {
	l, err := net.Listen("unix", c.path(name)) //nolint:noctx // closed by stop
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, func() { _ = l.Close() })
	return l, nil
}
