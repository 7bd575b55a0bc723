//go:build unix

package localcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-project/davit/cluster"
)

// markName is the environment variable by which a pod's processes are known, whatever session they are in.
const markName = "DAVIT_POD_UID"

// podDir is a pod's folder and what it holds.
type podDir struct {
	dir string
	pod *corev1.Pod
}

func (p *podDir) file(name string) string { return filepath.Join(p.dir, name) }
func (p *podDir) root() string            { return p.file("root") }
func (p *podDir) uid() string             { return string(p.pod.UID) }
func (p *podDir) String() string          { return "pod " + p.pod.Namespace + "/" + p.pod.Name }
func (p *podDir) has(name string) bool    { _, err := os.Stat(p.file(name)); return err == nil }

// results is the file that a container may leave its outputs in.
func (p *podDir) results(container string) string {
	return p.file(filepath.Join("c", container, "results"))
}

// extras is what a pod of RunPod has that its spec does not show; nil for others.
type extras struct {
	profile []byte
	// main is the container that may leave results.
	main string
}

func (c *Cluster) podPath(namespace, name string) string {
	return filepath.Join(c.dir, "pods", namespace, name)
}

// findPod returns a pod that has been made; ErrNotFound for one that has not.
func (c *Cluster) findPod(namespace, name string) (*podDir, error) {
	if !validName.MatchString(namespace) || !validName.MatchString(name) {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, name, cluster.ErrNotFound)
	}
	return readPod(c.podPath(namespace, name))
}

func readPod(dir string) (*podDir, error) {
	data, err := os.ReadFile(filepath.Join(dir, "pod.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pod %s/%s: %w", filepath.Base(filepath.Dir(dir)), filepath.Base(dir), cluster.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	p := &podDir{dir: dir, pod: &corev1.Pod{}}
	if err := json.Unmarshal(data, p.pod); err != nil {
		return nil, fmt.Errorf("pod record %q is damaged: %w", dir, err)
	}
	return p, nil
}

// podsIn lists the pods of a namespace by name.
func (c *Cluster) podsIn(namespace string) ([]*podDir, error) {
	entries, err := os.ReadDir(filepath.Join(c.dir, "pods", namespace))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var pods []*podDir
	for _, e := range entries {
		p, err := readPod(c.podPath(namespace, e.Name()))
		if errors.Is(err, cluster.ErrNotFound) {
			continue // being made or removed
		}
		if err != nil {
			return nil, err
		}
		pods = append(pods, p)
	}
	return pods, nil
}

func (c *Cluster) allPods() ([]*podDir, error) {
	entries, err := os.ReadDir(filepath.Join(c.dir, "pods"))
	if err != nil {
		return nil, err
	}
	var all []*podDir
	for _, e := range entries {
		pods, err := c.podsIn(e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, pods...)
	}
	return all, nil
}

// podStatus is what the files say.
type podStatus struct {
	// alive: the supervisor lives, or a host is starting it.
	alive bool
	// begun: the supervisor has run.
	begun bool
	// running: past the init containers, and every container goes on.
	running bool
	// finished: everything has ended and was recorded.
	finished bool
	// ended: a container's main process has ended, though what it left in the background may go on.
	ended bool
	// lost: the supervisor ended without a record.
	lost bool
	// codes by container, of those that have ended.
	codes map[string]int
}

func (p *podDir) status() podStatus {
	s := podStatus{codes: map[string]int{}}
	s.finished = p.has("finished")
	alive, err := locked(p.file("lock"))
	s.alive = err == nil && alive
	s.begun = p.has("pid")
	s.finished = s.finished || p.has("finished") // it may have finished between the two looks
	s.lost = !s.alive && s.begun && !s.finished
	mains := 0
	for _, ct := range append(append([]corev1.Container{}, p.pod.Spec.InitContainers...), p.pod.Spec.Containers...) {
		if code, err := p.code(ct.Name); err == nil {
			s.codes[ct.Name] = code
		}
	}
	for _, ct := range p.pod.Spec.Containers {
		if _, ended := s.codes[ct.Name]; ended {
			mains++
		}
	}
	s.ended = mains > 0
	s.running = s.alive && s.begun && !s.finished && mains == 0 && p.has("running") && !p.has("ending")
	return s
}

func (p *podDir) code(container string) (int, error) {
	data, err := os.ReadFile(p.file(filepath.Join("c", container, "code")))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.TrimSpace(data)))
}

func (p *podDir) session() int {
	data, err := os.ReadFile(p.file("pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(string(bytes.TrimSpace(data)))
	return pid
}

func (p *podDir) started() time.Time {
	info, err := os.Stat(p.file("pid"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// start makes the pod, or finds it when it was made before, and sees that its supervisor was started exactly once.
func (c *Cluster) start(ctx context.Context, pod *corev1.Pod, more *extras) (*podDir, error) {
	p := &podDir{dir: c.podPath(pod.Namespace, pod.Name), pod: pod}
	if err := checkSpec(&pod.Spec); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	for wait := newPoll(); ; {
		lock, err := tryLock(p.file("lock"), os.O_CREATE)
		if errors.Is(err, fs.ErrNotExist) { // somebody removed the folder meanwhile
			err = os.MkdirAll(p.dir, 0o700)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if lock != nil {
			err := c.startLocked(context.WithoutCancel(ctx), p, more, lock)
			return p, errors.Join(err, lock.Close())
		}
		// the supervisor lives, or another host is about to start it
		if p.has("pid") {
			old, err := readPod(p.dir)
			if err == nil {
				return old, sameLabels(old.pod, pod)
			}
		}
		if err := wait.wait(ctx); err != nil {
			return nil, fmt.Errorf("%s: wait for its start: %w", p, err)
		}
	}
}

// sameLabels tells whether a pod that exists is the one that is wanted.
func sameLabels(old, pod *corev1.Pod) error {
	if maps.Equal(old.Labels, pod.Labels) && ownerOf(old) == ownerOf(pod) {
		return nil
	}
	return fmt.Errorf("%w: pod %s/%s %w and is not ours: its labels are %v of %q, not %v of %q; remove it or choose another name",
		cluster.ErrInvalid, old.Namespace, old.Name, cluster.ErrExists, old.Labels, ownerOf(old), pod.Labels, ownerOf(pod))
}

// ownerOf names the workload a pod belongs to; empty for none.
func ownerOf(pod *corev1.Pod) string {
	if len(pod.OwnerReferences) == 0 {
		return ""
	}
	return pod.OwnerReferences[0].Kind + "/" + pod.OwnerReferences[0].Name
}

// startLocked starts the supervisor unless it was started before.
func (c *Cluster) startLocked(ctx context.Context, p *podDir, more *extras, lock *os.File) error {
	if old, err := readPod(p.dir); err == nil {
		if err := sameLabels(old.pod, p.pod); err != nil {
			return err
		}
		if p.has("pid") {
			p.pod = old.pod
			return nil // it ran; its record says how it went
		}
	}
	p.pod.UID = types.UID(newUID())
	if err := c.prepare(p, more); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", p, err), c.trash(p.dir))
	}
	cmd := exec.Command("/bin/sh", p.file("run.sh"))
	cmd.Env = []string{"PATH=" + c.opts.Env["PATH"], p.mark()}
	cmd.ExtraFiles = []*os.File{lock} // file 3: the supervisor holds the lock as long as it lives
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("%s: start: %w", p, err), c.trash(p.dir))
	}
	go cmd.Wait() //nolint:errcheck // only to reap it: the result is in files, for whoever asks
	for wait := newPoll(); !p.has("pid"); {
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			if p.has("pid") {
				break // it began and ended between the two looks
			}
			// it cannot say why: nobody would read a pipe once this host is gone. Most often its first file has no room.
			return errors.Join(fmt.Errorf("%s: the supervisor ended before it began: is there room in %q?", p, c.dir),
				writeFile(p.file("probe"), make([]byte, 4096)))
		}
		if err := wait.wait(ctx); err != nil {
			return err
		}
	}
	c.log.Debug("pod started", "namespace", p.pod.Namespace, "pod", p.pod.Name, "session", cmd.Process.Pid)
	return nil
}

// prepare writes all that the supervisor needs. Files of an earlier start that came to nothing are replaced.
func (c *Cluster) prepare(p *podDir, more *extras) error {
	if err := os.MkdirAll(p.root(), 0o700); err != nil {
		return err
	}
	if err := c.mountAll(p); err != nil {
		return err
	}
	if more != nil && len(more.profile) > 0 {
		if err := writeFile(p.file("profile.json"), more.profile); err != nil {
			return err
		}
	}
	var inits, mains []string
	all := slices.Concat(p.pod.Spec.InitContainers, p.pod.Spec.Containers)
	for i := range all {
		ct := &all[i]
		if i < len(p.pod.Spec.InitContainers) {
			inits = append(inits, ct.Name)
		} else {
			mains = append(mains, ct.Name)
		}
		if err := c.prepareContainer(p, ct, more); err != nil {
			return err
		}
	}
	if err := writeFile(p.file("run.sh"), []byte(supervisorScript(p.dir, inits, mains))); err != nil {
		return err
	}
	return writeJSON(p.file("pod.json"), p.pod)
}

func (c *Cluster) prepareContainer(p *podDir, ct *corev1.Container, more *extras) error {
	env, err := c.environment(p, ct, more)
	if err != nil {
		return err
	}
	dir, err := below(p.root(), ct.WorkingDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	folder := p.file(filepath.Join("c", ct.Name))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	argv := append(slices.Clone(ct.Command), ct.Args...)
	for i := range argv {
		argv[i] = expand(argv[i], env)
	}
	if err := writeFile(filepath.Join(folder, "cmd.sh"), []byte(containerScript(dir, env, argv))); err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, "exec.sh"), []byte(containerScript(dir, env, nil)))
}

// remove ends a pod, verifies that all its processes have ended, and removes its folder. The claims stay. It honours the grace, then
// kills; ctx bounds the whole.
func (c *Cluster) remove(ctx context.Context, p *podDir) error {
	if err := c.end(ctx, p); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	if err := c.discard(ctx, p); err != nil {
		return fmt.Errorf("%s: remove its folder: %w", p, err)
	}
	c.log.Debug("pod removed", "namespace", p.pod.Namespace, "pod", p.pod.Name)
	return nil
}

// discard removes a pod's folder in one step, so that a host that dies meanwhile leaves all of it or nothing: half a folder could pass for a
// pod that never began, or for one that did.
func (c *Cluster) discard(ctx context.Context, p *podDir) error {
	for wait := newPoll(); ; {
		lock, err := tryLock(p.file("lock"), os.O_CREATE)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody else did
		}
		if err != nil {
			return err
		}
		if lock != nil {
			defer lock.Close() //nolint:errcheck // nothing was written
			if now, err := readPod(p.dir); err == nil && now.uid() != p.uid() {
				return nil // somebody else did, and it was started again
			}
			return c.trash(p.dir)
		}
		// most often somebody only looks at the lock; a start does not take long either
		if err := wait.wait(ctx); err != nil {
			return fmt.Errorf("its lock is held by another process: %w", err)
		}
	}
}

// trash removes a pod's folder; the caller holds its lock.
func (c *Cluster) trash(dir string) error {
	trash := filepath.Join(c.dir, "trash", newUID())
	if err := os.Rename(dir, trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeAll(trash)
}

// removeAll removes a folder, also when pods have made folders in it that may not be written.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o700) // before it is read
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// end ends all processes of a pod.
func (c *Cluster) end(ctx context.Context, p *podDir) error {
	if err := os.WriteFile(p.file("ending"), nil, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The session counts when the supervisor holds the lock now, or one of its processes is known by the mark: otherwise its number may be another's. It stays the pod's as long as any of its
	// processes lives, also when the supervisor has ended first.
	session := 0
	if alive, err := locked(p.file("lock")); err == nil && (alive || inSession(p.session(), p.mark())) {
		session = p.session()
	}
	deadline := time.Now().Add(c.opts.Grace)
	sig := syscall.SIGTERM
	asked := map[int]bool{}
	for wait := newPoll(); ; {
		pids, err := processes(session, p.mark())
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			sig = syscall.SIGKILL
		}
		for _, pid := range pids {
			if sig == syscall.SIGKILL || !asked[pid] {
				asked[pid] = true
				_ = syscall.Kill(pid, sig) // it may have ended by itself
			}
		}
		if err := wait.wait(ctx); err != nil {
			return fmt.Errorf("processes %v have not ended: %w", pids, err)
		}
	}
}

// mark is what the environment of the pod's processes holds.
func (p *podDir) mark() string { return markName + "=" + p.uid() }

// startBarePod starts a pod that was applied by itself.
func (c *Cluster) startBarePod(ctx context.Context, obj map[string]any) error {
	var pod corev1.Pod
	if err := convert(obj, &pod); err != nil {
		return err
	}
	_, err := c.start(ctx, &pod, nil)
	return err
}
