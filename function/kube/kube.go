// Package kube has the functions that work on pods, workloads and objects: KubeExec, KubeExecAll, KubeTask, ScaleWorkload,
// Wait and WaitV2, over the interfaces of package cluster. KubeOps, PrepareData and MultiContainerRun are declared,
// for lint and documentation.
//
// What containers write is hostile: lines, outputs and the tails that errors show are bounded, output values are neither
// logged nor part of an error, and progress is only displayed.
//
// # Errors
//
// [ErrOutputTooLarge] and [ErrOutputSyntax] fail the phase whose container wrote such an output; [ErrTimeout] is a wait that
// was in vain. Those of the cluster pass through; [cluster.ErrInvalid] and [cluster.ErrAmbiguous] become permanent.
//
// # Concurrency
//
// The functions keep no state; one value serves any number of runs at once.
package kube

import (
	"errors"
	"fmt"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// Deps is what the functions work on. The zero value is enough to lint and document blueprints; a function that is run
// without what it needs fails with an error that names it.
type Deps struct {
	// Exec is for KubeExec and KubeExecAll.
	Exec cluster.Executor
	// Pods is for KubeTask.
	Pods cluster.PodRunner
	// Scaler is for ScaleWorkload.
	Scaler cluster.Scaler
	// Get is for Wait and WaitV2.
	Get cluster.Getter
	// Namespace is where pods are created whose phase names none. Default "default".
	Namespace string
}

// Functions returns all functions of this package.
func Functions(d Deps) []function.Func {
	if d.Namespace == "" {
		d.Namespace = "default"
	}
	return []function.Func{
		kubeExec(d), kubeExecAll(d), kubeTask(d), scaleWorkload(d), wait(d), waitV2(d),
		kubeOps(), prepareData(), multiContainerRun(),
	}
}

// errNoCluster says that the host program gave the function nothing to work on.
func errNoCluster(what string) error {
	return function.Permanent(fmt.Errorf("the host program gave no %s to this function", what))
}

// forGood marks errors of the cluster that trying again cannot mend.
func forGood(err error) error {
	if errors.Is(err, cluster.ErrInvalid) || errors.Is(err, cluster.ErrAmbiguous) {
		return function.Permanent(err)
	}
	return err
}
