package kubecluster

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// AwaitScaled waits until the controller has acted on the workload's last change, and its numbers of replicas, updated, ready and available replicas as well as its
// pods are what was asked for: all are ready and of the current revision, and none is on its way in or out. Pods that have ended, evicted ones for example,
// do not count: nothing runs in them. The updated ones of a StatefulSet count only where it updates all by itself. When ctx ends first the error says what was
// there last. A workload that is deleted meanwhile is ErrNotFound. The verbs are those of WorkloadPods.
func (c *Cluster) AwaitScaled(ctx context.Context, w cluster.Workload, replicas int32) error {
	ref, err := workloadRef(w)
	if err != nil {
		return err
	}
	if replicas < 0 {
		return fmt.Errorf("%w: %s: wait for %d replicas", cluster.ErrInvalid, w, replicas)
	}
	last := "nothing yet"
	for p := newPace(); ; {
		missing, err := c.missing(ctx, ref, replicas)
		if err == nil && missing == "" {
			return nil
		}
		if missing != "" {
			last = missing
		}
		if err := p.again(ctx, err); err != nil {
			return fmt.Errorf("waited for %d ready pods of %s: %w; last seen: %s", replicas, w, err, last)
		}
	}
}

// missing says what differs from the state that is waited for; nothing when nothing does. An error is that of a request.
func (c *Cluster) missing(ctx context.Context, ref cluster.Ref, replicas int32) (string, error) {
	w, err := c.workload(ctx, ref)
	if err != nil {
		return "", err
	}
	if w.Metadata.DeletionTimestamp != nil {
		return "it is being deleted", nil
	}
	o, err := c.pods(ctx, w)
	if err != nil {
		return "", err
	}
	return w.compare(o, replicas), nil
}

// compare says what differs; nothing when nothing does.
func (w *workload) compare(o owned, replicas int32) string {
	var faults []string
	s := w.Status
	if w.replicas() != replicas {
		faults = append(faults, fmt.Sprintf("spec.replicas is %d", w.replicas()))
	}
	if s.ObservedGeneration < w.Metadata.Generation {
		faults = append(faults, "its controller has not seen the last change yet")
	}
	if o.current == "" {
		faults = append(faults, w.noCurrent().Error())
	}
	if s.Replicas != replicas || s.ReadyReplicas != replicas || s.AvailableReplicas != replicas || w.updatesAll() && s.UpdatedReplicas != replicas {
		faults = append(faults, fmt.Sprintf("status has %d replicas, %d updated, %d ready, %d available", s.Replicas, s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas))
	}
	ready, others := 0, []string(nil)
	for _, p := range o.all {
		switch state := podState(&p); {
		case isOver(&p):
		case state == "" && o.isCurrent(p):
			ready++
		case state == "":
			others = append(others, fmt.Sprintf("pod %s is of an earlier revision", p.Name))
		default:
			others = append(others, fmt.Sprintf("pod %s %s", p.Name, state))
		}
	}
	if ready != int(replicas) {
		faults = append(faults, fmt.Sprintf("%d ready pods", ready))
	}
	const shown = 5
	if faults = append(faults, others[:min(len(others), shown)]...); len(others) > shown {
		faults = append(faults, fmt.Sprintf("and %d more", len(others)-shown))
	}
	return strings.Join(faults, "; ")
}

// updatesAll tells whether the controller brings all pods to the current revision by itself.
func (w *workload) updatesAll() bool {
	u := w.Spec.UpdateStrategy
	return !w.is("StatefulSet") || u.Type != "OnDelete" && u.RollingUpdate.Partition == 0
}

// isOver tells whether a pod has ended and stays: nobody removes it, and nothing runs in it.
func isOver(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && (p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed)
}

// podState says why a pod is not ready, in words that follow its name; empty when it is.
func podState(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "is being removed"
	}
	var why string
	ready := false
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status != corev1.ConditionTrue {
			why = cmp.Or(condition.Reason, "not scheduled") + ": " + condition.Message
		}
		ready = ready || condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	}
	if ready && p.Status.Phase == corev1.PodRunning {
		return ""
	}
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if state := containerState(s.State); why == "" && !s.Ready && state != "" {
			why = fmt.Sprintf("container %s %s", s.Name, state)
		}
	}
	phase := cmp.Or(string(p.Status.Phase), "Pending")
	if p.Status.Phase == corev1.PodRunning {
		phase = "Running, not ready"
	}
	if why == "" {
		return "is " + phase
	}
	return "is " + phase + ": " + brief(why)
}

// containerState says why a container does not run, in words that follow its name; empty when it does.
func containerState(s corev1.ContainerState) string {
	switch {
	case s.Waiting != nil:
		return brief("is waiting: " + cmp.Or(s.Waiting.Reason, "no reason given") + colon(s.Waiting.Message))
	case s.Terminated != nil:
		return brief(fmt.Sprintf("has terminated: %s, exit code %d", cmp.Or(s.Terminated.Reason, "no reason given"), s.Terminated.ExitCode))
	}
	return ""
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// brief cuts a text that somebody else wrote.
func brief(text string) string {
	const most = 500
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " ..."
}
