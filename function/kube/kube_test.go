package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

// fakeCluster is a small cluster in memory. What pods and commands do is a function of the test's.
type fakeCluster struct {
	// run is what a command or pod does; nil does nothing.
	run func(ctx context.Context, args []string, stdout, stderr io.Writer) error

	mu       sync.Mutex
	commands []cluster.Command
	pods     []cluster.Pod
	removed  []string
	objects  map[string]map[string]any
	replicas map[cluster.Workload]int32
	scaled   map[cluster.Workload]scaled
	awaited  []int32
}

// scaled is what a workload records of the last Scale.
type scaled struct {
	token    string
	original int32
}

var (
	_ cluster.Executor  = (*fakeCluster)(nil)
	_ cluster.PodRunner = (*fakeCluster)(nil)
	_ cluster.Scaler    = (*fakeCluster)(nil)
	_ cluster.Getter    = (*fakeCluster)(nil)
)

func (f *fakeCluster) Exec(ctx context.Context, cmd cluster.Command) error {
	f.mu.Lock()
	f.commands = append(f.commands, cmd)
	f.mu.Unlock()
	return f.do(ctx, cmd.Args, cmd.Stdout, cmd.Stderr)
}

func (f *fakeCluster) RunPod(ctx context.Context, pod cluster.Pod) error {
	f.mu.Lock()
	f.pods = append(f.pods, pod)
	f.mu.Unlock()
	return f.do(ctx, pod.Command, pod.Log, pod.Log)
}

// RemovePod notes that a pod is removed.
func (f *fakeCluster) RemovePod(_ context.Context, namespace, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = append(f.removed, namespace+"/"+name)
	return nil
}

func (f *fakeCluster) do(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if f.run == nil {
		return nil
	}
	return f.run(ctx, args, stdout, stderr)
}

func (f *fakeCluster) Scale(ctx context.Context, w cluster.Workload, replicas int32, token string) (int32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, ok := f.replicas[w]
	if !ok {
		return 0, fmt.Errorf("%s: %w", w, cluster.ErrNotFound)
	}
	if f.scaled == nil {
		f.scaled = map[cluster.Workload]scaled{}
	}
	if last := f.scaled[w]; last.token == token {
		now = last.original
	}
	f.scaled[w] = scaled{token, now}
	f.replicas[w] = replicas
	return now, context.Cause(ctx)
}

func (f *fakeCluster) AwaitScaled(ctx context.Context, _ cluster.Workload, replicas int32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.awaited = append(f.awaited, replicas)
	return context.Cause(ctx)
}

func (f *fakeCluster) Get(_ context.Context, ref cluster.Ref) (map[string]any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	object, ok := f.objects[ref.Name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", ref, cluster.ErrNotFound)
	}
	return object, nil
}

func (f *fakeCluster) set(name string, object map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	objects := map[string]map[string]any{name: object}
	for other, o := range f.objects {
		if other != name {
			objects[other] = o
		}
	}
	f.objects = objects
}

func (f *fakeCluster) deps() Deps { return Deps{Exec: f, Pods: f, Scaler: f, Get: f} }

// get returns one of the functions.
func get(t *testing.T, d Deps, name string) function.Func {
	t.Helper()
	reg, err := function.NewRegistry(Functions(d)...)
	require.NoError(t, err)
	f, err := reg.Lookup(name, "")
	require.NoError(t, err)
	return f
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

func ref(name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "resource": "pods", "namespace": "ns", "name": name}
}

// goodArgs are rendered arguments that make each function succeed on goodCluster.
func goodArgs(name string) map[string]any {
	return map[string]map[string]any{
		"KubeExec":      {"namespace": "ns", "pod": "p", "container": "c", "command": []any{"run"}},
		"KubeExecAll":   {"namespace": "ns", "pods": "p q", "containers": "c d", "command": []any{"run"}},
		"KubeTask":      {"namespace": "ns", "image": "i", "command": []any{"run"}, "podLabels": map[string]any{"a": "b"}, "podOverride": map[string]any{"nodeName": "n"}},
		"ScaleWorkload": {"namespace": "ns", "name": "db0", "kind": "statefulset", "replicas": "0"},
		"Wait": {"timeout": "1m", "conditions": map[string]any{"anyOf": []any{
			map[string]any{"condition": "{$.ready}", "objectReference": ref("p")},
		}}},
		"WaitV2": {"timeout": "1m", "conditions": map[string]any{"allOf": []any{
			map[string]any{"condition": "{{.ready}}", "objectReference": ref("p")},
		}}},
	}[name]
}

func goodCluster() *fakeCluster {
	replicas := map[cluster.Workload]int32{}
	for i := range 20 {
		replicas[cluster.Workload{Kind: "StatefulSet", Namespace: "ns", Name: fmt.Sprintf("db%d", i)}] = 3
	}
	return &fakeCluster{
		run: func(_ context.Context, _ []string, stdout, stderr io.Writer) error {
			return errors.Join(
				write(stdout, "hello\n"+outputMarker+` {"key":"k","value":"v"}`+"\n"),
				write(stderr, progressMarker+` {"bytes":1,"total":2}`+"\n"),
			)
		},
		replicas: replicas,
		objects:  map[string]map[string]any{"p": {"ready": true}},
	}
}

var runnable = []string{"KubeExec", "KubeExecAll", "KubeTask", "ScaleWorkload", "Wait", "WaitV2"}

func TestChecks(t *testing.T) {
	t.Parallel()
	for _, name := range runnable {
		for _, check := range functiontest.Checks() {
			t.Run(name+"/"+check.Name, func(t *testing.T) {
				t.Parallel()
				require.NoError(t, check.Run(t.Context(), functiontest.Subject{
					New: func() functiontest.Function { return get(t, goodCluster().deps(), name) },
					Args: func(n int) map[string]any {
						args := goodArgs(name)
						if name == "ScaleWorkload" {
							args["name"] = fmt.Sprintf("db%d", n)
						}
						return args
					},
				}))
			})
		}
	}
}

func TestWithoutCluster(t *testing.T) {
	t.Parallel()
	for _, name := range runnable {
		call, _ := functiontest.NewCall("id")
		_, err := get(t, Deps{}, name).Exec(t.Context(), call, goodArgs(name))
		require.ErrorContains(t, err, "the host program gave no cluster.")
		require.True(t, function.IsPermanent(err))
	}
}

func TestDeclared(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"KubeOps", "PrepareData", "MultiContainerRun"} {
		f := get(t, Deps{}, name)
		require.False(t, f.Runnable())
		require.NotEmpty(t, f.Schema().Example)
	}
	for name, c := range map[string]struct {
		args map[string]any
		want []function.Problem
	}{
		"create without spec": {
			map[string]any{"operation": "create"},
			[]function.Problem{{Path: "spec", Fault: function.FaultMissing, Message: "argument is required with operation create"}},
		},
		"patch with nothing": {
			map[string]any{"operation": "patch"},
			[]function.Problem{
				{Path: "objectReference", Fault: function.FaultMissing, Message: "argument is required with operation patch"},
				{Path: "spec", Fault: function.FaultMissing, Message: "argument is required with operation patch"},
			},
		},
		"delete":   {map[string]any{"operation": "delete", "objectReference": ref("p")}, nil},
		"template": {map[string]any{"operation": "{{ .Options.what }}"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, get(t, Deps{}, "KubeOps").Check(c.args))
		})
	}
}

func TestForGood(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		fmt.Errorf("x: %w", cluster.ErrInvalid):   true,
		fmt.Errorf("x: %w", cluster.ErrAmbiguous): true,
		cluster.ErrNotFound:                       false,
		cluster.ErrLost:                           false,
	} {
		require.Equal(t, want, function.IsPermanent(forGood(err)), err)
		require.ErrorIs(t, forGood(err), err)
	}
}
