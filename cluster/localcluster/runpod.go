//go:build unix

package localcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// copyBuffer is what a follower of a log holds in memory.
const copyBuffer = 32 << 10

// tailSize bounds the last output in an ExitError.
const tailSize = 4 << 10

// logGrace is how long a log may be held open, at least, after the last command has ended. A short grace is for commands; a busy machine takes longer to copy what they
// wrote.
const logGrace = 5 * time.Second

// errRemoved means that somebody removed the pod whose end was awaited.
var errRemoved = errors.New("somebody removed it while it was awaited")

// RunPod runs a pod to its end; see cluster.PodRunner.
func (c *Cluster) RunPod(ctx context.Context, pod cluster.Pod) error {
	want, err := podFor(pod)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return c.stop(ctx, pod, nil)
	}
	main := mainOf(pod)
	p, err := c.start(ctx, want, &extras{pod.Profile, main})
	if err != nil {
		return err
	}
	type followed struct {
		tail []byte
		err  error
	}
	done := make(chan followed, 1)
	go func() {
		tail, err := c.follow(ctx, p, p.log(main), pod.Log)
		done <- followed{tail, err}
	}()
	var f followed
	select {
	case f = <-done:
	case <-ctx.Done(): // at once, also when the log's writer blocks
		err := c.stop(ctx, pod, nil)
		copied(c, done)
		return err
	}
	if errors.Is(f.err, errRemoved) { // whatever has its name now is not ours to end
		return fmt.Errorf("%s: %w: %w", p, cluster.ErrLost, f.err)
	}
	if f.err != nil {
		return c.stop(ctx, pod, f.err)
	}
	if err := p.copyResults(main, pod.Results); err != nil {
		return c.stop(ctx, pod, err)
	}
	return p.result(main, f.tail)
}

// RemovePod ends and removes a pod of RunPod or one that was applied by itself. One of a workload is ErrInvalid: Scale ends those.
func (c *Cluster) RemovePod(ctx context.Context, namespace, name string) error {
	p, err := c.findPod(namespace, name)
	if errors.Is(err, cluster.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if owner := ownerOf(p.pod); owner != "" {
		return fmt.Errorf("%w: %s belongs to %s: scale that instead", cluster.ErrInvalid, p, owner)
	}
	return c.remove(ctx, p)
}

// stop ends and removes a pod that is not to go on, also one of an earlier host, and returns why.
func (c *Cluster) stop(ctx context.Context, pod cluster.Pod, cause error) error {
	if cause == nil || ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	p, err := c.findPod(pod.Namespace, pod.Name)
	if errors.Is(err, cluster.ErrNotFound) {
		return cause
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	if want, err := podFor(pod); err != nil || sameLabels(p.pod, want) != nil {
		return cause // not ours
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Grace+10*time.Second)
	defer cancel()
	return errors.Join(cause, c.remove(bound, p))
}

// log is the file of the main container's log; the first container's where an override took the main one away.
func (p *podDir) log(main string) string {
	if !slices.ContainsFunc(p.pod.Spec.Containers, func(ct corev1.Container) bool { return ct.Name == main }) {
		main = p.pod.Spec.Containers[0].Name
	}
	return p.file(filepath.Join("c", main, "log"))
}

// copyResults copies the last cluster.ResultsSize bytes of what the main container left as its results. Whatever it left that is no
// plain file is as good as nothing.
func (p *podDir) copyResults(main string, to io.Writer) error {
	if to == nil {
		return nil
	}
	f, err := os.OpenFile(p.results(main), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil // most containers leave none
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil // it is the container's file
	}
	size := min(info.Size(), cluster.ResultsSize)
	_, err = io.Copy(to, io.NewSectionReader(f, info.Size()-size, size))
	return err
}

// follow copies a log from its beginning until the pod has ended, and returns its last bytes.
func (c *Cluster) follow(ctx context.Context, p *podDir, log string, to io.Writer) ([]byte, error) {
	if to == nil {
		to = io.Discard
	}
	var file *os.File
	defer func() {
		if file != nil {
			file.Close() //nolint:errcheck // read only
		}
	}()
	var tail []byte
	var ended time.Time
	buf := make([]byte, copyBuffer)
	wait := newPoll()
	for {
		s := p.status() // before the log is read: what was written until the end is then read too
		if file == nil {
			f, err := os.Open(log)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			file = f
		}
		for file != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			n, err := file.Read(buf)
			if n > 0 {
				wait.reset()
				tail = append(tail, buf[:n]...)
				tail = tail[max(0, len(tail)-tailSize):]
				if _, err := to.Write(buf[:n]); err != nil {
					return nil, err
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: read its log: %w", p, err)
			}
		}
		if s.finished {
			return tail, nil
		}
		if s.lost { // its command may go on: who hears that it is lost must not meet it later
			return tail, c.end(ctx, p)
		}
		if now, err := readPod(p.dir); errors.Is(err, cluster.ErrNotFound) || err == nil && now.uid() != p.uid() {
			return nil, errRemoved
		}
		if len(s.codes) == len(p.pod.Spec.InitContainers)+len(p.pod.Spec.Containers) {
			// as in a container, what the main process left in the background ends with it
			if ended.IsZero() {
				ended = time.Now()
			}
			p.killStrays()
			if time.Since(ended) > max(c.opts.Grace, logGrace) {
				return tail, nil
			}
		}
		if err := wait.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// copied waits for the end of a copy, which a blocked writer, or a process that left the session and keeps the pipe open, may put off for ever. It waits in short rounds: a
// host that stalls for a long time has the copy stalled too.
func copied[T any](c *Cluster, done <-chan T) {
	const rounds = 50
	for range rounds {
		select {
		case <-done:
			return
		case <-time.After(max(c.opts.Grace, logGrace) / rounds):
		}
	}
}

// killStrays kills the processes that containers started; the supervisor's own do not know the root.
func (p *podDir) killStrays() {
	pids, err := processes(0, p.mark(), "DAVIT_ROOT="+p.root())
	if err != nil {
		return
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	}
}

// result says how a pod that has ended went.
func (p *podDir) result(main string, tail []byte) error {
	s := p.status()
	if s.lost {
		return fmt.Errorf("%s: %w: its supervisor was killed", p, cluster.ErrLost)
	}
	names := []string{}
	for _, ct := range p.pod.Spec.InitContainers {
		if code, ok := s.codes[ct.Name]; !ok || code != 0 {
			names = []string{ct.Name}
			break
		}
	}
	if len(names) == 0 {
		for _, ct := range p.pod.Spec.Containers {
			names = append(names, ct.Name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { // the main container speaks for the pod
		switch main {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	for _, name := range names {
		what := fmt.Sprintf("%s, container %s", p, name)
		if p.has(filepath.Join("c", name, "bad")) {
			return fmt.Errorf("%s: its log could not be written: is the disk full?", what)
		}
		code, ok := s.codes[name]
		if !ok {
			return fmt.Errorf("%s: %w", what, cluster.ErrLost)
		}
		if code != 0 {
			if name != main {
				tail = nil
			}
			return &cluster.ExitError{What: what, Code: code, Tail: lastLines(tail)}
		}
	}
	return nil
}

// lastLines leaves out a line that was cut at its beginning.
func lastLines(tail []byte) string {
	if i := bytes.IndexByte(tail, '\n'); len(tail) == tailSize && i >= 0 && i+1 < len(tail) {
		tail = tail[i+1:]
	}
	return string(tail)
}

// Sweep ends and removes the pods that carry all the labels.
func (c *Cluster) Sweep(ctx context.Context, labels map[string]string) ([]string, error) {
	if len(labels) == 0 {
		return nil, fmt.Errorf("%w: sweep without labels", cluster.ErrInvalid)
	}
	pods, err := c.allPods()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, p := range pods {
		if !carries(p, labels) {
			continue
		}
		if err := c.remove(ctx, p); err != nil {
			left = append(left, err.Error())
		}
	}
	return left, nil
}

func carries(p *podDir, labels map[string]string) bool {
	for k, v := range labels {
		if p.pod.Labels[k] != v {
			return false
		}
	}
	return true
}
