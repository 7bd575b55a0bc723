//go:build unix

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/davit-project/davit/cluster"
)

// Exec runs a command with the environment and working directory of a container; see cluster.Executor.
func (c *Cluster) Exec(ctx context.Context, cmd cluster.Command) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	p, err := c.findPod(cmd.Namespace, cmd.Pod)
	if err != nil {
		return err
	}
	container, err := p.container(cmd.Container)
	if err != nil {
		return err
	}
	if len(cmd.Args) == 0 {
		return fmt.Errorf("%w: %s, container %s: no command", cluster.ErrInvalid, p, container)
	}
	if s := p.status(); !s.running {
		return fmt.Errorf("%s: %w", p, cluster.ErrNotRunning)
	}
	proc := exec.Command("/bin/sh", append([]string{p.file(filepath.Join("c", container, "exec.sh"))}, cmd.Args...)...)
	proc.Env = []string{"PATH=" + c.opts.Env["PATH"], p.mark()}
	proc.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	broken, over := make(chan error, 3), &atomic.Bool{}
	defer over.Store(true)
	// always a pipe, as in a container; the copying waits for a slow reader
	proc.Stdout, proc.Stderr = writer{cmd.Stdout, broken, over}, writer{cmd.Stderr, broken, over}
	if cmd.Stdin != nil {
		stdin, err := proc.StdinPipe()
		if err != nil {
			return err
		}
		go func() { // not waited for: the command may end without having read everything
			if _, err := io.Copy(stdin, reader{cmd.Stdin, broken}); err != nil {
				return // the command has ended, or is being ended: it must not see an end of file
			}
			_ = stdin.Close()
		}()
	}
	if err := proc.Start(); err != nil {
		return fmt.Errorf("%s, container %s: start: %w", p, container, err)
	}
	done := make(chan error, 1)
	go func() { done <- proc.Wait() }()
	if p.has("ending") || !p.has("pod.json") { // who ends the pod may have looked for its processes before there was this one
		c.endSession(context.WithoutCancel(ctx), proc.Process.Pid, done)
		return fmt.Errorf("%s: %w: it is being removed", p, cluster.ErrNotRunning)
	}
	select {
	case err = <-done:
	case err = <-broken:
		c.endSession(context.WithoutCancel(ctx), proc.Process.Pid, done)
		return fmt.Errorf("%s, container %s: %w", p, container, err)
	case <-ctx.Done():
		c.endSession(context.WithoutCancel(ctx), proc.Process.Pid, done)
		return context.Cause(ctx)
	}
	select {
	case stream := <-broken:
		return fmt.Errorf("%s, container %s: %w", p, container, stream)
	default:
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code := exit.ExitCode()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			code = 128 + int(ws.Signal())
		}
		return &cluster.ExitError{What: fmt.Sprintf("%s, container %s", p, container), Code: code}
	}
	return err
}

// endSession ends the processes of an exec'd command.
func (c *Cluster) endSession(ctx context.Context, session int, done <-chan error) {
	deadline := time.Now().Add(c.opts.Grace)
	sig := syscall.SIGTERM
	asked := map[int]bool{} // once: a handler that tidies up is not to begin again and again
	var killed time.Time    // a machine that stalls may come here for the first time when all the time is over
	for wait := newPoll(); ; {
		pids, err := processes(session)
		if err != nil || len(pids) == 0 || !killed.IsZero() && time.Since(killed) > c.opts.Grace { // the last: the kernel does not let go of it
			break
		}
		if now := time.Now(); now.After(deadline) && killed.IsZero() {
			sig, killed = syscall.SIGKILL, now
		}
		for _, pid := range pids {
			if sig == syscall.SIGKILL || !asked[pid] {
				asked[pid] = true
				_ = syscall.Kill(pid, sig) // it may have ended by itself
			}
		}
		_ = wait.wait(ctx)
	}
	copied(c, done) // the caller has the cause
}

// writer drops what nobody wants, or not any more, and tells when who wants it fails.
type writer struct {
	to     io.Writer
	broken chan<- error
	// over is set when Exec has returned: it may have given up a copy that does not end.
	over *atomic.Bool
}

func (w writer) Write(p []byte) (int, error) {
	if w.to == nil || w.over.Load() {
		return len(p), nil
	}
	n, err := w.to.Write(p)
	if err != nil {
		w.broken <- fmt.Errorf("take its output: %w", err)
	}
	return n, err
}

// reader tells when the input fails: that is not its end.
type reader struct {
	from   io.Reader
	broken chan<- error
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && err != io.EOF {
		r.broken <- fmt.Errorf("read its input: %w", err)
	}
	return n, err
}

// container finds the container that is named, or the only one.
func (p *podDir) container(name string) (string, error) {
	var names []string
	for _, ct := range p.pod.Spec.Containers {
		if ct.Name == name {
			return name, nil
		}
		names = append(names, ct.Name)
	}
	if name != "" {
		return "", fmt.Errorf("%s has no container %q; it has %s: %w", p, name, strings.Join(names, ", "), cluster.ErrNotFound)
	}
	if len(names) > 1 {
		return "", fmt.Errorf("%s: %w; it has %s", p, cluster.ErrAmbiguous, strings.Join(names, ", "))
	}
	return names[0], nil
}
