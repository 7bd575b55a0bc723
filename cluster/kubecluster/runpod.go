package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

var _ cluster.PodRunner = (*Cluster)(nil)

// settleTime is how long a writer that blocks may hold up the return of RunPod once its pod is removed.
const settleTime = 5 * time.Second

// RunPod runs a pod to its end; see cluster.PodRunner.
//
// The pod ends when the containers of the request and of its override have ended; one that admission has put beside them, a proxy for example, may
// go on until RemovePod. A pod that cannot start is an error that names its events, and stays until RemovePod like one that has ended, unless the
// error is cluster.ErrInvalid: then it is removed. A pod that somebody deletes is cluster.ErrLost, once it is gone, whatever it has ended with by
// then: a command that is told to end may well exit with 0.
//
// Requests that fail for reasons that pass are repeated for as long as ctx lives, and are logged. The log is complete where Kubernetes kept it; what
// is known to be missing is logged. When its end cannot be read at all, an exit code of 0 is still a success only if the container has left results
// or no log was asked for, because what is missing may be outputs.
//
// The verbs are create, get, watch and delete on pods, get on pods/log, list on events, and create on secrets for a pod with a profile.
func (c *Cluster) RunPod(ctx context.Context, pod cluster.Pod) error {
	w, err := c.wanted(pod)
	if err != nil {
		return err
	}
	r := &podRun{c: c, w: w, out: pod.Log, results: pod.Results,
		log: c.opts.Logger.With(slog.String("namespace", pod.Namespace), slog.String("pod", pod.Name))}
	if ctx.Err() == nil {
		err = r.attend(ctx)
	}
	write := writeError{}
	switch {
	case ctx.Err() != nil:
		err = c.stop(ctx, w, context.Cause(ctx))
	case errors.As(err, &write):
		err = c.stop(ctx, w, write.err)
	case errors.Is(err, cluster.ErrInvalid) && r.live != nil: // nobody will remove it: to a caller, an invalid request has left nothing
		err = c.stop(ctx, w, err)
	}
	r.settle()
	return err
}

// podRun is one call of RunPod.
type podRun struct {
	c            *Cluster
	w            *wanted
	out, results io.Writer
	log          *slog.Logger

	// live is the pod once it exists.
	live *corev1.Pod
	// all ends what runs beside, and running waits for it.
	all     context.CancelFunc
	running sync.WaitGroup
}

// attend makes the pod, or finds it, and stays with it to its end.
func (r *podRun) attend(ctx context.Context) error {
	created, err := r.admit(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r.all = func() { cancel(nil) }
	if err := r.giveProfile(ctx, created); err != nil {
		return err
	}
	s := r.watch(ctx)
	st := r.newStarting()
	pod, err := r.awaitStart(ctx, s, st, func(pod *corev1.Pod) bool { return hasRun(pod, r.w.main) })
	if err != nil {
		return err
	}
	var logged chan error
	if r.out != nil && hasRun(pod, r.w.main) {
		logged = r.follow(ctx, s, cancel)
	}
	// the others may still be in want of something, and the main one wait for them
	if _, err := r.awaitStart(ctx, s, st, func(pod *corev1.Pod) bool { return haveBegun(pod, r.w.containers) }); err != nil {
		return err
	}
	pod, err = s.until(ctx, r.w.ended)
	if err != nil {
		return err
	}
	var unread error
	if logged != nil {
		select {
		case unread = <-logged:
		case <-ctx.Done(): // at once, also when the writer blocks
			return context.Cause(ctx)
		}
	}
	if unread != nil && !errors.Is(unread, errUnread) {
		return unread
	}
	return r.finish(ctx, pod, unread)
}

// follow copies the log beside. What keeps it from being read at all ends ctx; what keeps its end from being read is the answer.
func (r *podRun) follow(ctx context.Context, s *sight, cancel context.CancelCauseFunc) chan error {
	f := &follower{open: r.openLog, out: r.out, log: r.log, ended: s.ended}
	logged := make(chan error, 1)
	r.running.Go(func() {
		err := f.run(ctx)
		if err != nil && !errors.Is(err, errUnread) {
			cancel(err)
		}
		logged <- err
	})
	return logged
}

// openLog is the log of the main container. A pod that has taken the name meanwhile is noticed by whoever looks at the pod.
func (r *podRun) openLog(ctx context.Context, since time.Time, follow bool) (io.ReadCloser, error) {
	o := &corev1.PodLogOptions{Container: r.w.main, Follow: follow, Timestamps: true}
	if !since.IsZero() {
		o.SinceTime = &metav1.Time{Time: since}
	}
	stream, err := r.c.clients.Kube.CoreV1().Pods(r.w.pod.Namespace).GetLogs(r.w.pod.Name, o).Stream(ctx)
	ref := r.w.ref()
	ref.Resource = "pods/log"
	return stream, apiError("get", ref, err)
}

// finish writes the results of a pod that has ended and says how it went.
func (r *podRun) finish(ctx context.Context, pod *corev1.Pod, unread error) error {
	left := ""
	if t := terminated(pod, r.w.main); t != nil && !neverRan(t) {
		left = t.Message
	}
	if r.results != nil && left != "" {
		if _, err := io.WriteString(r.results, left); err != nil {
			return writeError{err}
		}
	}
	if err := r.outcome(ctx, pod); err != nil {
		if unread != nil {
			return fmt.Errorf("%w; %w", err, unread)
		}
		return err
	}
	if unread != nil {
		if left == "" || len(left) >= cluster.ResultsSize { // none, or more than was kept
			return fmt.Errorf("%s, container %s: it has ended with exit code 0, but %w: what is missing may be outputs", r.w, r.w.main, unread)
		}
		r.log.WarnContext(ctx, "lines of a pod's log are lost; the outputs that its agent wrote are not", "error", unread)
	}
	return nil
}

// settle waits for what runs beside, but not for a writer that blocks.
func (r *podRun) settle() {
	if r.all != nil {
		r.all()
	}
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(settleTime):
	}
}
