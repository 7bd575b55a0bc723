package functiontest_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
)

type args struct {
	Name     string            `arg:"name" doc:"A name."`
	Password function.Secret   `arg:"password" doc:"A password."`
	Count    int               `arg:"count" default:"1" doc:"A number."`
	Labels   map[string]string `arg:"labels,optional" doc:"Labels."`
	Maybe    *int              `arg:"maybe" doc:"A number or nothing."`
	List     []item            `arg:"list,optional" doc:"Objects."`
}

type item struct {
	Key string `arg:"key" doc:"A key."`
}

type results struct {
	Greeting string `out:"greeting" doc:"A greeting."`
	Count    int    `out:"count" doc:"The number."`
}

const phase = `func: Greet
name: hello
args: {name: "{{ .Object.metadata.name }}", password: "{{ .Options.password }}", count: 3}
`

type greeter func(ctx context.Context, call *function.Call, in args) (results, error)

// greet is a function with nothing wrong.
func greet(ctx context.Context, call *function.Call, in args) (results, error) {
	if err := ctx.Err(); err != nil {
		return results{}, err
	}
	call.Log.InfoContext(ctx, "greets", "name", in.Name, "password", in.Password)
	call.Report(ctx, function.Progress{Note: "half way"})
	return results{Greeting: "hello " + in.Name, Count: in.Count}, nil
}

func goodOptions() *function.Options {
	return &function.Options{Replay: function.Idempotent, Example: phase}
}

func subject(make func() functiontest.Function) functiontest.Subject {
	return functiontest.Subject{
		New: make,
		Args: func(n int) map[string]any {
			return map[string]any{"name": fmt.Sprint("n", n), "password": "geheim", "maybe": int64(1), "labels": map[string]any{"a": "b"}}
		},
		Patience: time.Minute,
	}
}

func TestGoodFunctionPasses(t *testing.T) {
	s := subject(func() functiontest.Function { return function.Define("Greet", "Greets.", greet, goodOptions()) })
	require.NoError(t, functiontest.Run(t.Context(), s))
}

// wrapper breaks what Define does right.
type wrapper struct {
	function.Func
	edit func(args map[string]any)
	add  function.Outputs
}

func (w wrapper) Validate(args map[string]any) error {
	if w.edit != nil {
		w.edit(args)
	}
	return w.Func.Validate(args)
}

func (w wrapper) Exec(ctx context.Context, call *function.Call, args map[string]any) (function.Outputs, error) {
	if w.edit != nil {
		w.edit(args)
	}
	out, err := w.Func.Exec(ctx, call, args)
	for name, v := range w.add {
		out[name] = v
	}
	return out, err
}

// TestMutants breaks a function in one way for each check, which must notice.
func TestMutants(t *testing.T) {
	define := func(run greeter) func() functiontest.Function {
		return func() functiontest.Function { return function.Define("Greet", "Greets.", run, goodOptions()) }
	}
	wrap := func(w wrapper) func() functiontest.Function {
		return func() functiontest.Function {
			w.Func = function.Define("Greet", "Greets.", greet, goodOptions())
			return w
		}
	}
	type careless struct {
		Name string `arg:"name" doc:"a name"`
	}
	mutants := map[string][]func() functiontest.Function{
		"documentation": {func() functiontest.Function {
			return function.Declare[careless, struct{}]("Greet", "Greets.", goodOptions())
		}},
		"example": {
			func() functiontest.Function { return function.Define("Greet", "Greets.", greet, nil) },
			func() functiontest.Function {
				return function.Define("Greet", "Greets.", greet, &function.Options{Example: phase + "x: ["})
			},
			func() functiontest.Function {
				return function.Define("Greet", "Greets.", greet, &function.Options{Example: "func: Other\nname: x\n"})
			},
			func() functiontest.Function {
				return function.Define("Greet", "Greets.", greet, &function.Options{Example: "func: Greet\nname: x\nargs: {nam: x}\n"})
			},
		},
		"good arguments": {
			define(func(context.Context, *function.Call, args) (results, error) {
				return results{}, context.DeadlineExceeded
			}),
			wrap(wrapper{edit: func(args map[string]any) { args["count"] = "many" }}),
		},
		"unknown arguments": {wrap(wrapper{edit: func(args map[string]any) { delete(args, "thereIsNoSuchArgument") }})},
		"missing arguments": {wrap(wrapper{edit: func(args map[string]any) {
			if _, ok := args["password"]; !ok {
				args["password"] = ""
			}
		}})},
		"null arguments": {wrap(wrapper{edit: func(args map[string]any) {
			if v, ok := args["name"]; ok && v == nil {
				args["name"] = ""
			}
		}})},
		"arguments are only read": {wrap(wrapper{edit: func(args map[string]any) { args["count"] = 5 }})},
		"no panic": {
			define(func(ctx context.Context, call *function.Call, in args) (results, error) {
				_ = call.Labels["davit.io/run"][0]
				return greet(ctx, call, in)
			}),
			define(func(ctx context.Context, call *function.Call, in args) (results, error) {
				in.Count = *in.Maybe
				return greet(ctx, call, in)
			}),
		},
		"outputs": {
			wrap(wrapper{add: function.Outputs{"more": "x"}}),
			wrap(wrapper{add: function.Outputs{"greeting": int64(1)}}),
			wrap(wrapper{add: function.Outputs{"more": make(chan int)}}),
		},
		"replay": {func() functiontest.Function {
			done := false
			return define(func(ctx context.Context, call *function.Call, in args) (results, error) {
				if done {
					return results{}, fmt.Errorf("%s exists", in.Name)
				}
				done = ctx.Err() == nil
				return greet(ctx, call, in)
			})()
		}},
		"no shared state": {func() functiontest.Function {
			calls := make(chan int, 1)
			calls <- 0
			return define(func(ctx context.Context, call *function.Call, in args) (results, error) {
				n := <-calls
				calls <- n + 1
				in.Count += n
				return greet(ctx, call, in)
			})()
		}},
		"cancel": {
			define(func(ctx context.Context, call *function.Call, in args) (results, error) {
				return greet(context.WithoutCancel(ctx), call, in)
			}),
			define(func(ctx context.Context, _ *function.Call, in args) (results, error) {
				return results{}, fmt.Errorf("greeting %s: %s", in.Name, "stopped")
			}),
		},
		"secrets": {
			define(func(_ context.Context, _ *function.Call, in args) (results, error) {
				return results{}, fmt.Errorf("%s cannot sign in with %s", in.Name, in.Password.Reveal())
			}),
			define(func(_ context.Context, _ *function.Call, in args) (results, error) {
				return results{Greeting: in.Password.Reveal()}, nil
			}),
			define(func(ctx context.Context, call *function.Call, in args) (results, error) {
				call.Log.Debug("profile", "json", call.Profile.Reveal())
				return greet(ctx, call, in)
			}),
			define(func(ctx context.Context, call *function.Call, in args) (results, error) {
				call.Report(ctx, function.Progress{Note: in.Password.Reveal()})
				return greet(ctx, call, in)
			}),
		},
	}
	for _, check := range functiontest.Checks() {
		t.Run(check.Name, func(t *testing.T) {
			require.NotEmpty(t, mutants[check.Name], "the check has no mutant")
			for i, mutant := range mutants[check.Name] {
				require.Error(t, check.Run(t.Context(), subject(mutant)), "mutant %d", i)
			}
		})
	}
}

func TestCancelNoticesAFunctionThatHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := subject(func() functiontest.Function {
		return function.Define("Greet", "Greets.", func(ctx context.Context, call *function.Call, in args) (results, error) {
			<-release
			return greet(ctx, call, in)
		}, goodOptions())
	})
	s.Patience = time.Millisecond
	checks := functiontest.Checks()
	cancel := checks[slices.IndexFunc(checks, func(c functiontest.Check) bool { return c.Name == "cancel" })]
	require.ErrorContains(t, cancel.Run(t.Context(), s), "still runs 1ms after")
}

func TestCallRecords(t *testing.T) {
	call, rec := functiontest.NewCall("run/a/p")
	rec.Hide("geheim")
	call.Log.Debug("says", "x", "geheim")
	call.Report(t.Context(), function.Progress{Bytes: 3})
	require.Equal(t, "it is [masked]", call.Mask("it is geheim"))
	require.Contains(t, rec.Log(), "x=geheim")
	require.Equal(t, []function.Progress{{Bytes: 3}}, rec.Progress())
	require.NotEqual(t, call.Name(""), call.Name("x"))
}

func TestDeclarationsNoticesDifferences(t *testing.T) {
	greet := function.Define("Greet", "Greets.", greet, goodOptions())
	good := functiontest.Signature{Required: "password name", Optional: "count labels list maybe", Defaults: "count=1", Outputs: "count greeting"}
	require.NoError(t, functiontest.Declarations(t.Context(), []function.Func{greet}, map[string]functiontest.Signature{"Greet": good}))
	for name, spoil := range map[string]func(*functiontest.Signature){
		"required":    func(s *functiontest.Signature) { s.Required = "name" },
		"optional":    func(s *functiontest.Signature) { s.Optional += " more" },
		"defaults":    func(s *functiontest.Signature) { s.Defaults = "count=2" },
		"outputs":     func(s *functiontest.Signature) { s.Outputs = "count" },
		"of any name": func(s *functiontest.Signature) { s.Open = true },
	} {
		bad := good
		spoil(&bad)
		err := functiontest.Declarations(t.Context(), []function.Func{greet}, map[string]functiontest.Signature{"Greet": bad})
		require.ErrorContains(t, err, name)
	}
	require.Error(t, functiontest.Declarations(t.Context(), nil, map[string]functiontest.Signature{"Greet": good}))
	require.Error(t, functiontest.Declarations(t.Context(), []function.Func{greet}, nil))
}
