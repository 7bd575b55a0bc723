package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/localcluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/function/kube"
)

const manifests = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - name: db
        image: none
        command: [sh, -c, "while :; do sleep 1; done"]
`

// TestLocalCluster runs the functions on pods that are processes of this machine.
func TestLocalCluster(t *testing.T) {
	t.Parallel()
	local, err := localcluster.Open(t.Context(), t.TempDir(), &localcluster.Options{Grace: 300 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, local.Down(context.Background())) })
	require.NoError(t, local.Apply(t.Context(), "app.yaml", []byte(manifests)))
	require.NoError(t, local.AwaitScaled(t.Context(), cluster.Workload{Kind: "StatefulSet", Namespace: "app", Name: "db"}, 2))
	reg, err := function.NewRegistry(kube.Functions(kube.Deps{Exec: local, Pods: local, Scaler: local, Objects: local, Namespace: "app"})...)
	require.NoError(t, err)
	run := func(ctx context.Context, name, id string, args map[string]any) (function.Outputs, string, error) {
		f, err := reg.Lookup(name, "")
		require.NoError(t, err)
		call, rec := functiontest.NewCall(id)
		call.Subject = function.Subject{Kind: "StatefulSet", Namespace: "app", Name: "db"}
		call.Profile = function.NewSecret(`{"Location":{}}`)
		out, err := f.Exec(ctx, call, args)
		return out, rec.Log(), err
	}
	script := func(text string) []any { return []any{"sh", "-c", text} }
	mark := `echo '###Phase-output###: {"key":"k","value":"hidden"}'`

	out, log, err := run(t.Context(), "KubeExec", "exec", map[string]any{"namespace": "app", "pod": "db-0", "command": script("echo hello; " + mark)})
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"k": "hidden"}, out)
	require.Contains(t, log, "hello")
	require.NotContains(t, log, "hidden")

	out, _, err = run(t.Context(), "KubeExecAll", "all", map[string]any{
		"namespace": "app", "pods": "db-0 db-1", "containers": "db",
		"command": script(`echo '###Phase-output###: {"key":"'"$HOSTNAME"'","value":"x"}'`),
	})
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"db-0": "x", "db-1": "x"}, out)

	out, log, err = run(t.Context(), "KubeTask", "task", map[string]any{
		"image": "none", "command": script(`cat "$DAVIT_PROFILE_FILE" >&2; echo; ` + mark),
	})
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"k": "hidden"}, out)
	require.Contains(t, log, `{\"Location\":{}}`)

	_, _, err = run(t.Context(), "KubeTask", "broken", map[string]any{"image": "none", "command": script(mark + "; echo last words; exit 7")})
	var exit *cluster.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.Code)
	require.True(t, strings.HasSuffix(err.Error(), "exit code 7, last output:\nlast words"), err)

	began := time.Now()
	_, _, err = run(t.Context(), "KubeTask", "malformed", map[string]any{"image": "none", "command": script(`echo '###Phase-output###: no'; sleep 1000`)})
	require.ErrorIs(t, err, kube.ErrOutputSyntax)
	require.Less(t, time.Since(began), 5*time.Minute, "the pod is ended at once")

	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	time.AfterFunc(300*time.Millisecond, func() { cancel(stop) })
	_, _, err = run(ctx, "KubeTask", "cancelled", map[string]any{"image": "none", "command": script("sleep 1000")})
	require.ErrorIs(t, err, stop)

	out, _, err = run(t.Context(), "ScaleWorkload", "scale", map[string]any{"replicas": "1"})
	require.NoError(t, err)
	require.EqualValues(t, 2, out["originalReplicaCount"])

	for name, condition := range map[string]string{
		"Wait":   `{{ if eq "{$.status.phase}" "Running" }}true{{ end }}`,
		"WaitV2": `{{ eq .status.phase "Running" }}`,
	} {
		_, _, err = run(t.Context(), name, name, map[string]any{"timeout": "5m", "conditions": map[string]any{"allOf": []any{map[string]any{
			"condition":       condition,
			"objectReference": map[string]any{"apiVersion": "v1", "resource": "pods", "namespace": "app", "name": "db-0"},
		}}}})
		require.NoError(t, err, name)
	}

	left, err := local.Sweep(t.Context(), map[string]string{"davit.io/run": "run"})
	require.NoError(t, err)
	require.Empty(t, left)
	pods, err := local.WorkloadPods(t.Context(), cluster.Workload{Kind: "StatefulSet", Namespace: "app", Name: "db"})
	require.NoError(t, err)
	require.Len(t, pods, 1)
}
