package functiontest_test

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

type countArgs struct {
	From int `arg:"from" doc:"First number."`
}

// count does not look at its context.
func count(_ context.Context, _ *function.Call, in countArgs) (function.Outputs, error) {
	return function.Outputs{"next": in.From + 1}, nil
}

// A program checks a function it is given.
func Example() {
	err := functiontest.Run(context.Background(), functiontest.Subject{
		New: func() functiontest.Function {
			return function.Define("Count", "Counts on.", count, &function.Options{Example: "func: Count\nname: count\nargs: {from: 1}\n"})
		},
		Args: func(n int) map[string]any { return map[string]any{"from": n} },
	})
	fmt.Println(err)
	// Output:
	// cancel: the context was cancelled, the function returned: success
}
