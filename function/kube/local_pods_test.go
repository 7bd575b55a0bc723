package kube_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/kube"
)

const claimed = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: db
        image: none
        command: [sh, -c, "while :; do sleep 1; done"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates: [{metadata: {name: data}}]
`

// TestLocalClusterPodsAndObjects runs the functions that make pods of several parts and change objects.
func TestLocalClusterPodsAndObjects(t *testing.T) {
	t.Parallel()
	local, err := localcluster.Open(t.Context(), t.TempDir(), &localcluster.Options{Grace: 300 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, local.Down(context.Background())) })
	require.NoError(t, local.Apply(t.Context(), "app.yaml", []byte(claimed)))
	db := cluster.Workload{Kind: "StatefulSet", Namespace: "app", Name: "db"}
	require.NoError(t, local.AwaitScaled(t.Context(), db, 1))
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: local, Pods: local, Scaler: local, Objects: local, Namespace: "app"})...)
	require.NoError(t, err)
	run := func(name, id string, args map[string]any, edit func(*function.Call)) (function.Outputs, error) {
		f, err := reg.Lookup(name, "")
		require.NoError(t, err)
		require.Empty(t, f.Check(args))
		call, _ := functiontest.NewCall(id)
		call.Subject = function.Subject{Kind: "StatefulSet", Namespace: "app", Name: "db", Claims: map[string]map[string]string{"db-0": {"data-db-0": "/data"}}}
		if edit != nil {
			edit(call)
		}
		return f.Exec(t.Context(), call, args)
	}
	resumed := func(c *function.Call) { c.Resumed = true }
	script := func(text string) []any { return []any{"sh", "-c", text} }
	output := func(key, value string) string {
		return `echo '###Phase-output###: {"key":"` + key + `","value":"` + value + `"}'`
	}

	for _, again := range []func(*function.Call){nil, resumed} {
		out, err := run("PrepareData", "prepare", map[string]any{
			"namespace": "app", "image": "none",
			"command": script("echo x >>mnt/prepare_data/data-db-0/file; " + output("lines", "1") + `; ` + output("more", "2") + ` >"$DAVIT_RESULTS_FILE"; exit 3`),
		}, again)
		require.NoError(t, err)
		require.Equal(t, function.Outputs{"lines": "1", "more": "2"}, out)
	}
	_, err = run("PrepareData", "absent", map[string]any{"namespace": "app", "image": "none", "command": "true", "volumes": map[string]any{"absent": "/x"}}, nil)
	require.ErrorIs(t, err, cluster.ErrNotFound)

	out, err := run("MultiContainerRun", "several", map[string]any{
		"initImage": "none", "initCommand": []any{"mkfifo", "tmp/pipe"},
		"backgroundImage": "none", "backgroundCommand": script("echo hello >tmp/pipe"),
		"outputImage": "none", "outputCommand": script(`read x <tmp/pipe; echo '###Phase-output###: {"key":"x","value":"'"$x"'"}'`),
		"podOverride": map[string]any{"containers": []any{map[string]any{"name": "container", "env": []any{map[string]any{"name": "A", "value": "b"}}}}},
	}, nil)
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"x": "hello"}, out)

	for _, again := range []func(*function.Call){nil, resumed} {
		out, err = run("KubeOps", "create", map[string]any{"operation": "create", "namespace": "app", "spec": `
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {mode: slow}
---
apiVersion: v1
kind: Secret
metadata: {generateName: key-}
stringData: {a: b}
`}, again)
		require.NoError(t, err)
	}
	require.Contains(t, out["name"], "key-")
	delete(out, "name")
	require.Equal(t, function.Outputs{"apiVersion": "v1", "group": "", "resource": "secrets", "kind": "", "namespace": "app"}, out)
	conf := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": "conf"}
	_, err = run("KubeOps", "again", map[string]any{"operation": "create", "namespace": "app", "spec": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"conf"}}`}, nil)
	require.ErrorIs(t, err, cluster.ErrExists)

	_, err = run("KubeOps", "patch", map[string]any{"operation": "patch", "namespace": "app", "objectReference": conf, "spec": "data: {mode: fast}"}, nil)
	require.NoError(t, err)
	object, err := local.Get(t.Context(), cluster.Ref{Resource: "configmaps", Namespace: "app", Name: "conf"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"mode": "fast"}, object["data"])

	remove := map[string]any{"operation": "delete", "namespace": "app", "objectReference": conf}
	_, err = run("KubeOps", "delete", remove, nil)
	require.NoError(t, err)
	_, err = run("KubeOps", "delete", remove, resumed)
	require.NoError(t, err)
	_, err = run("KubeOps", "delete", remove, nil)
	require.ErrorIs(t, err, cluster.ErrNotFound)

	left, err := local.WorkloadPods(t.Context(), db)
	require.NoError(t, err)
	require.Len(t, left, 1)
}
