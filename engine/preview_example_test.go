package engine_test

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

// ExampleEngine_Preview shows what a run would do.
func ExampleEngine_Preview() {
	file := blueprint.Parse("bp.yaml", []byte(`
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: notes}
actions:
  backup:
    phases:
    - {func: Copy, name: copy, args: {from: "{{ .Options.folder }}"}}
    - {func: Copy, name: again, args: {from: "{{ .Phases.copy.Output.to }}"}}
    - {func: Copy, name: wrong, args: {from: "{{ .ArtifactsIn.old.KeyValue.path }}"}}
`))
	type args struct {
		From string `arg:"from" doc:"What to copy."`
	}
	type outputs struct {
		To string `out:"to" doc:"Where the copy is."`
	}
	registry, err := function.NewRegistry(function.Define("Copy", "Copies a folder.",
		func(context.Context, *function.Call, args) (outputs, error) { return outputs{}, nil }, &function.Options{Replay: function.Idempotent}))
	if err != nil {
		fmt.Println(err)
		return
	}
	preview, err := engine.New(registry, nil, nil).Preview(context.Background(), &engine.Spec{
		ID: "run-1", Blueprints: file.Blueprints,
		Actions: []blueprint.ActionSpec{{Name: "backup", Blueprint: "notes", Options: map[string]string{"folder": "/data"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ph := range preview.Actions[0].Phases {
		fmt.Println(ph.Name, ph.Args, ph.Open)
	}
	fmt.Println(preview.Problems())
	// Output:
	// copy map[from:/data] []
	// again map[from:{{ .Phases.copy.Output.to }}] [args.from]
	// wrong map[from:{{ .ArtifactsIn.old.KeyValue.path }}] []
	// [action "backup", phase "wrong" (Copy): args.from: .ArtifactsIn.old.KeyValue.path: no "old" in .ArtifactsIn (it is empty)]
}
