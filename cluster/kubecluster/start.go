package kubecluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
	// idling: it does not get on, and nobody says why.
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

// starting follows a pod until all its containers have begun.
type starting struct {
	grace map[obstacle]time.Duration
	// own are the containers that have to begin, beside the init containers.
	own []string
	// met is what is in the way, and since when.
	met   obstacle
	since time.Time
	// idle is since when nothing moves.
	idle time.Time
}

func (r *podRun) newStarting() *starting {
	o := r.c.opts
	return &starting{own: r.w.containers, idle: time.Now(), grace: map[obstacle]time.Duration{
		pulling: o.ImageGrace, configuring: o.ConfigGrace, scheduling: o.ScheduleGrace, idling: o.StartTimeout,
	}}
}

// awaitStart returns the pod when some of its containers have begun, or will not begin any more because the pod has ended or is being deleted.
func (r *podRun) awaitStart(ctx context.Context, s *sight, st *starting, begun func(*corev1.Pod) bool) (*corev1.Pod, error) {
	for {
		pod, changed, err := s.look()
		switch {
		case ctx.Err() != nil:
			return pod, context.Cause(ctx)
		case err != nil:
			return pod, err
		case pod.DeletionTimestamp != nil || begun(pod) || r.w.ended(pod):
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
	if initializes(pod) { // which may take as long as it takes
		st.met, st.idle = noObstacle, now
		return time.Hour, nil
	}
	met, why := st.inTheWay(pod)
	if met == hopeless {
		return 0, why
	}
	if met != st.met {
		st.met, st.since = met, now
	}
	left := st.grace[idling] - now.Sub(st.idle)
	if met != noObstacle {
		if still := st.grace[met] - now.Sub(st.since); still <= 0 {
			return 0, fmt.Errorf("for %v: %w", st.grace[met], why)
		} else if still < left {
			return still, nil
		}
	}
	if left > 0 {
		return left, nil
	}
	if why == nil {
		why = fmt.Errorf("it does not get on: %s", cmp.Or(podState(pod), "no reason is given"))
	}
	return 0, fmt.Errorf("for %v: %w", st.grace[idling], why)
}

// initializes tells whether an init container runs that has to end before the others begin.
func initializes(pod *corev1.Pod) bool {
	sidecars := map[string]bool{}
	for _, ct := range pod.Spec.InitContainers {
		sidecars[ct.Name] = ct.RestartPolicy != nil && *ct.RestartPolicy == corev1.ContainerRestartPolicyAlways
	}
	return slices.ContainsFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Running != nil && !sidecars[s.Name] })
}

// haveBegun tells whether all these containers have begun, whatever became of them.
func haveBegun(pod *corev1.Pod, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		s := statusOf(pod, name)
		return s == nil || s.State.Running == nil && s.State.Terminated == nil
	})
}

// blockers are the statuses of all containers that can keep the pod from starting: not those that admission has put beside them.
func (st *starting) blockers(pod *corev1.Pod) []corev1.ContainerStatus {
	all := slices.Clone(pod.Status.InitContainerStatuses)
	for _, s := range pod.Status.ContainerStatuses {
		if slices.Contains(st.own, s.Name) {
			all = append(all, s)
		}
	}
	return all
}

// inTheWay returns what keeps a pod from starting.
func (st *starting) inTheWay(pod *corev1.Pod) (obstacle, error) {
	for _, s := range st.blockers(pod) {
		w := s.State.Waiting
		if w == nil || reasons[w.Reason] == noObstacle {
			continue
		}
		met, why := reasons[w.Reason], fmt.Errorf("container %s, image %q: %s%s", s.Name, brief(s.Image), w.Reason, colon(brief(w.Message)))
		switch {
		case met == configuring && strings.Contains(w.Message, "runAsNonRoot"):
			return hopeless, fmt.Errorf("%w: %w; use an image with a numeric USER other than 0, set securityContext.runAsUser in podOverride, "+
				"or have the host set Policy.RunAsImage", cluster.ErrInvalid, why)
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
