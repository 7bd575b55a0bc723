// Package kube has the functions that work on pods, workloads and objects, over the interfaces of package cluster: KubeExec, KubeExecAll,
// KubeTask, PrepareData, MultiContainerRun, ScaleWorkload, KubeOps, Wait and WaitV2.
//
// What containers write is hostile: lines, outputs and the tails that errors show are bounded, output values are neither
// logged nor part of an error, and progress is only displayed.
//
// # Errors
//
// [ErrOutputTooLarge] and [ErrOutputSyntax] fail the phase whose container wrote such an output; [ErrTimeout] is a wait that
// was in vain. Those of the cluster pass through; [cluster.ErrInvalid], [cluster.ErrAmbiguous] and [cluster.ErrExists] become permanent.
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
	// Pods is for KubeTask, PrepareData and MultiContainerRun.
	Pods cluster.PodRunner
	// Scaler is for ScaleWorkload.
	Scaler cluster.Scaler
	// Objects is for KubeOps, and for PrepareData, Wait and WaitV2, which only read.
	Objects cluster.Objects
	// Namespace is where pods are created whose phase names none. Default "default".
	Namespace string
}

// Functions returns all functions of this package.
func Functions(d Deps) []function.Func {
	if d.Namespace == "" {
		d.Namespace = "default"
	}
	return []function.Func{
		kubeExec(d), kubeExecAll(d), kubeTask(d), prepareData(d), multiContainerRun(d),
		scaleWorkload(d), kubeOps(d), wait(d), waitV2(d),
	}
}

// errNoCluster says that the host program gave the function nothing to work on.
func errNoCluster(what string) error {
	return function.Permanent(fmt.Errorf("the host program gave no %s to this function", what))
}

// forGood marks errors of the cluster that trying again cannot mend.
func forGood(err error) error {
	for _, lasting := range []error{cluster.ErrInvalid, cluster.ErrAmbiguous, cluster.ErrExists} {
		if errors.Is(err, lasting) {
			return function.Permanent(err)
		}
	}
	return err
}
