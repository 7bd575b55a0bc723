package blueprint_test

import (
	"context"
	"testing"
	"time"

	"github.com/davit-project/davit/function"
	"github.com/stretchr/testify/require"
)

type none struct{}

type taskArgs struct {
	Namespace   string         `arg:"namespace,optional" doc:"Namespace of the pod."`
	Image       string         `arg:"image" doc:"Image of the container."`
	Command     []string       `arg:"command,command,nonempty" doc:"Command and its arguments."`
	PodOverride map[string]any `arg:"podOverride,optional" doc:"Fragment of a pod's spec."`
}

type scaleArgs struct {
	Replicas     int    `arg:"replicas" doc:"Number of replicas."`
	Kind         string `arg:"kind,optional" enum:"statefulset,deployment" doc:"Kind of the workload."`
	WaitForReady bool   `arg:"waitForReady" default:"true" doc:"Wait until the pods are there."`
}

type scaleOutputs struct {
	Original int `out:"originalReplicaCount" doc:"Number of replicas before."`
}

type condition struct {
	Condition string            `arg:"condition,raw" doc:"Template of the condition."`
	Reference map[string]string `arg:"objectReference" doc:"Object to look at."`
}

type waitArgs struct {
	Timeout    time.Duration `arg:"timeout" doc:"Longest wait."`
	Conditions struct {
		AnyOf []condition `arg:"anyOf,optional" doc:"One of these."`
		AllOf []condition `arg:"allOf,optional" doc:"All of these."`
	} `arg:"conditions" doc:"Conditions to wait for."`
}

type newArgs struct {
	Name  string          `arg:"name" doc:"Name."`
	Token function.Secret `arg:"token,optional" doc:"Password."`
	Ratio float64         `arg:"ratio,optional" doc:"Ratio."`
	Pods  []string        `arg:"pods,words,optional" doc:"Names of pods."`
	Tags  []string        `arg:"tags,yaml,optional" doc:"Tags."`
	Extra any             `arg:"extra,optional" doc:"Anything."`
}

// testRegistry has one function of each sort.
func testRegistry(t testing.TB) *function.Registry {
	t.Helper()
	reg, err := function.NewRegistry(
		function.Define("KubeTask", "Runs a pod.", func(context.Context, *function.Call, taskArgs) (function.Outputs, error) { return nil, nil }, nil),
		function.Define("ScaleWorkload", "Scales a workload.", func(context.Context, *function.Call, scaleArgs) (scaleOutputs, error) { return scaleOutputs{}, nil }, nil),
		function.Define("Quiet", "Does nothing.", func(context.Context, *function.Call, none) (none, error) { return none{}, nil }, nil),
		function.Define("Wait", "Waits for conditions.", func(context.Context, *function.Call, waitArgs) (none, error) { return none{}, nil },
			&function.Options{Deprecated: "use WaitV2", Check: checkWait}),
		function.Define("New", "Is new.", func(context.Context, *function.Call, newArgs) (none, error) { return none{}, nil },
			&function.Options{Version: "v1.0.0"}),
		function.Declare[taskArgs, scaleOutputs]("Elsewhere", "Is not part of this build.", nil),
	)
	require.NoError(t, err)
	return reg
}

func checkWait(args map[string]any) []function.Problem {
	conditions, _ := args["conditions"].(map[string]any)
	if len(conditions) == 0 {
		return []function.Problem{{Path: "conditions", Message: "needs anyOf or allOf"}}
	}
	return nil
}
