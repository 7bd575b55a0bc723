package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// maxParallel is how many commands of one KubeExecAll run at once.
const maxParallel = 32

type kubeExecAllArgs struct {
	Namespace  string   `arg:"namespace,nonempty" doc:"Namespace of the pods."`
	Pods       []string `arg:"pods,words,nonempty" doc:"Names of the pods, separated by white space."`
	Containers []string `arg:"containers,words,nonempty" doc:"Containers to run in, in each of the pods, separated by white space."`
	Command    []string `arg:"command,command,nonempty" doc:"Command and its arguments; a single text is a command without arguments, not a shell line."`
}

func kubeExecAll(d Deps) function.Func {
	return function.Define("KubeExecAll", "Runs a command in containers of several pods at the same time.",
		func(ctx context.Context, call *function.Call, in kubeExecAllArgs) (function.Outputs, error) {
			if d.Exec == nil {
				return nil, errNoCluster("cluster.Executor")
			}
			out, err := executeAll(ctx, call, d.Exec, in.commands())
			if err != nil {
				return nil, err
			}
			return out.result(), nil
		},
		&function.Options{Replay: function.Once, Rules: execRules, Example: `func: KubeExecAll
name: flush
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  pods: "{{ range .StatefulSet.Pods }} {{ . }}{{ end }}"
  containers: database
  command: [nodetool, flush]
`})
}

// commands lists what is to be run, pod by pod.
func (in kubeExecAllArgs) commands() []cluster.Command {
	var cmds []cluster.Command
	for _, pod := range in.Pods {
		for _, container := range in.Containers {
			cmds = append(cmds, cluster.Command{Namespace: in.Namespace, Pod: pod, Container: container, Args: in.Command})
		}
	}
	return cmds
}

// executeAll runs all commands, also after one has failed, and merges their outputs in the order of the list: of equal keys
// the later one wins.
func executeAll(ctx context.Context, call *function.Call, e cluster.Executor, cmds []cluster.Command) (*outputs, error) {
	results := make([]*outputs, len(cmds))
	faults := make([]error, len(cmds))
	var mu sync.Mutex
	ended := 0
	var group errgroup.Group
	group.SetLimit(maxParallel)
	for i, cmd := range cmds {
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				faults[i] = fmt.Errorf("%s: not begun: %w", place(cmd), err)
				return nil
			}
			results[i], faults[i] = execute(ctx, call, e, cmd)
			mu.Lock()
			defer mu.Unlock()
			ended++
			call.Report(ctx, function.Progress{Note: fmt.Sprintf("%d of %d commands have ended", ended, len(cmds))})
			return nil
		})
	}
	_ = group.Wait() // the errors are in faults, in order
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	all := newOutputs(defaultLimits())
	for _, r := range results {
		if err := all.merge(r); err != nil {
			return nil, err
		}
	}
	return all, nil
}
