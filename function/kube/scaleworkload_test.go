package kube

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

func TestScaleWorkload(t *testing.T) {
	t.Parallel()
	db := cluster.Workload{Kind: "StatefulSet", Namespace: "ns", Name: "db"}
	web := cluster.Workload{Kind: "Deployment", Namespace: "ns", Name: "web"}
	for name, c := range map[string]struct {
		args    map[string]any
		subject function.Subject
		scaled  cluster.Workload
		to      int32
		awaited []int32
	}{
		"all named": {
			map[string]any{"namespace": "ns", "name": "web", "kind": "deployment", "replicas": 0},
			function.Subject{}, web, 0, []int32{0},
		},
		"subject": {map[string]any{"replicas": "5"}, function.Subject{Kind: "StatefulSet", Namespace: "ns", Name: "db"}, db, 5, []int32{5}},
		"another of the subject's namespace": {
			map[string]any{"name": "web", "kind": "Deployment", "replicas": 2.0},
			function.Subject{Kind: "StatefulSet", Namespace: "ns", Name: "db"}, web, 2, []int32{2},
		},
		"no wait": {
			map[string]any{"replicas": 1, "waitForReady": "false"}, function.Subject{Kind: "StatefulSet", Namespace: "ns", Name: "db"}, db, 1, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeCluster{replicas: map[cluster.Workload]int32{db: 3, web: 3}}
			call, _ := functiontest.NewCall("id")
			call.Subject = c.subject
			out, err := get(t, f.deps(), "ScaleWorkload").Exec(t.Context(), call, c.args)
			require.NoError(t, err)
			require.EqualValues(t, 3, out["originalReplicaCount"])
			require.Equal(t, c.to, f.replicas[c.scaled])
			require.Equal(t, c.awaited, f.awaited)
		})
	}
}

func TestScaleWorkloadAgain(t *testing.T) {
	t.Parallel()
	w := cluster.Workload{Kind: "StatefulSet", Namespace: "ns", Name: "db"}
	f := &fakeCluster{replicas: map[cluster.Workload]int32{w: 3}}
	for attempt := 1; attempt <= 2; attempt++ {
		call, _ := functiontest.NewCall("id")
		call.Attempt, call.Resumed = attempt, attempt > 1
		call.Subject = function.Subject{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name}
		out, err := get(t, f.deps(), "ScaleWorkload").Exec(t.Context(), call, map[string]any{"replicas": 0})
		require.NoError(t, err)
		require.EqualValues(t, 3, out["originalReplicaCount"], "not what the first attempt left")
	}
}

func TestScaleWorkloadFails(t *testing.T) {
	t.Parallel()
	all := func(replicas any) map[string]any {
		return map[string]any{"namespace": "ns", "name": "db", "kind": "statefulset", "replicas": replicas}
	}
	for name, c := range map[string]struct {
		args map[string]any
		text string
	}{
		"no workload": {map[string]any{"replicas": 1}, "no workload is named: the action's subject is none"},
		"negative":    {all(-1), "argument replicas must be between 0 and 2147483647, is -1"},
		"too many":    {all("3000000000"), "argument replicas must be between 0 and 2147483647, is 3000000000"},
		"kind":        {map[string]any{"namespace": "ns", "name": "db", "kind": "daemonset", "replicas": 1}, "kind"},
		"no number":   {all("many"), "replicas"},
		"not found":   {all(1), "scale StatefulSet ns/db to 1: StatefulSet ns/db: not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call, _ := functiontest.NewCall("id")
			f := &fakeCluster{}
			out, err := get(t, f.deps(), "ScaleWorkload").Exec(t.Context(), call, c.args)
			require.Nil(t, out)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, name != "not found", function.IsPermanent(err))
		})
	}
}

func TestScaleWorkloadCancel(t *testing.T) {
	t.Parallel()
	f := goodCluster()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	call, _ := functiontest.NewCall("id")
	call.OnProgress = func(context.Context, function.Progress) { cancel(stop) }
	_, err := get(t, f.deps(), "ScaleWorkload").Exec(ctx, call, goodArgs("ScaleWorkload"))
	require.ErrorIs(t, err, stop)
	require.ErrorContains(t, err, "wait for 0 ready pods of StatefulSet ns/db0 and no others")
}
