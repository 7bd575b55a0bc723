package kubecluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// Reasons that a kubelet gives for the end of a container. Source: k8s.io/kubernetes, pkg/kubelet, and containerd's and CRI-O's CRI.
const (
	reasonStartError = "StartError"
	reasonCannotRun  = "ContainerCannotRun"
	reasonUnknown    = "ContainerStatusUnknown"
	reasonOOM        = "OOMKilled"
)

// killed is the exit code of a container that was killed: 128 plus the number of SIGKILL.
const killed = 137

func isTerminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// statusOf is the status of a regular container; nil when there is none yet.
func statusOf(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.Name == name {
			return s
		}
	}
	return nil
}

// terminated is how a regular container ended; nil when it has not.
func terminated(pod *corev1.Pod, name string) *corev1.ContainerStateTerminated {
	if s := statusOf(pod, name); s != nil {
		return s.State.Terminated
	}
	return nil
}

// neverRan tells whether a container ended before its command began: then its message is the runtime's, and it has no log.
func neverRan(t *corev1.ContainerStateTerminated) bool {
	return t.Reason == reasonStartError || t.Reason == reasonCannotRun || t.StartedAt.IsZero() || t.StartedAt.Unix() <= 0
}

// hasRun tells whether a container's command has begun.
func hasRun(pod *corev1.Pod, name string) bool {
	s := statusOf(pod, name)
	return s != nil && (s.State.Running != nil || s.State.Terminated != nil && !neverRan(s.State.Terminated))
}

// ended tells whether a pod has ended by itself. One that is being deleted has not: what its containers end with then is not what they would have.
func (w *wanted) ended(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	return isTerminal(pod) || !slices.ContainsFunc(w.containers, func(name string) bool { return terminated(pod, name) == nil })
}

// outcome says how a pod that has ended went; nil for well.
func (r *podRun) outcome(ctx context.Context, pod *corev1.Pod) error {
	if !hasRun(pod, r.w.main) {
		for _, s := range pod.Status.InitContainerStatuses {
			if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
				return r.exit(pod, s.Name, t)
			}
		}
	}
	names := append([]string{r.w.main}, r.w.containers...) // the main container speaks first
	for _, name := range names {
		t := terminated(pod, name)
		switch {
		case t == nil && !hasRun(pod, name) && pod.Status.Reason != "" && name == r.w.main:
			return fmt.Errorf("%s has ended before its command began: %s", r.w, reasonOf(pod))
		case t == nil || t.Reason == reasonUnknown:
			return fmt.Errorf("%s, container %s: %w: %s", r.w, name, cluster.ErrLost, cmp.Or(reasonOf(pod), "its node does not know how it ended"))
		case t.ExitCode != 0:
			return r.exit(pod, name, t)
		case t.Reason == reasonOOM:
			r.log.WarnContext(ctx, "a process ran out of memory, but its container has ended with exit code 0", "container", name)
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return fmt.Errorf("%s has failed, though its containers have ended with exit code 0: %s", r.w, cmp.Or(reasonOf(pod), "no reason is given"))
	}
	return nil
}

// exit is the error of a container that ended with another code than 0, with what is known of why.
func (r *podRun) exit(pod *corev1.Pod, name string, t *corev1.ContainerStateTerminated) error {
	exit := &cluster.ExitError{What: fmt.Sprintf("%s, container %s", r.w, name), Code: int(t.ExitCode)}
	why := reasonOf(pod)
	switch {
	case t.Reason == reasonOOM:
		why = reasonOOM + ": " + limitOf(pod, name)
	case neverRan(t):
		why = "its command could not be started: " + brief(cmp.Or(t.Message, t.Reason))
	case why == "" && exit.Code == killed: // runtimes miss some kills by the kernel
		why = "killed by nobody known; perhaps it ran out of memory: " + limitOf(pod, name)
	}
	if why == "" {
		return exit
	}
	return fmt.Errorf("%w (%s)", exit, why)
}

// limitOf says how much memory a container may use.
func limitOf(pod *corev1.Pod, name string) string {
	for ct := range everyContainer(&pod.Spec) {
		if limit, ok := ct.Resources.Limits[corev1.ResourceMemory]; ok && ct.Name == name {
			return "its memory limit is " + limit.String()
		}
	}
	return "it has no memory limit of its own"
}

// reasonOf is what the pod itself says about its end: that it was evicted, say, or took longer than it may; empty for nothing.
func reasonOf(pod *corev1.Pod) string {
	if pod.Status.Reason == "" {
		return brief(pod.Status.Message)
	}
	return brief(pod.Status.Reason + colon(pod.Status.Message))
}
