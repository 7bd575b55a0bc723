package kubecluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

// defaultContainer is the annotation in which a pod names the container that is meant when none is.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// runningContainer finds the container that a command is for, and makes sure that it runs.
func (c *Cluster) runningContainer(ctx context.Context, cmd cluster.Command) (string, error) {
	p, err := c.clients.Kube.CoreV1().Pods(cmd.Namespace).Get(ctx, cmd.Pod, metav1.GetOptions{})
	if err != nil {
		return "", requestError(ctx, "get", cluster.Ref{Resource: "pods", Namespace: cmd.Namespace, Name: cmd.Pod}, err)
	}
	name, err := chooseContainer(p, cmd.Container)
	if err != nil {
		return "", err
	}
	if state := whyNotRunning(p, name); state != "" {
		return "", fmt.Errorf("pod %s/%s, container %s: %w: %s", p.Namespace, p.Name, name, cluster.ErrNotRunning, state)
	}
	return name, nil
}

// chooseContainer returns the container that is named, the only one, or the one that the pod says is meant.
func chooseContainer(p *corev1.Pod, name string) (string, error) {
	var regular, special []string
	for _, ct := range p.Spec.Containers {
		regular = append(regular, ct.Name)
	}
	for _, ct := range p.Spec.InitContainers {
		special = append(special, ct.Name)
	}
	for _, ct := range p.Spec.EphemeralContainers {
		special = append(special, ct.Name)
	}
	switch all := slices.Concat(regular, special); {
	case name != "" && slices.Contains(all, name):
		return name, nil
	case name != "":
		return "", fmt.Errorf("pod %s/%s has no container %q; it has %s: %w", p.Namespace, p.Name, name, strings.Join(all, ", "), cluster.ErrNotFound)
	case len(regular) == 1:
		return regular[0], nil
	case slices.Contains(regular, p.Annotations[defaultContainer]):
		return p.Annotations[defaultContainer], nil
	}
	return "", fmt.Errorf("pod %s/%s: %w; it has %s", p.Namespace, p.Name, cluster.ErrAmbiguous, strings.Join(regular, ", "))
}

// whyNotRunning says in which state a container is; nothing when it runs.
func whyNotRunning(p *corev1.Pod, name string) string {
	for _, s := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses) {
		if s.Name != name {
			continue
		}
		if s.State.Running != nil {
			return ""
		}
		if state := containerState(s.State); state != "" {
			return "it " + state + was(s)
		}
	}
	if state := podState(p); state != "" && p.Status.Reason == "" {
		return "the pod " + state
	}
	return brief("the pod is " + cmp.Or(string(p.Status.Phase), "Pending") + colon(p.Status.Reason) + colon(p.Status.Message))
}

// was says how a container ended that is about to be started again.
func was(s corev1.ContainerStatus) string {
	if s.State.Waiting == nil || s.LastTerminationState.Terminated == nil {
		return ""
	}
	return "; before, it " + containerState(s.LastTerminationState)
}
