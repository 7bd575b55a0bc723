package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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
	refs     []cluster.Ref
	patches  []string
	tokens   map[string]string
	// left is what pods leave as results.
	left     string
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
	_ cluster.Objects   = (*fakeCluster)(nil)
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
	err := f.do(ctx, pod.Command, pod.Log, pod.Log)
	if ctx.Err() == nil && f.left != "" {
		if failed := write(pod.Results, f.left); failed != nil {
			return failed
		}
	}
	return err
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
	object := f.objects[ref.Name]
	if object == nil {
		return nil, fmt.Errorf("%s: %w", ref, cluster.ErrNotFound)
	}
	return object, nil
}

func (f *fakeCluster) Create(ctx context.Context, object map[string]any, namespace, token string) (cluster.Ref, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := manifest{object: object}
	ref := cluster.Ref{Resource: "things", Kind: "Thing", Namespace: cmp.Or(m.metadata("namespace"), namespace), Name: m.name()}
	ref.Group, ref.APIVersion = m.groupVersion()
	if err := context.Cause(ctx); err != nil {
		return cluster.Ref{}, err
	}
	if by, ok := f.tokens[ref.Name]; ok && by != token || !ok && f.objects[ref.Name] != nil {
		return cluster.Ref{}, fmt.Errorf("%s: %w", ref, cluster.ErrExists)
	}
	f.refs = append(f.refs, ref)
	f.tokens = with(f.tokens, ref.Name, token)
	f.objects = with(f.objects, ref.Name, object)
	return ref, nil
}

func (f *fakeCluster) Patch(ctx context.Context, ref cluster.Ref, patch []byte) (map[string]any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if f.objects[ref.Name] == nil {
		return nil, fmt.Errorf("%s: %w", ref, cluster.ErrNotFound)
	}
	f.refs, f.patches = append(f.refs, ref), append(f.patches, string(patch))
	return f.objects[ref.Name], nil
}

func (f *fakeCluster) Delete(ctx context.Context, ref cluster.Ref) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if f.objects[ref.Name] == nil {
		return fmt.Errorf("%s: %w", ref, cluster.ErrNotFound)
	}
	f.refs = append(f.refs, ref)
	f.objects = with(f.objects, ref.Name, nil)
	return nil
}

// with returns a copy of a map that has one more entry.
func with[V any](m map[string]V, name string, v V) map[string]V {
	copied := map[string]V{name: v}
	for key, old := range m {
		if key != name {
			copied[key] = old
		}
	}
	return copied
}

func (f *fakeCluster) set(name string, object map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects = with(f.objects, name, object)
}

func (f *fakeCluster) deps() Deps { return Deps{Exec: f, Pods: f, Scaler: f, Objects: f} }

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
		"KubeExec":    {"namespace": "ns", "pod": "p", "container": "c", "command": []any{"run"}},
		"KubeExecAll": {"namespace": "ns", "pods": "p q", "containers": "c d", "command": []any{"run"}},
		"KubeTask":    {"namespace": "ns", "image": "i", "command": []any{"run"}, "podLabels": map[string]any{"a": "b"}, "podOverride": map[string]any{"nodeName": "n"}},
		"PrepareData": {
			"namespace": "ns", "image": "i", "command": []any{"run"}, "volumes": map[string]any{"p": "/data"},
			"podOverride": map[string]any{"nodeName": "n"}, "failOnError": "true",
		},
		"MultiContainerRun": {
			"namespace": "ns", "backgroundImage": "b", "backgroundCommand": []any{"run"}, "outputImage": "o", "outputCommand": []any{"run"},
			"initImage": "i", "initCommand": "run", "sharedVolumeSizeLimit": "1Gi",
			"podOverride": map[string]any{"containers": []any{map[string]any{"name": "container", "tty": true}}},
		},
		"KubeOps create": {"operation": "create", "namespace": "ns", "spec": "apiVersion: v1\nkind: Thing\nmetadata: {name: new}\n"},
		"KubeOps delete": {"operation": "Delete", "objectReference": ref("p")},
		"KubeOps patch":  {"operation": "patch", "objectReference": ref("p"), "spec": "{ready: true}"},
		"ScaleWorkload":  {"namespace": "ns", "name": "db0", "kind": "statefulset", "replicas": "0"},
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
	objects := map[string]map[string]any{"p": {"ready": true}}
	for i := range 20 {
		replicas[cluster.Workload{Kind: "StatefulSet", Namespace: "ns", Name: fmt.Sprintf("db%d", i)}] = 3
		objects[fmt.Sprintf("p%d", i)] = map[string]any{}
	}
	return &fakeCluster{
		run: func(_ context.Context, _ []string, stdout, stderr io.Writer) error {
			return errors.Join(
				write(stdout, "hello\n"+outputMarker+` {"key":"k","value":"v"}`+"\n"),
				write(stderr, progressMarker+` {"bytes":1,"total":2}`+"\n"),
			)
		},
		replicas: replicas,
		objects:  objects,
	}
}

// cases are all functions, by what goodArgs has for them: a name, and what is done where a function does several things.
var cases = []string{
	"KubeExec", "KubeExecAll", "KubeTask", "PrepareData", "MultiContainerRun", "ScaleWorkload",
	"KubeOps create", "KubeOps delete", "KubeOps patch", "Wait", "WaitV2",
}

// of returns the function of a case.
func of(name string) string {
	function, _, _ := strings.Cut(name, " ")
	return function
}

func TestChecks(t *testing.T) {
	t.Parallel()
	for _, name := range cases {
		for _, check := range functiontest.Checks() {
			t.Run(name+"/"+check.Name, func(t *testing.T) {
				t.Parallel()
				require.NoError(t, check.Run(t.Context(), functiontest.Subject{
					New: func() functiontest.Function { return get(t, goodCluster().deps(), of(name)) },
					Args: func(n int) map[string]any {
						args := goodArgs(name)
						switch name {
						case "ScaleWorkload":
							args["name"] = fmt.Sprintf("db%d", n)
						case "KubeOps create":
							args["spec"] = fmt.Sprintf("apiVersion: v1\nkind: Thing\nmetadata: {name: new%d}\n", n)
						case "KubeOps delete":
							args["objectReference"] = ref(fmt.Sprintf("p%d", n))
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
	for _, name := range cases {
		call, _ := functiontest.NewCall("id")
		_, err := get(t, Deps{}, of(name)).Exec(t.Context(), call, goodArgs(name))
		require.ErrorContains(t, err, "the host program gave no cluster.")
		require.True(t, function.IsPermanent(err))
	}
}

func TestCasesAreComplete(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, name := range cases {
		tested[of(name)] = true
	}
	for _, f := range Functions(Deps{}) {
		require.True(t, tested[f.Name()], f.Name())
		require.True(t, f.Runnable(), f.Name())
	}
}

func TestCheckKubeOps(t *testing.T) {
	t.Parallel()
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
		fmt.Errorf("x: %w", cluster.ErrExists):    true,
		cluster.ErrNotFound:                       false,
		cluster.ErrLost:                           false,
	} {
		require.Equal(t, want, function.IsPermanent(forGood(err)), err)
		require.ErrorIs(t, forGood(err), err)
	}
}
