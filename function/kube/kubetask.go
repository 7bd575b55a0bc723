package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// containerName is the name of the one container of a pod, part of the contract of package cluster.
const containerName = "container"

type kubeTaskArgs struct {
	Namespace string   `arg:"namespace,optional" doc:"Namespace of the pod; that of the host program if unset."`
	Image     string   `arg:"image" doc:"Image of the container."`
	Command   []string `arg:"command,command" doc:"Command and its arguments; empty for that of the image; a single text is a command without arguments, not a shell line."`
	podArgs
}

// podArgs are the arguments of all functions that create pods.
type podArgs struct {
	PodOverride    map[string]any    `arg:"podOverride,optional" doc:"PodSpec fragment that is merged over the pod as a strategic merge patch; the container is named container."`
	PodAnnotations map[string]string `arg:"podAnnotations,optional" doc:"Annotations of the pod; they win over those of the run."`
	PodLabels      map[string]string `arg:"podLabels,optional" doc:"Labels of the pod; they win over those of the run, but for the ones that identify it."`
}

func kubeTask(d Deps) function.Func {
	return function.Define("KubeTask", "Runs a command in a pod of its own and removes the pod.",
		func(ctx context.Context, call *function.Call, in kubeTaskArgs) (function.Outputs, error) {
			return runTask(ctx, call, d, in)
		},
		&function.Options{Replay: function.Adopt, Check: checkPod, Example: `func: KubeTask
name: dump
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  image: postgres-tools:15
  command:
  - bash
  - -o
  - errexit
  - -o
  - pipefail
  - -c
  - |
    pg_dumpall --host db | kando location push --path dump.sql -
    kando output path dump.sql
`})
}

// runTask runs the pod. What it writes is one stream: outputs may stand in it anywhere.
func runTask(ctx context.Context, call *function.Call, d Deps, in kubeTaskArgs) (function.Outputs, error) {
	if d.Pods == nil {
		return nil, errNoCluster("cluster.PodRunner")
	}
	pod, err := in.pod(call)
	if err != nil {
		return nil, function.Permanent(err)
	}
	if pod.Namespace = in.Namespace; pod.Namespace == "" {
		pod.Namespace = d.Namespace
	}
	pod.Image, pod.Command = in.Image, in.Command
	if call.Profile.IsSet() {
		pod.Profile = []byte(call.Profile.Reveal())
	}
	c := newCapture(ctx, call, slog.String("pod", pod.Name), slog.String("container", containerName))
	pod.Log = c.stdout
	where := fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name)
	err = d.Pods.RunPod(ctx, pod)
	if !errors.Is(err, cluster.ErrInvalid) { // then a pod of this name, if there is one, is somebody else's
		call.AfterRecord(ctx, where, func(ctx context.Context) error { return d.Pods.RemovePod(ctx, pod.Namespace, pod.Name) })
	}
	out, err := c.end(where, err)
	if err != nil {
		return nil, err
	}
	result := function.Outputs{}
	maps.Copy(result, out.result())
	return result, nil
}

// pod makes what all pods have: a name that a host that comes after this one finds again, labels, annotations and the override.
func (in podArgs) pod(call *function.Call) (cluster.Pod, error) {
	labels, err := podLabels(call, in.PodLabels)
	if err != nil {
		return cluster.Pod{}, err
	}
	override, err := mergeOverrides(in.PodOverride, call.Pod.Override)
	if err != nil {
		return cluster.Pod{}, err
	}
	annotations := map[string]string{}
	maps.Copy(annotations, call.Pod.Annotations)
	maps.Copy(annotations, in.PodAnnotations)
	return cluster.Pod{
		Name:        call.Name(strconv.Itoa(call.Attempt)),
		Labels:      labels,
		Annotations: annotations,
		Override:    override,
	}, nil
}

// podLabels merges labels: the phase's own win over those the run asks for, and the ones that identify the run cannot be changed.
func podLabels(call *function.Call, own map[string]string) (map[string]string, error) {
	labels := map[string]string{"createdBy": "davit"}
	maps.Copy(labels, call.Pod.Labels)
	maps.Copy(labels, own)
	for name, value := range call.Labels {
		if given, ok := labels[name]; ok && given != value {
			return nil, fmt.Errorf("label %q identifies the run and cannot be set to %q: choose another name", name, given)
		}
		labels[name] = value
	}
	return labels, nil
}
