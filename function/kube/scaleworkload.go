package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

type scaleWorkloadArgs struct {
	Namespace    string `arg:"namespace,optional" doc:"Namespace of the workload; that of the action's subject if unset."`
	Name         string `arg:"name,optional" doc:"Name of the workload; that of the action's subject if unset."`
	Kind         string `arg:"kind,optional" enum:"StatefulSet,Deployment,DeploymentConfig" doc:"Kind of the workload, in any case; that of the action's subject if unset."`
	Replicas     int    `arg:"replicas" doc:"Number of replicas the workload shall have."`
	WaitForReady bool   `arg:"waitForReady" default:"true" doc:"Wait until that many pods are ready, and no others are left."`
}

type scaleWorkloadOutputs struct {
	Original int `out:"originalReplicaCount" doc:"Number of replicas the workload had before."`
}

func scaleWorkload(d Deps) function.Func {
	return function.Define("ScaleWorkload", "Sets the number of replicas of a workload and waits for its pods.",
		func(ctx context.Context, call *function.Call, in scaleWorkloadArgs) (scaleWorkloadOutputs, error) {
			original, err := scale(ctx, call, d, in)
			return scaleWorkloadOutputs{int(original)}, err
		},
		&function.Options{Replay: function.Adopt, Rules: scaleRules, Example: `func: ScaleWorkload
name: stop
args:
  namespace: "{{ .StatefulSet.Namespace }}"
  name: "{{ .StatefulSet.Name }}"
  kind: StatefulSet
  replicas: 0
`})
}

// scale returns the number of replicas before the phase began, also on a later attempt and after a crash.
func scale(ctx context.Context, call *function.Call, d Deps, in scaleWorkloadArgs) (int32, error) {
	if d.Scaler == nil {
		return 0, errNoCluster("cluster.Scaler")
	}
	if in.Replicas < 0 || in.Replicas > math.MaxInt32 {
		return 0, function.Permanent(fmt.Errorf("argument replicas must be between 0 and %d, is %d", math.MaxInt32, in.Replicas))
	}
	w, err := in.workload(call.Subject)
	if err != nil {
		return 0, function.Permanent(err)
	}
	replicas := int32(in.Replicas)
	original, err := d.Scaler.Scale(ctx, w, replicas, call.Name(""))
	if err != nil {
		return 0, forGood(fmt.Errorf("scale %s to %d: %w", w, replicas, err))
	}
	if !in.WaitForReady {
		return original, nil
	}
	call.Report(ctx, function.Progress{Note: fmt.Sprintf("scaled from %d to %d, waiting for the pods", original, replicas)})
	if err := d.Scaler.AwaitScaled(ctx, w, replicas); err != nil {
		return 0, forGood(fmt.Errorf("wait for %d ready pods of %s and no others: %w", replicas, w, err))
	}
	return original, nil
}

// workload completes what the arguments name with the action's subject.
func (in scaleWorkloadArgs) workload(subject function.Subject) (cluster.Workload, error) {
	w := cluster.Workload{
		Kind:      cmp.Or(in.Kind, subject.Kind),
		Namespace: cmp.Or(in.Namespace, subject.Namespace),
		Name:      cmp.Or(in.Name, subject.Name),
	}
	if w.Kind == "" || w.Namespace == "" || w.Name == "" {
		return w, errors.New("no workload is named: the action's subject is none, so arguments namespace, name and kind are all required")
	}
	return w, nil
}
