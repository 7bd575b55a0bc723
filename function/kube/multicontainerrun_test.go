package kube

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

func containersArgs(more map[string]any) map[string]any {
	args := map[string]any{"backgroundImage": "b", "backgroundCommand": []any{"back", "ground"}, "outputImage": "o", "outputCommand": []any{"out", "put"}}
	for name, v := range more {
		args[name] = v
	}
	return args
}

func TestMultiContainerRun(t *testing.T) {
	t.Parallel()
	f := goodCluster()
	call, rec := functiontest.NewCall("id")
	call.Pod.Annotations, call.Profile = map[string]string{"a": "b"}, function.NewSecret("{}")
	out, err := get(t, f.deps(), "MultiContainerRun").Exec(t.Context(), call, containersArgs(map[string]any{
		"initImage": "i", "initCommand": "in", "sharedVolumeMedium": "Memory", "sharedVolumeSizeLimit": "1Gi", "sharedVolumeDir": "/shared",
	}))
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"k": "v"}, out)
	require.Contains(t, rec.Log(), "container=output")
	pod := f.pods[0]
	pod.Log, pod.Results = nil, nil
	require.Equal(t, cluster.Pod{
		Name: call.Name("1"), Namespace: "default", Container: "output", Image: "o", Command: []string{"out", "put"},
		Labels:      map[string]string{"createdBy": "davit", "davit.io/run": "run", "davit.io/phase": "id"},
		Annotations: map[string]string{"a": "b", "kubectl.kubernetes.io/default-container": "output"},
		Init:        []cluster.Container{{Name: "init", Image: "i", Command: []string{"in"}}},
		Others:      []cluster.Container{{Name: "background", Image: "b", Command: []string{"back", "ground"}}},
		Shared:      &cluster.SharedVolume{Path: "/shared", Medium: "Memory", SizeLimit: "1Gi"},
		Profile:     []byte("{}"),
	}, pod)
	require.Equal(t, []string{"default/" + pod.Name}, f.removed)

	f = goodCluster()
	_, err = get(t, f.deps(), "MultiContainerRun").Exec(t.Context(), call, containersArgs(map[string]any{
		"initImage": "", "podAnnotations": map[string]any{"kubectl.kubernetes.io/default-container": "background"}, "sharedVolumeDir": "",
	}))
	require.NoError(t, err)
	require.Nil(t, f.pods[0].Init)
	require.Equal(t, &cluster.SharedVolume{Path: "/tmp/"}, f.pods[0].Shared)
	require.Equal(t, "background", f.pods[0].Annotations["kubectl.kubernetes.io/default-container"])
}

func TestMultiContainerRunFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more      map[string]any
		text      string
		path      string
		permanent bool
	}{
		"init without image": {map[string]any{"initCommand": []any{"a"}}, "argument initCommand needs initImage", "initImage", true},
		"size":               {map[string]any{"sharedVolumeSizeLimit": "much"}, `argument sharedVolumeSizeLimit must be a quantity such as 1Gi, is "much"`, "sharedVolumeSizeLimit", true},
		"negative size":      {map[string]any{"sharedVolumeSizeLimit": "-1Gi"}, "argument sharedVolumeSizeLimit must be a quantity", "sharedVolumeSizeLimit", true},
		"override":           {map[string]any{"podOverride": map[string]any{"containers": "x"}}, "argument podOverride is no fragment of a PodSpec", "podOverride", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodCluster()
			run := get(t, f.deps(), "MultiContainerRun")
			call, _ := functiontest.NewCall("id")
			_, err := run.Exec(t.Context(), call, containersArgs(c.more))
			require.ErrorContains(t, err, c.text)
			require.Equal(t, c.permanent, function.IsPermanent(err))
			require.Empty(t, f.pods)
			problems := run.Check(containersArgs(c.more))
			require.Len(t, problems, 1)
			require.Equal(t, c.path, problems[0].Path)
		})
	}
	templates := containersArgs(map[string]any{"initCommand": "{{ .Options.x }}", "sharedVolumeSizeLimit": "{{ .Options.x }}"})
	require.Empty(t, get(t, Deps{}, "MultiContainerRun").Check(templates))

}

// The error names the container that failed, and shows the log only where it is that container's.
func TestMultiContainerRunNamesWhatFailed(t *testing.T) {
	t.Parallel()
	call, _ := functiontest.NewCall("id")
	pod := "pod default/" + call.Name("1")
	for what, want := range map[string]string{
		pod + ", container background": pod + ", container background: exit code 2",
		pod + ", container output":     pod + ", container output: exit code 2, last output:\nfine",
		pod:                            pod + ": exit code 2, last output:\nfine",
		"something else":               pod + ": exit code 2, last output:\nfine",
	} {
		exit := &cluster.ExitError{What: what, Code: 2, Tail: "not shown"}
		_, err := get(t, does("fine\n", "", exit).deps(), "MultiContainerRun").Exec(t.Context(), call, containersArgs(nil))
		require.ErrorAs(t, err, &exit)
		require.EqualError(t, err, want)
	}
	lost := fmt.Errorf("%s: %w", pod, cluster.ErrLost)
	_, err := get(t, does("fine\n", "", lost).deps(), "MultiContainerRun").Exec(t.Context(), call, containersArgs(nil))
	require.EqualError(t, err, pod+": pod ended without a recorded result", "the pod is named once")
}

func TestOverrideIsSpread(t *testing.T) {
	t.Parallel()
	named := func(name string, fields map[string]any) map[string]any {
		all := map[string]any{"name": name}
		for field, v := range fields {
			all[field] = v
		}
		return all
	}
	tty, quiet := map[string]any{"tty": true}, map[string]any{"tty": false}
	probed := map[string]any{"tty": true, "livenessProbe": map[string]any{"periodSeconds": 1.0}, "lifecycle": map[string]any{}}
	for name, c := range map[string]struct {
		init             bool
		phase, run, want map[string]any
	}{
		"nothing":           {true, nil, nil, nil},
		"no container":      {true, map[string]any{"nodeName": "a"}, nil, map[string]any{"nodeName": "a"}},
		"another container": {true, map[string]any{"containers": []any{named("sidecar", tty)}}, nil, map[string]any{"containers": []any{named("sidecar", tty)}}},
		"of the run": {false, nil, map[string]any{"containers": []any{named("container", tty)}},
			map[string]any{"containers": []any{named("output", tty), named("background", tty)}}},
		"of the phase, with init": {true, map[string]any{"containers": []any{named("container", tty)}}, nil,
			map[string]any{"containers": []any{named("output", tty), named("background", tty)}, "initContainers": []any{named("init", tty)}}},
		"explicit ones stay": {true,
			map[string]any{"containers": []any{named("container", tty)}, "initContainers": []any{named("init", quiet)}},
			map[string]any{"containers": []any{named("background", quiet)}},
			map[string]any{"containers": []any{named("background", quiet), named("output", tty)}, "initContainers": []any{named("init", quiet)}}},
		"other init containers stay": {true, map[string]any{"containers": []any{named("container", tty)}, "initContainers": []any{named("first", quiet)}}, nil,
			map[string]any{"containers": []any{named("output", tty), named("background", tty)}, "initContainers": []any{named("first", quiet), named("init", tty)}}},
		"what init containers cannot have": {true, map[string]any{"containers": []any{named("container", probed)}}, nil,
			map[string]any{"containers": []any{named("output", probed), named("background", probed)}, "initContainers": []any{named("init", tty)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodCluster()
			call, _ := functiontest.NewCall("id")
			call.Pod.Override = c.run
			args := containersArgs(map[string]any{"podOverride": c.phase})
			if c.init {
				args["initImage"] = "i"
			}
			for range 2 { // nobody's map is changed, so that a second phase sees the same
				_, err := get(t, f.deps(), "MultiContainerRun").Exec(t.Context(), call, args)
				require.NoError(t, err)
			}
			require.Equal(t, c.want, f.pods[0].Override)
			require.Equal(t, c.want, f.pods[1].Override)
		})
	}
}
