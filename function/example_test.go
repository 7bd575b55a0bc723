package function_test

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/function"
)

type pingArgs struct {
	Host  string `arg:"host" doc:"Host to greet."`
	Times int    `arg:"times" default:"1" doc:"How often."`
}

func ping(_ context.Context, call *function.Call, in pingArgs) (function.Outputs, error) {
	return function.Outputs{"answer": fmt.Sprintf("%s answers %d times", in.Host, in.Times)}, nil
}

// A host program adds a function of its own.
func Example() {
	reg, err := function.NewRegistry(function.Define("Ping", "Greets a host.", ping, nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	f, _ := reg.Lookup("Ping", "")
	out, err := f.Exec(context.Background(), &function.Call{}, map[string]any{"host": "db-0", "times": "3"})
	fmt.Println(out["answer"], err)
	_, err = f.Exec(context.Background(), &function.Call{}, map[string]any{"hots": "db-0"})
	fmt.Println(err)
	// Output:
	// db-0 answers 3 times <nil>
	// function "Ping": bad arguments: host: argument is required but missing; hots: argument is not known; did you mean "host"?
}
