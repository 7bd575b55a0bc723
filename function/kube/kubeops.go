package kube

import (
	"strings"

	"github.com/davit-project/davit/function"
)

type kubeOpsArgs struct {
	Operation string     `arg:"operation" enum:"create,delete,patch" doc:"What to do: create, delete or patch."`
	Spec      string     `arg:"spec,optional" doc:"Manifests in YAML or JSON to create, or the patch."`
	Namespace string     `arg:"namespace" default:"default" doc:"Namespace of objects that name none."`
	Object    *objectRef `arg:"objectReference" doc:"Object to delete or patch."`
}

type kubeOpsOutputs struct {
	APIVersion string `out:"apiVersion" doc:"Version of the object's API, without the group."`
	Group      string `out:"group" doc:"Group of the object's API."`
	Resource   string `out:"resource" doc:"Resource of the object, in the plural."`
	Kind       string `out:"kind" doc:"Kind of the object; empty after create."`
	Name       string `out:"name" doc:"Name of the object."`
	Namespace  string `out:"namespace" doc:"Namespace of the object."`
}

func kubeOps() function.Func {
	return function.Declare[kubeOpsArgs, kubeOpsOutputs]("KubeOps", "Creates, deletes or patches objects.",
		&function.Options{Check: checkKubeOps, Example: `func: KubeOps
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

// checkKubeOps reports what the operation lacks.
func checkKubeOps(args map[string]any) []function.Problem {
	operation, _ := args["operation"].(string)
	is := func(names ...string) bool {
		for _, name := range names {
			if strings.EqualFold(name, operation) {
				return true
			}
		}
		return false
	}
	return append(
		function.RequireWith(args, is("create", "patch"), "with operation "+operation, "spec"),
		function.RequireWith(args, is("delete", "patch"), "with operation "+operation, "objectReference")...,
	)
}
