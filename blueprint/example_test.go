package blueprint_test

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
)

func Example() {
	type args struct {
		Text string `arg:"text" doc:"Text to say."`
	}
	say := func(_ context.Context, _ *function.Call, in args) (function.Outputs, error) {
		return function.Outputs{"said": in.Text}, nil
	}
	reg, err := function.NewRegistry(function.Define("Say", "Says something.", say, nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	file := blueprint.Parse("hello.yaml", []byte(`
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata:
  name: hello
actions:
  backup:
    phases:
    - name: greet
      func: Say
      args:
        txt: Good morning
    - name: leave
      func: Say
      args:
        text: |
          Good bye.
          You said {{ .Phases.greeting.Output.said }}
`))
	if err := file.Err(); err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range blueprint.Lint(file.Blueprints[0], reg, nil) {
		if d.Severity == blueprint.Error {
			fmt.Println(d)
		}
	}
	// Output:
	// hello.yaml:12:9: error argument-missing: function "Say": text: argument is required but missing
	// hello.yaml:12:9: error argument-unknown: function "Say": txt: argument is not known; did you mean "text"?
	// hello.yaml:18:23: error phase-unknown: action "backup" has no phase "greeting"; did you mean "greet"?
}
