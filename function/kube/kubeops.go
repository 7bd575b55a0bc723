package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
)

// Operations of KubeOps.
const (
	opCreate = "create"
	opDelete = "delete"
	opPatch  = "patch"
)

// defaultNamespace is that of objects that name none in a phase that names none, as in Kanister.
const defaultNamespace = "default"

type kubeOpsArgs struct {
	Operation string     `arg:"operation" enum:"create,delete,patch" doc:"What to do: create, delete or patch."`
	Spec      string     `arg:"spec,optional" doc:"Manifests in YAML or JSON to create, or the patch: a strategic merge patch where the object's type has one, else a JSON merge patch."`
	Namespace string     `arg:"namespace" default:"default" doc:"Namespace of objects that name none."`
	Object    *objectRef `arg:"objectReference" doc:"Object to delete or patch."`
}

type kubeOpsOutputs struct {
	APIVersion string `out:"apiVersion" doc:"Version of the object's API, without the group."`
	Group      string `out:"group" doc:"Group of the object's API."`
	Resource   string `out:"resource" doc:"Resource of the object, in the plural."`
	Kind       string `out:"kind" doc:"Kind of the object as objectReference gives it; empty after create."`
	Name       string `out:"name" doc:"Name of the object; of the last one after create."`
	Namespace  string `out:"namespace" doc:"Namespace of the object."`
}

func kubeOps(d Deps) function.Func {
	return function.Define("KubeOps", "Creates, deletes or patches objects; what is deleted is gone when the phase ends.",
		func(ctx context.Context, call *function.Call, in kubeOpsArgs) (kubeOpsOutputs, error) {
			return operate(ctx, call, d.Objects, in)
		},
		&function.Options{Replay: function.Adopt, Check: checkKubeOps, Rules: kubeOpsRules, Example: `func: KubeOps
name: remove
args:
  operation: delete
  objectReference:
    apiVersion: v1
    resource: persistentvolumeclaims
    name: "{{ .PVC.Name }}"
    namespace: "{{ .PVC.Namespace }}"
`})
}

func operate(ctx context.Context, call *function.Call, objects cluster.Objects, in kubeOpsArgs) (kubeOpsOutputs, error) {
	if objects == nil {
		return kubeOpsOutputs{}, errNoCluster("cluster.Objects")
	}
	if in.Operation == opCreate {
		return create(ctx, call, objects, in)
	}
	if in.Object == nil || in.Object.Resource == "" && in.Object.Kind == "" {
		return kubeOpsOutputs{}, function.Permanent(fmt.Errorf("argument objectReference must name a resource or a kind to %s", in.Operation))
	}
	ref := in.Object.ref()
	ref.Namespace = cmp.Or(ref.Namespace, in.Namespace, defaultNamespace)
	var err error
	if in.Operation == opDelete {
		err = remove(ctx, call, objects, ref)
	} else {
		err = patch(ctx, objects, ref, in.Spec)
	}
	if err != nil {
		return kubeOpsOutputs{}, err
	}
	return kubeOpsOutputs{ref.APIVersion, ref.Group, ref.Resource, ref.Kind, ref.Name, ref.Namespace}, nil
}

// create creates the objects of all documents, in order. Those that an earlier call created are left as they are.
func create(ctx context.Context, call *function.Call, objects cluster.Objects, in kubeOpsArgs) (kubeOpsOutputs, error) {
	if strings.TrimSpace(in.Spec) == "" {
		return kubeOpsOutputs{}, function.Permanent(errors.New("argument spec must hold the objects to create"))
	}
	all, err := parseManifests(in.Spec)
	if err != nil {
		return kubeOpsOutputs{}, function.Permanent(fmt.Errorf("argument spec: %w", err))
	}
	var last cluster.Ref
	for i, m := range all {
		token := fmt.Sprintf("%s-%d", call.Name(""), i)
		ref, err := objects.Create(ctx, m.object, cmp.Or(in.Namespace, defaultNamespace), token)
		if err != nil {
			return kubeOpsOutputs{}, forGood(fmt.Errorf("argument spec: %s, after %d of %d objects were created: %w", m.place, i, len(all), err))
		}
		last = ref
		call.Report(ctx, function.Progress{Note: fmt.Sprintf("%d of %d objects created: %s", i+1, len(all), ref)})
	}
	return kubeOpsOutputs{APIVersion: last.APIVersion, Group: last.Group, Resource: last.Resource, Name: last.Name, Namespace: last.Namespace}, nil
}

// remove deletes an object and waits until it is gone. That there is none is an error, except where an earlier call may have deleted it: one of a
// host that died, or one that failed otherwise, for this error is not tried again.
func remove(ctx context.Context, call *function.Call, objects cluster.Objects, ref cluster.Ref) error {
	call.Report(ctx, function.Progress{Note: fmt.Sprintf("waiting until %s is gone", ref)})
	err := objects.Delete(ctx, ref)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, cluster.ErrNotFound):
		return forGood(fmt.Errorf("delete %s: %w", ref, err))
	case call.Resumed || call.Attempt > 1:
		call.Report(ctx, function.Progress{Note: fmt.Sprintf("%s is gone already", ref)})
		return nil
	}
	return function.Permanent(fmt.Errorf("delete %s: %w", ref, err))
}

// patch patches an object; a second time changes nothing.
func patch(ctx context.Context, objects cluster.Objects, ref cluster.Ref, spec string) error {
	text, err := parsePatch(spec)
	if err != nil {
		return function.Permanent(fmt.Errorf("argument spec: %w", err))
	}
	if _, err := objects.Patch(ctx, ref, text); err != nil {
		return forGood(fmt.Errorf("patch %s: %w", ref, err))
	}
	return nil
}

// checkKubeOps reports what the operation lacks, and a spec that cannot be read.
func checkKubeOps(args map[string]any) []function.Problem {
	given, _ := args["operation"].(string)
	operation := strings.ToLower(given)
	changes := operation == opDelete || operation == opPatch
	problems := append(
		function.RequireWith(args, operation == opCreate || operation == opPatch, "with operation "+given, "spec"),
		function.RequireWith(args, changes, "with operation "+given, "objectReference")...,
	)
	if ref, ok := args["objectReference"].(map[string]any); ok && changes && len(ref) > 0 {
		problems = append(problems, checkReference("objectReference", ref)...)
	}
	spec, ok := args["spec"].(string)
	if !ok || spec == "" || hasTemplate(spec) {
		return problems
	}
	var err error
	switch operation {
	case opCreate:
		_, err = parseManifests(spec)
	case opPatch:
		_, err = parsePatch(spec)
	}
	if err != nil {
		problems = append(problems, function.Problem{Path: "spec", Fault: function.FaultValue, Message: err.Error()})
	}
	return problems
}
