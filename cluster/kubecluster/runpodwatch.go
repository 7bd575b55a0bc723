package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/davit-project/davit/cluster"
)

// sight is what is known of a pod: its last state, or why no other will be known.
type sight struct {
	// ended is closed once the main container has ended, or will not be heard of again.
	ended chan struct{}

	mu      sync.Mutex
	pod     *corev1.Pod
	err     error
	changed chan struct{}
	over    bool
}

// watch keeps an eye on the pod until it is gone or ctx ends.
func (r *podRun) watch(ctx context.Context) *sight {
	s := &sight{ended: make(chan struct{}), changed: make(chan struct{})}
	s.see(r.live, r.w.main)
	r.running.Go(func() { r.keepWatching(ctx, s) })
	return s
}

func (s *sight) see(pod *corev1.Pod, main string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pod = pod
	s.wake(terminated(pod, main) != nil || isTerminal(pod))
}

func (s *sight) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.wake(true)
}

// wake is called with the lock held.
func (s *sight) wake(over bool) {
	close(s.changed)
	s.changed = make(chan struct{})
	if over && !s.over {
		s.over = true
		close(s.ended)
	}
}

// look returns the last state, and a channel that is closed when there is another.
func (s *sight) look() (*corev1.Pod, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pod, s.changed, s.err
}

// until waits for a state of the pod. The error is why there will be none, or ctx's cause.
func (s *sight) until(ctx context.Context, is func(*corev1.Pod) bool) (*corev1.Pod, error) {
	for {
		pod, changed, err := s.look()
		switch {
		case ctx.Err() != nil:
			return pod, context.Cause(ctx)
		case err != nil:
			return pod, err
		case is(pod):
			return pod, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// errGone means that the pod that was watched does not exist any more.
var errGone = errors.New("the pod is gone")

// keepWatching asks for the pod, watches it from there, and asks again when the watch ends, which each does after some minutes. Without the right to
// watch it asks every few seconds.
func (r *podRun) keepWatching(ctx context.Context, s *sight) {
	denied := patient{most: deniedPatience}
	logged := time.Time{}
	for pause := 100 * time.Millisecond; ; {
		begun := time.Now()
		err := r.lookOnce(ctx, s)
		switch refused := errors.Is(err, errRefused); {
		case ctx.Err() != nil, err == nil:
			return
		case errors.Is(err, errGone):
			s.fail(r.lost(s))
			return
		case denied.exhausted(refused):
			s.fail(err)
			return
		}
		if !errors.Is(err, errWatchEnded) && time.Since(logged) > time.Minute {
			logged = time.Now()
			r.log.WarnContext(ctx, "a pod is looked for again", "error", err)
		}
		if time.Since(begun) > logPause {
			pause = 100 * time.Millisecond
		}
		if sleep(ctx, pause, nil) != nil {
			return
		}
		pause = min(2*pause, logPause)
	}
}

var (
	// errRefused means that the pod itself may not be read.
	errRefused = errors.New("the pod may not be read")
	// errWatchEnded is how a watch ends that nothing is wrong with.
	errWatchEnded = errors.New("the watch has ended")
)

// lookOnce asks for the pod and watches it as long as a watch lasts. It returns nil when nothing more is to be seen.
func (r *podRun) lookOnce(ctx context.Context, s *sight) error {
	pods := r.c.clients.Kube.CoreV1().Pods(r.w.pod.Namespace)
	pod, err := pods.Get(ctx, r.w.pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return errGone
	case errors.Is(classifyAll(err), cluster.ErrDenied):
		return fmt.Errorf("%w: %w", errRefused, apiError("get", r.w.ref(), err))
	case err != nil:
		return err
	}
	if over, err := r.note(ctx, s, pod); over || err != nil {
		return err
	}
	w, err := pods.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, r.w.pod.Name).String(), ResourceVersion: pod.ResourceVersion,
	})
	if err != nil {
		return apiError("watch", r.w.ref(), err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.ResultChan():
			if !ok {
				return errWatchEnded
			}
			if over, err := r.take(ctx, s, e); over || err != nil {
				return err
			}
		}
	}
}

// take takes in an event of a watch and tells whether it is the last one that matters.
func (r *podRun) take(ctx context.Context, s *sight, e watch.Event) (over bool, err error) {
	pod, ok := e.Object.(*corev1.Pod)
	switch {
	case e.Type == watch.Error:
		return false, apierrors.FromObject(e.Object)
	case !ok || pod.Name != r.w.pod.Name:
		return false, nil
	case e.Type == watch.Deleted:
		return false, errGone
	}
	return r.note(ctx, s, pod)
}

// note takes in a state of the pod and tells whether it is the last one that matters.
func (r *podRun) note(ctx context.Context, s *sight, pod *corev1.Pod) (over bool, err error) {
	if pod.UID != r.live.UID {
		return false, errGone
	}
	before, _, _ := s.look()
	if pod.DeletionTimestamp != nil && (before.DeletionTimestamp == nil || before == r.live) {
		r.log.WarnContext(ctx, "somebody is deleting the pod: its end is awaited")
	}
	s.see(pod, r.w.main)
	return r.w.ended(pod), nil
}

// lost says what is known of a pod that is gone.
func (r *podRun) lost(s *sight) error {
	pod, _, _ := s.look()
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue {
			return fmt.Errorf("%s: %w: it was deleted while it was awaited: %s: %s", r.w, cluster.ErrLost, condition.Reason, brief(condition.Message))
		}
	}
	return fmt.Errorf("%s: %w: somebody deleted it while it was awaited", r.w, cluster.ErrLost)
}

// classifyAll is classify for any error, nil included.
func classifyAll(err error) error {
	if err == nil {
		return nil
	}
	return classify(err)
}
