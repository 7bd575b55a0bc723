package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/internal/podspec"
)

// podArgs are the arguments of all functions that create pods.
type podArgs struct {
	PodOverride    map[string]any    `arg:"podOverride,optional" doc:"PodSpec fragment that is merged over the pod as a strategic merge patch; in it, container names the pod's container, or all of them where there are several and none is named itself."`
	PodAnnotations map[string]string `arg:"podAnnotations,optional" doc:"Annotations of the pod; they win over those of the run."`
	PodLabels      map[string]string `arg:"podLabels,optional" doc:"Labels of the pod; they win over those of the run and over createdBy, but not over the ones that identify the run."`
}

// pod makes what all pods have: a name that a host that comes after this one finds again, labels, annotations, the override and the
// run's profile.
func (in podArgs) pod(call *function.Call, namespace string) (cluster.Pod, error) {
	labels, err := podspec.Labels(call, in.PodLabels)
	if err != nil {
		return cluster.Pod{}, err
	}
	override, err := mergeOverrides(in.PodOverride, call.Pod.Override)
	if err != nil {
		return cluster.Pod{}, err
	}
	pod := cluster.Pod{
		Name:        call.Name(strconv.Itoa(call.Attempt)),
		Namespace:   namespace,
		Labels:      labels,
		Annotations: podspec.Annotations(call, in.PodAnnotations),
		Override:    override,
	}
	if call.Profile.IsSet() {
		pod.Profile = []byte(call.Profile.Reveal())
	}
	return pod, nil
}

// runPod runs a pod to its end and reads its outputs: from its log, which is one stream in which they may stand anywhere, and from the file
// it may have left them in once more. When a command in the pod failed, the outputs are returned beside the *cluster.ExitError.
// The pod stays until the outcome is recorded.
func runPod(ctx context.Context, call *function.Call, pods cluster.PodRunner, pod cluster.Pod) (*outputs, error) {
	main := cmp.Or(pod.Container, cluster.MainContainer)
	c := newCapture(ctx, call, slog.String("pod", pod.Name), slog.String("container", main))
	c.container = main
	var left results
	pod.Log, pod.Results = c.stdout, &left
	where := fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name)
	err := pods.RunPod(ctx, pod)
	if !errors.Is(err, cluster.ErrInvalid) && !errors.Is(err, cluster.ErrExists) { // then a pod of this name, if there is one, is somebody else's
		call.AfterRecord(ctx, where, func(ctx context.Context) error { return pods.RemovePod(ctx, pod.Namespace, pod.Name) })
	}
	_, err = c.end(where, err)
	if exit := (*cluster.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	if lost := left.addTo(c); lost != nil {
		return nil, fmt.Errorf("%s: %w", where, lost)
	}
	return c.outputs, err
}

// succeed returns the outputs of a pod all of whose commands succeeded.
func succeed(out *outputs, err error) (function.Outputs, error) {
	if err != nil {
		return nil, err
	}
	return out.result(), nil
}
