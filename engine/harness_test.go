package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// world is what the test functions act on; it survives a simulated crash.
type world struct {
	mu    sync.Mutex
	calls map[string]int
	log   []string
	// hook is called at the start of every function call; nil does nothing.
	hook func(ctx context.Context, call *function.Call) error
}

func newWorld() *world { return &world{calls: map[string]int{}} }

func (w *world) record(call *function.Call, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[call.Phase]++
	w.log = append(w.log, call.Phase+":"+what)
}

func (w *world) count(phase string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[phase]
}

type echoArgs struct {
	Value string `arg:"value,optional" doc:"What to give back."`
	Fail  string `arg:"fail,optional" doc:"Message of the error to end with."`
}

// functions of the tests: Echo is idempotent, Make adopts, Once is not safe to repeat. Each gives its value back.
func (w *world) functions() []function.Func {
	run := func(ctx context.Context, call *function.Call, in echoArgs) (function.Outputs, error) {
		w.record(call, "call")
		if w.hook != nil {
			if err := w.hook(ctx, call); err != nil {
				return nil, err
			}
		}
		if in.Fail != "" {
			return nil, errors.New(in.Fail)
		}
		return function.Outputs{"value": in.Value, "name": call.Name(""), "n": 7}, nil
	}
	return []function.Func{
		function.Define("Echo", "Gives its value back.", run, &function.Options{Replay: function.Idempotent}),
		function.Define("Make", "Gives its value back.", run, &function.Options{Replay: function.Adopt}),
		function.Define("Once", "Gives its value back.", run, &function.Options{Replay: function.Once}),
	}
}

func (w *world) registry(t testing.TB) *function.Registry {
	reg, err := function.NewRegistry(w.functions()...)
	require.NoError(t, err)
	return reg
}

// objects is a Source over maps.
type objects struct {
	mu         sync.Mutex
	secrets    map[string]template.Secret
	configMaps map[string]template.ConfigMap
	profiles   map[string]*template.Profile
}

func newObjects() *objects {
	return &objects{secrets: map[string]template.Secret{}, configMaps: map[string]template.ConfigMap{}, profiles: map[string]*template.Profile{}}
}

func (o *objects) secret(name, key, value string) {
	s := template.Secret{Data: map[string][]byte{key: []byte(value)}}
	s.Namespace, s.Name = "app", name
	o.secrets["app/"+name] = s
}

func (o *objects) Subject(_ context.Context, ref template.ObjectReference, into *template.Params) error {
	if ref.Name == "absent" {
		return fmt.Errorf("statefulset %q: not found", ref.Name)
	}
	into.StatefulSet = &template.Workload{Name: ref.Name, Namespace: ref.Namespace, Pods: []string{ref.Name + "-0"}, Containers: [][]string{{"db"}}}
	into.Object = map[string]any{"metadata": map[string]any{"name": ref.Name, "generation": 3}, "spec": map[string]any{"replicas": 1}}
	return nil
}

func (o *objects) Secret(_ context.Context, ns, name string) (template.Secret, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.secrets[ns+"/"+name]
	if !ok {
		return s, fmt.Errorf("secret %q: not found: %w", ns+"/"+name, fs.ErrNotExist)
	}
	return s, nil
}

func (o *objects) ConfigMap(_ context.Context, ns, name string) (template.ConfigMap, error) {
	cm, ok := o.configMaps[ns+"/"+name]
	if !ok {
		return cm, fmt.Errorf("config map %q: not found", ns+"/"+name)
	}
	return cm, nil
}

func (o *objects) Profile(_ context.Context, ns, name string) (*template.Profile, error) {
	p, ok := o.profiles[ns+"/"+name]
	if !ok {
		return nil, fmt.Errorf("profile %q: not found", ns+"/"+name)
	}
	return p, nil
}

func parse(t testing.TB, text string) *blueprint.Blueprint {
	f := blueprint.Parse("test.yaml", []byte(text))
	require.NoError(t, f.Err())
	require.Len(t, f.Blueprints, 1)
	return f.Blueprints[0]
}

// specOf asks for the named actions of the blueprint on a StatefulSet.
func specOf(t testing.TB, text string, actions ...string) *Spec {
	bp := parse(t, text)
	spec := &Spec{ID: "run-1", Blueprints: []*blueprint.Blueprint{bp}}
	for _, a := range actions {
		spec.Actions = append(spec.Actions, blueprint.ActionSpec{Name: a, Blueprint: bp.Name,
			Object: template.ObjectReference{Kind: "StatefulSet", Namespace: "app", Name: "db"}})
	}
	return spec
}

const header = "apiVersion: cr.kanister.io/v1alpha1\nkind: Blueprint\nmetadata: {name: bp}\nactions:\n"

func kinds(events []Event) []Kind {
	var k []Kind
	for _, e := range events {
		k = append(k, e.Kind)
	}
	return k
}
