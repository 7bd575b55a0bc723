//go:build linux

// Command testcluster runs a Kubernetes on this machine, for tests and to play with: etcd, kube-apiserver, controller manager, scheduler, kubelet and
// containerd, in namespaces of their own, so that nothing leaves the machine and ending one process ends it all.
//
//	testcluster                    stays until it is interrupted, and says how to use the cluster
//	testcluster -- COMMAND ARGS    runs the command beside the cluster and ends with its exit code
//
// With -servers it first builds and installs the storage servers that long tests start, with -peers also the programs that benchmarks compare with: beside the
// cluster there is no network to fetch them from.
//
// The command finds the cluster's folder in the environment variable DAVIT_TESTCLUSTER. Needs root, Go and Debian's apt. What is built or downloaded is kept in
// the user's cache folder; all of it can be removed at any time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/davit-project/davit/internal/testcluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcluster:", err)
	}
	os.Exit(code)
}

// The program calls itself again: in the network namespace of the cluster, and as the first process of the node.
const (
	roleCluster = "in-network"
	roleNode    = "node-init"
)

func run(ctx context.Context, args []string) (int, error) {
	if len(args) > 0 && args[0] == roleNode {
		return 1, runNode(ctx, args[1])
	}
	if len(args) > 0 && args[0] == roleCluster {
		return runCluster(ctx, args[1], args[2:])
	}
	var want beside
	flags := flag.NewFlagSet("testcluster", flag.ContinueOnError)
	flags.BoolVar(&want.servers, "servers", false, "get the storage servers of tests")
	flags.BoolVar(&want.peers, "peers", false, "get those and the programs that benchmarks compare with")
	command := []string{}
	if i := slices.Index(args, "--"); i >= 0 {
		args, command = args[:i], args[i+1:]
	}
	if err := flags.Parse(args); err != nil {
		return 2, err
	}
	if flags.NArg() > 0 {
		return 2, fmt.Errorf("unknown argument %q: want flags, and behind -- a command", flags.Arg(0))
	}
	if os.Geteuid() != 0 {
		return 1, errors.New("needs root: it makes namespaces, mounts and cgroups")
	}
	return prepareAndEnter(ctx, want, command)
}

// prepareAndEnter builds what is needed, where the network is still there, and goes on in a network namespace.
func prepareAndEnter(ctx context.Context, want beside, command []string) (int, error) {
	dir, err := os.MkdirTemp("", "davit-")
	if err != nil {
		return 1, err
	}
	defer removeAll(dir)
	parts, err := prepare(ctx, want)
	if err != nil {
		return 1, err
	}
	if err := parts.save(dir); err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	// The signals of a terminal reach the child by themselves; those sent to this process alone are passed on, and the child ends in order.
	cmd := exec.Command(self, append([]string{roleCluster, dir}, command...)...) //nolint:noctx // ended by a signal, in order
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("enter a network namespace: %w", err)
	}
	done := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer done()
	return exitCode(cmd.Wait())
}

// runCluster starts the cluster, runs the command beside it, if there is one, and ends the cluster.
func runCluster(ctx context.Context, dir string, command []string) (code int, err error) {
	parts, err := loadParts(dir)
	if err != nil {
		return 1, err
	}
	c := &machine{dir: dir, parts: parts}
	defer func() {
		if stopped := c.stop(context.WithoutCancel(ctx)); stopped != nil {
			code, err = max(code, 1), errors.Join(err, stopped)
		}
	}()
	begin := time.Now()
	if err := c.start(ctx); err != nil {
		return 1, fmt.Errorf("start the cluster: %w\n%s", err, c.tails())
	}
	if len(command) == 0 {
		fmt.Fprintf(os.Stdout, "Kubernetes %s is ready after %.0f s. In another terminal:\n\n  %s\n\nInterrupt ends it.\n", kubernetesVersion,
			time.Since(begin).Seconds(), c.enter())
		<-ctx.Done()
		return 0, nil
	}
	cmd := exec.Command(command[0], command[1:]...) // it is told to end, and is given time
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), c.environment()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it starts ends with it
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	end := func(s syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, s) } // nobody may be left
	defer end(syscall.SIGKILL)
	done := context.AfterFunc(ctx, func() { end(syscall.SIGTERM) })
	defer done()
	code, err = exitCode(cmd.Wait())
	if code == 0 && err == nil {
		code, err = c.clean(ctx)
	}
	return code, err
}

// clean fails when a run has left something in any namespace.
func (c *machine) clean(ctx context.Context) (int, error) {
	client, err := c.client()
	if err != nil {
		return 1, err
	}
	err = await(ctx, "what runs have left in the cluster", func(ctx context.Context) error {
		left, err := testcluster.Left(ctx, client, "")
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left behind: %v", left)
		}
		return err
	})
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// environment lets programs find the cluster.
func (c *machine) environment() []string {
	return []string{
		testcluster.Env + "=" + c.dir,
		"KUBECONFIG=" + filepath.Join(c.dir, "kubeconfig"),
		"PATH=" + filepath.Join(c.dir, "bin") + ":" + os.Getenv("PATH"),
	}
}

// enter is a command line that leads to the cluster from outside.
func (c *machine) enter() string {
	return fmt.Sprintf("nsenter --net=/proc/%d/ns/net env %s=%[3]s KUBECONFIG=%[3]s/kubeconfig PATH=%[3]s/bin:$PATH $SHELL", os.Getpid(), testcluster.Env, c.dir)
}

// exitCode is that of a command that has ended.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	default:
		return 1, err
	}
}
