// Command embed runs a blueprint with a function of its own: an engine, a journal and no cluster.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

const document = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: notes}
actions:
  backup:
    phases:
    - {name: seal, func: Seal, args: {text: "{{ .Options.text }}"}}
    outputArtifacts:
      note: {keyValue: {sha256: "{{ .Phases.seal.Output.sha256 }}"}}
`

// The tags are the schema of the function: arguments are checked and documented by them.
type sealArgs struct {
	Text string `arg:"text" doc:"Text to seal."`
}
type sealed struct {
	SHA256 string `out:"sha256" doc:"Checksum of the text, in hex."`
}

func seal(_ context.Context, _ *function.Call, in sealArgs) (sealed, error) {
	return sealed{fmt.Sprintf("%x", sha256.Sum256([]byte(in.Text)))}, nil
}

func main() {
	registry, err := function.NewRegistry(function.Define("Seal", "Seals a text.", seal, nil))
	file := blueprint.Parse("notes.yaml", []byte(document))
	if err := errors.Join(err, file.Err()); err != nil {
		log.Fatal(err)
	}
	backup := blueprint.ActionSpec{Name: "backup", Blueprint: "notes", Options: map[string]string{"text": "hello"}}
	spec := &engine.Spec{ID: "backup-1", Blueprints: file.Blueprints, Actions: []blueprint.ActionSpec{backup}}
	result, err := engine.New(registry, nil, nil).Run(context.Background(), spec, &engine.MemoryJournal{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.State, result.Actions[0].Shown["note"].KeyValue["sha256"])
}
