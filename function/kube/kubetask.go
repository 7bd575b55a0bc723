package kube

import (
	"cmp"
	"context"

	"github.com/davit-project/davit/function"
)

type kubeTaskArgs struct {
	Namespace string   `arg:"namespace,optional" doc:"Namespace of the pod; that of the host program if unset."`
	Image     string   `arg:"image" doc:"Image of the container."`
	Command   []string `arg:"command,command" doc:"Command and its arguments; empty for that of the image; a single text is a command without arguments, not a shell line."`
	podArgs
}

func kubeTask(d Deps) function.Func {
	return function.Define("KubeTask", "Runs a command in a pod of its own and removes the pod.",
		func(ctx context.Context, call *function.Call, in kubeTaskArgs) (function.Outputs, error) {
			return runTask(ctx, call, d, in)
		},
		&function.Options{Replay: function.Adopt, Check: checkPod, Rules: d.podRules, Example: `func: KubeTask
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

func runTask(ctx context.Context, call *function.Call, d Deps, in kubeTaskArgs) (function.Outputs, error) {
	if d.Pods == nil {
		return nil, errNoCluster("cluster.PodRunner")
	}
	pod, err := in.pod(call, cmp.Or(in.Namespace, d.Namespace))
	if err != nil {
		return nil, function.Permanent(err)
	}
	pod.Image, pod.Command = in.Image, in.Command
	return succeed(runPod(ctx, call, d.Pods, pod))
}
