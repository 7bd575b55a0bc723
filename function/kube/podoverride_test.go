package kube

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

func TestMergeOverrides(t *testing.T) {
	t.Parallel()
	container := func(fields map[string]any) map[string]any {
		all := map[string]any{"name": "container"}
		for k, v := range fields {
			all[k] = v
		}
		return map[string]any{"containers": []any{all}}
	}
	for name, c := range map[string]struct{ phase, run, want map[string]any }{
		"nothing":    {nil, map[string]any{}, nil},
		"phase only": {map[string]any{"nodeName": "a"}, nil, map[string]any{"nodeName": "a"}},
		"run only":   {nil, map[string]any{"nodeName": "a"}, map[string]any{"nodeName": "a"}},
		"run wins": {
			map[string]any{"nodeName": "a", "hostPID": true}, map[string]any{"nodeName": "b"},
			map[string]any{"nodeName": "b", "hostPID": true},
		},
		"env by name": {
			container(map[string]any{"env": []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "B", "value": "1"}}}),
			container(map[string]any{"env": []any{map[string]any{"name": "B", "value": "2"}}, "tty": true}),
			container(map[string]any{"env": []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "B", "value": "2"}}, "tty": true}),
		},
		"tolerations are replaced": {
			map[string]any{"tolerations": []any{map[string]any{"key": "a"}}}, map[string]any{"tolerations": []any{map[string]any{"key": "b"}}},
			map[string]any{"tolerations": []any{map[string]any{"key": "b"}}},
		},
		"a directive stays for the pod": {
			map[string]any{"securityContext": map[string]any{"$patch": "replace"}}, nil,
			map[string]any{"securityContext": map[string]any{"$patch": "replace"}},
		},
		"a directive of the run": {
			map[string]any{"nodeName": "a", "volumes": []any{map[string]any{"name": "v"}, map[string]any{"name": "w"}}},
			map[string]any{"volumes": []any{map[string]any{"name": "v", "$patch": "delete"}}},
			map[string]any{"nodeName": "a", "volumes": []any{map[string]any{"name": "w"}}},
		},
		"unknown fields stay": {
			container(map[string]any{"restartPolicy": "Never", "odd": 1.0}), map[string]any{"hostPID": true},
			map[string]any{"hostPID": true, "containers": container(map[string]any{"restartPolicy": "Never", "odd": 1.0})["containers"]},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mergeOverrides(c.phase, c.run)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestMergeOverridesOnlyReads(t *testing.T) {
	t.Parallel()
	phase := map[string]any{"volumes": []any{map[string]any{"name": "v"}}}
	run := map[string]any{"volumes": []any{map[string]any{"name": "w"}}}
	_, err := mergeOverrides(phase, run)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"volumes": []any{map[string]any{"name": "v"}}}, phase)
	require.Equal(t, map[string]any{"volumes": []any{map[string]any{"name": "w"}}}, run)
}

func TestMergeOverridesFails(t *testing.T) {
	t.Parallel()
	_, err := mergeOverrides(map[string]any{"containers": []any{map[string]any{"name": "container", "tty": "yes"}}}, nil)
	require.EqualError(t, err, `argument podOverride is no fragment of a PodSpec: field "containers.tty" cannot be string`)
	_, err = mergeOverrides(nil, map[string]any{"hostPID": "x"})
	require.EqualError(t, err, `the run's podOverride is no fragment of a PodSpec: field "hostPID" cannot be string`)
	_, err = mergeOverrides(map[string]any{"volumes": []any{map[string]any{"hostPath": map[string]any{}}}}, map[string]any{"volumes": []any{map[string]any{"name": "v"}}})
	require.ErrorContains(t, err, "merge the run's podOverride over argument podOverride")
}

func TestCheckPod(t *testing.T) {
	t.Parallel()
	bad := map[string]any{"hostPID": "yes"}
	require.Equal(t, []function.Problem{{Path: "podOverride", Message: `it is no fragment of a PodSpec: field "hostPID" cannot be string`}},
		checkPod(map[string]any{"podOverride": bad}))
	require.Empty(t, checkPod(map[string]any{"podOverride": map[string]any{"hostPID": "{{ .Options.x }}"}}))
	require.Empty(t, checkPod(map[string]any{"podOverride": map[string]any{"containers": []any{map[string]any{"{{ .Options.x }}": 1}}}}))
	require.Empty(t, checkPod(map[string]any{"podOverride": "{{ .Options.x }}"}))
	require.Empty(t, checkPod(nil))
}
