package kube

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

type kubeExecArgs struct {
	Namespace string   `arg:"namespace,nonempty" doc:"Namespace of the pod."`
	Pod       string   `arg:"pod,nonempty" doc:"Name of the pod."`
	Container string   `arg:"container,optional" doc:"Container to run in; the pod's only one if unset."`
	Command   []string `arg:"command,command,nonempty" doc:"Command and its arguments; a single text is a command without arguments, not a shell line."`
}

func kubeExec(d Deps) function.Func {
	return function.Define("KubeExec", "Runs a command in a container that is already running.",
		func(ctx context.Context, call *function.Call, in kubeExecArgs) (function.Outputs, error) {
			if d.Exec == nil {
				return nil, errNoCluster("cluster.Executor")
			}
			out, err := execute(ctx, call, d.Exec, cluster.Command{
				Namespace: in.Namespace, Pod: in.Pod, Container: in.Container, Args: in.Command,
			})
			if err != nil {
				return nil, err
			}
			return out.result(), nil
		},
		&function.Options{Replay: function.Once, Rules: execRules, Example: `func: KubeExec
name: dump
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  pod: "{{ index .StatefulSet.Pods 0 }}"
  container: database
  command: [sh, -o, errexit, -c, "dump /data && kando output lines 42"]
`})
}

// execute runs a command in a container and reads what it writes to its standard output.
func execute(ctx context.Context, call *function.Call, e cluster.Executor, cmd cluster.Command) (*outputs, error) {
	attrs := []slog.Attr{slog.String("pod", cmd.Pod)}
	if cmd.Container != "" {
		attrs = append(attrs, slog.String("container", cmd.Container))
	}
	c := newCapture(ctx, call, attrs...)
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	return c.end(place(cmd), e.Exec(ctx, cmd))
}

// place names where a command runs, in errors.
func place(cmd cluster.Command) string {
	if cmd.Container == "" {
		return fmt.Sprintf("pod %s/%s", cmd.Namespace, cmd.Pod)
	}
	return fmt.Sprintf("pod %s/%s, container %s", cmd.Namespace, cmd.Pod, cmd.Container)
}
