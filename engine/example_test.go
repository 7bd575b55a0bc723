package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

type greetArgs struct {
	Whom string `arg:"whom" doc:"Who is greeted."`
}

type greeting struct {
	Text string `out:"text" doc:"The greeting."`
}

func greet(_ context.Context, _ *function.Call, in greetArgs) (greeting, error) {
	return greeting{"hello " + in.Whom}, nil
}

func registry() *function.Registry {
	reg, err := function.NewRegistry(function.Define("Greet", "Greets somebody.", greet, &function.Options{Replay: function.Idempotent}))
	if err != nil {
		panic(err)
	}
	return reg
}

const hello = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: hello}
actions:
  greet:
    outputArtifacts: {card: {keyValue: {text: "{{ .Phases.say.Output.text }}"}}}
    phases: [{name: say, func: Greet, args: {whom: "{{ .Options.whom }}"}}]
`

func spec() *engine.Spec {
	return &engine.Spec{
		ID:         "greet-1",
		Blueprints: blueprint.Parse("hello.yaml", []byte(hello)).Blueprints,
		Actions:    []blueprint.ActionSpec{{Name: "greet", Blueprint: "hello", Options: map[string]string{"whom": "world"}}},
	}
}

func ExampleEngine_Run() {
	res, err := engine.New(registry(), nil, nil).Run(context.Background(), spec(), &engine.MemoryJournal{})
	if err != nil {
		fmt.Println(err)
		return
	}
	artifacts, _ := res.Artifacts(0)
	fmt.Println(res.State, artifacts["card"].KeyValue["text"])
	// Output: complete hello world
}

func ExampleEngine_Plan() {
	plan, err := engine.New(registry(), nil, nil).Plan(spec())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range plan.Actions[0].Phases {
		fmt.Println(p.Name, p.Func, p.Version, p.Replay)
	}
	// Output: say Greet v0.0.0 idempotent
}

// A run whose journal is a file can be given again at any time: it is carried on where it stopped, and a finished one gives its result.
func ExampleOpenFile() {
	dir, err := os.MkdirTemp("", "davit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for range 2 {
		journal, err := engine.OpenFile(filepath.Join(dir, "greet-1.jsonl"))
		if err != nil {
			fmt.Println(err)
			return
		}
		res, err := engine.New(registry(), nil, nil).Run(context.Background(), spec(), journal)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(res.State, res.Actions[0].Phases[0].Outputs["text"])
		if err := journal.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// complete hello world
	// complete hello world
}

func ExampleEngine_Load() {
	journal := &engine.MemoryJournal{}
	e := engine.New(registry(), nil, &engine.Options{Observe: func(ev engine.Event) { fmt.Println(ev.Seq, ev.Kind) }})
	if _, err := e.Run(context.Background(), spec(), journal); err != nil {
		fmt.Println(err)
		return
	}
	res, err := e.Load(context.Background(), journal)
	fmt.Println(res.State, err)
	// Output:
	// 1 run-started
	// 2 phase-started
	// 3 phase-complete
	// 4 action-ended
	// 5 run-ended
	// complete <nil>
}
