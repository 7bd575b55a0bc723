package kubecluster

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// obstacle is what keeps a pod from starting.
type obstacle int

const (
	noObstacle obstacle = iota
	// pulling: an image cannot be pulled, for now.
	pulling
	// configuring: a container cannot be created, for want of something that may be on its way.
	configuring
	// scheduling: no node takes the pod.
	scheduling
	// idling: nothing of it runs, and nobody says why.
	idling
	// hopeless: it will never start as it is.
	hopeless
)

// reasons are those a container waits for that are obstacles. Source: k8s.io/kubernetes, pkg/kubelet/images/types.go and pkg/kubelet/kuberuntime.
var reasons = map[string]obstacle{
	"ErrImagePull":               pulling,
	"ImagePullBackOff":           pulling,
	"RegistryUnavailable":        pulling,
	"ImageInspectError":          pulling,
	"SignatureValidationFailed":  pulling,
	"ErrImageNeverPull":          hopeless,
	"InvalidImageName":           hopeless,
	"CreateContainerConfigError": configuring,
	"CreateContainerError":       configuring,
	"RunContainerError":          configuring,
}

// starting follows a pod until its main container runs.
type starting struct {
	grace map[obstacle]time.Duration
	// met is what is in the way, and since when.
	met   obstacle
	since time.Time
	// idle is since when nothing of the pod runs.
	idle time.Time
}

// awaitStart returns the pod when its main container has begun or will not begin any more.
func (r *podRun) awaitStart(ctx context.Context, s *sight) (*corev1.Pod, error) {
	o := r.c.opts
	st := &starting{idle: time.Now(), grace: map[obstacle]time.Duration{
		pulling: o.ImageGrace, configuring: o.ConfigGrace, scheduling: o.ScheduleGrace, idling: o.StartTimeout,
	}}
	for {
		pod, changed, err := s.look()
		switch {
		case ctx.Err() != nil:
			return pod, context.Cause(ctx)
		case err != nil:
			return pod, err
		case pod.DeletionTimestamp != nil || hasRun(pod, r.w.main) || r.w.ended(pod):
			return pod, nil
		}
		wait, why := st.judge(pod, time.Now())
		if why != nil {
			return pod, fmt.Errorf("%s cannot start: %w%s", r.w, why, r.events(ctx, pod))
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// judge says why a pod will not start, or how long to wait for a change until it is judged again.
func (st *starting) judge(pod *corev1.Pod, now time.Time) (time.Duration, error) {
	if anyRuns(pod) {
		st.met, st.idle = noObstacle, now
		return time.Hour, nil
	}
	met, why := inTheWay(pod)
	if met == hopeless {
		return 0, why
	}
	if met != st.met {
		st.met, st.since = met, now
	}
	if left := st.grace[met] - now.Sub(st.since); met != noObstacle && left <= 0 {
		return 0, fmt.Errorf("for %v: %w", st.grace[met], why)
	}
	left := st.grace[idling] - now.Sub(st.idle)
	if left <= 0 {
		if why == nil {
			why = fmt.Errorf("nothing of it runs: %s", cmp.Or(podState(pod), "no reason is given"))
		}
		return 0, fmt.Errorf("for %v: %w", st.grace[idling], why)
	}
	if met != noObstacle {
		left = min(left, st.grace[met]-now.Sub(st.since))
	}
	return left, nil
}

// anyRuns tells whether a container of the pod, an init container for example, runs at the moment.
func anyRuns(pod *corev1.Pod) bool {
	for _, s := range statuses(pod) {
		if s.State.Running != nil {
			return true
		}
	}
	return false
}

func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return append(pod.Status.InitContainerStatuses[:len(pod.Status.InitContainerStatuses):len(pod.Status.InitContainerStatuses)], pod.Status.ContainerStatuses...)
}

// inTheWay returns what keeps a pod from starting.
func inTheWay(pod *corev1.Pod) (obstacle, error) {
	for _, s := range statuses(pod) {
		w := s.State.Waiting
		if w == nil || reasons[w.Reason] == noObstacle {
			continue
		}
		met, why := reasons[w.Reason], fmt.Errorf("container %s, image %q: %s%s", s.Name, brief(s.Image), w.Reason, colon(brief(w.Message)))
		switch {
		case met == configuring && strings.Contains(w.Message, "runAsNonRoot"):
			return hopeless, fmt.Errorf("%w: %w; use an image with a numeric USER other than 0, set securityContext.runAsUser in podOverride, or have the host set Policy.RunAsImage", cluster.ErrInvalid, why)
		case w.Reason == "InvalidImageName":
			return hopeless, fmt.Errorf("%w: %w", cluster.ErrInvalid, why)
		}
		return met, why
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return scheduling, fmt.Errorf("unschedulable: %s", brief(condition.Reason+colon(condition.Message)))
		}
	}
	return noObstacle, nil
}
