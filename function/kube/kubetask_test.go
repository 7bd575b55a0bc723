package kube

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

func TestKubeTask(t *testing.T) {
	t.Parallel()
	call, rec := functiontest.NewCall("id")
	call.Attempt = 2
	call.Profile = function.NewSecret(`{"Location":{}}`)
	call.Pod = function.PodSettings{
		Override: map[string]any{"nodeName": "of the run"},
		Labels:   map[string]string{"app": "of the run", "more": "of the run"}, Annotations: map[string]string{"a": "of the run", "b": "of the run"},
	}
	f := does("one\n"+progressMarker+` {"bytes":5,"total":10}`+"\n"+outputMarker+` {"key":"k","value":"hidden"}`+"\n", "", nil)
	out, err := get(t, f.deps(), "KubeTask").Exec(t.Context(), call, map[string]any{
		"image": "i", "command": []any{"a", "b"},
		"podLabels": map[string]any{"app": "own"}, "podAnnotations": map[string]any{"a": "own"},
		"podOverride": map[string]any{"nodeName": "own", "hostNetwork": true},
	})
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"k": "hidden"}, out)
	require.Len(t, f.pods, 1)
	pod := f.pods[0]
	pod.Log, pod.Results = nil, nil
	require.Equal(t, cluster.Pod{
		Name: call.Name("2"), Namespace: "default", Image: "i", Command: []string{"a", "b"},
		Labels: map[string]string{
			"app": "own", "more": "of the run", "createdBy": "davit", "davit.io/run": "run", "davit.io/phase": "id",
		},
		Annotations: map[string]string{"a": "own", "b": "of the run"},
		Override:    map[string]any{"nodeName": "of the run", "hostNetwork": true},
		Profile:     []byte(`{"Location":{}}`),
	}, pod)
	require.Equal(t, []function.Progress{{Bytes: 5, TotalBytes: 10}}, rec.Progress())
	require.NotContains(t, rec.Log(), "hidden")
	require.Contains(t, rec.Log(), "msg=one pod="+pod.Name+" container=container")
}

// Network policies that were written for Kanister select pods by this label.
func TestKubeTaskCreatedBy(t *testing.T) {
	t.Parallel()
	f := does("", "", nil)
	call, _ := functiontest.NewCall("id")
	for _, args := range []map[string]any{{}, {"podLabels": map[string]any{"createdBy": "kanister"}}} {
		args["image"], args["command"] = "i", "c"
		_, err := get(t, f.deps(), "KubeTask").Exec(t.Context(), call, args)
		require.NoError(t, err)
	}
	require.Equal(t, "davit", f.pods[0].Labels["createdBy"])
	require.Equal(t, "kanister", f.pods[1].Labels["createdBy"])
}

func TestKubeTaskNames(t *testing.T) {
	t.Parallel()
	f := does("", "", nil)
	task := get(t, Deps{Pods: f, Namespace: "davit"}, "KubeTask")
	args := func(namespace string) map[string]any {
		return map[string]any{"image": "i", "command": "c", "namespace": namespace}
	}
	for _, attempt := range []int{1, 1, 2} {
		call, _ := functiontest.NewCall("id")
		call.Attempt = attempt
		out, err := task.Exec(t.Context(), call, args(map[int]string{2: "elsewhere"}[attempt]))
		require.NoError(t, err)
		require.NotNil(t, out)
	}
	require.Equal(t, f.pods[0].Name, f.pods[1].Name, "an attempt that is taken up again finds its pod")
	require.NotEqual(t, f.pods[0].Name, f.pods[2].Name)
	require.Equal(t, "davit", f.pods[0].Namespace)
	require.Equal(t, "elsewhere", f.pods[2].Namespace)
	require.Nil(t, f.pods[0].Override)
	require.Nil(t, f.pods[0].Profile)
}

func TestKubeTaskFails(t *testing.T) {
	t.Parallel()
	exit := &cluster.ExitError{What: "x", Code: 9}
	for name, c := range map[string]struct {
		cluster   *fakeCluster
		more      map[string]any
		text      string
		permanent bool
	}{
		"exit code":  {does("last words\n", "", exit), nil, "exit code 9, last output:\nlast words", false},
		"lost":       {does("", "", cluster.ErrLost), nil, "pod ended without a recorded result", false},
		"invalid":    {does("", "", cluster.ErrInvalid), nil, "invalid request", true},
		"bad output": {does(outputMarker+" {}\n", "", nil), nil, `malformed phase output: "key" is missing or empty`, false},
		"reserved label": {does("", "", nil), map[string]any{"podLabels": map[string]any{"davit.io/run": "x"}},
			`label "davit.io/run" identifies the run and cannot be set to "x"`, true},
		"override": {does("", "", nil), map[string]any{"podOverride": map[string]any{"containers": "x"}},
			`argument podOverride is no fragment of a PodSpec: field "containers" cannot be string`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call, _ := functiontest.NewCall("id")
			args := map[string]any{"namespace": "ns", "image": "i", "command": "c"}
			for k, v := range c.more {
				args[k] = v
			}
			out, err := get(t, c.cluster.deps(), "KubeTask").Exec(t.Context(), call, args)
			require.Nil(t, out)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, c.permanent, function.IsPermanent(err))
			if c.more != nil {
				require.Empty(t, c.cluster.pods, "nothing is touched")
			}
		})
	}
}

func TestKubeTaskCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	f := &fakeCluster{run: func(ctx context.Context, _ []string, _, _ io.Writer) error {
		cancel(stop)
		<-ctx.Done()
		return context.Cause(ctx)
	}}
	call, _ := functiontest.NewCall("id")
	_, err := get(t, f.deps(), "KubeTask").Exec(ctx, call, goodArgs("KubeTask"))
	require.ErrorIs(t, err, stop)
}

// The pod holds the result until that is recorded: only then it is removed, whatever the result was.
func TestKubeTaskPodStaysUntilRecorded(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		f := &fakeCluster{run: func(context.Context, []string, io.Writer, io.Writer) error {
			if fails {
				return &cluster.ExitError{What: "pod", Code: 1}
			}
			return nil
		}}
		call, _ := functiontest.NewCall("dump")
		var later []func(context.Context) error
		call.OnRecorded = func(_ string, do func(context.Context) error) { later = append(later, do) }
		_, err := kubeTask(Deps{Pods: f, Namespace: "app"}).Exec(t.Context(), call, map[string]any{"image": "none", "command": []any{"true"}})
		require.Equal(t, fails, err != nil)
		require.Empty(t, f.removed)
		require.Len(t, later, 1)
		require.NoError(t, later[0](t.Context()))
		require.Equal(t, []string{"app/" + f.pods[0].Name}, f.removed)
	}
	// a pod of that name that is somebody else's is not removed
	f := &fakeCluster{run: func(context.Context, []string, io.Writer, io.Writer) error { return cluster.ErrInvalid }}
	call, _ := functiontest.NewCall("dump")
	_, err := kubeTask(Deps{Pods: f, Namespace: "app"}).Exec(t.Context(), call, map[string]any{"image": "none", "command": []any{"true"}})
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.Empty(t, f.removed)
}
