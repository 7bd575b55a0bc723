package function_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

// run executes a function that returns out.
func run[Out any](t *testing.T, out Out) (function.Outputs, error) {
	t.Helper()
	f := function.Define("F", "Returns.", func(context.Context, *function.Call, struct{}) (Out, error) { return out, nil }, nil)
	_, err := function.NewRegistry(f)
	require.NoError(t, err)
	return f.Exec(t.Context(), &function.Call{}, nil)
}

func TestStructOutputs(t *testing.T) {
	type part struct {
		Size  int64  `out:"size" doc:"A size."`
		Extra string `out:"extra,optional" doc:"A text."`
	}
	type results struct {
		ID      string            `out:"id" doc:"A text."`
		Count   int32             `out:"count" doc:"A number."`
		Took    time.Duration     `out:"took" doc:"A duration."`
		Host    string            `out:"host,optional" doc:"A text."`
		Parts   []part            `out:"parts" doc:"Objects."`
		ByName  map[string]part   `out:"byName" doc:"Objects."`
		Maybe   *part             `out:"maybe" doc:"An object."`
		Labels  map[string]string `out:"labels" doc:"Texts."`
		Ratio   float32           `out:"ratio" doc:"A number."`
		Ready   bool              `out:"ready" doc:"A boolean."`
		Anthing any               `out:"anything" doc:"Anything."`
	}
	got, err := run(t, results{ID: "x", Count: 3, Took: time.Minute, Parts: []part{{Size: 1}}, ByName: map[string]part{"a": {2, "b"}},
		Labels: map[string]string{"k": "v"}, Ratio: 0.5, Anthing: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, function.Outputs{
		"id": "x", "count": int64(3), "took": "1m0s", "parts": []any{map[string]any{"size": int64(1)}},
		"byName": map[string]any{"a": map[string]any{"size": int64(2), "extra": "b"}},
		"labels": map[string]any{"k": "v"}, "ratio": 0.5, "ready": false, "anything": []any{"a"},
	}, got)
}

func TestOpenOutputs(t *testing.T) {
	got, err := run(t, function.Outputs{"a": int8(1), "b": json.Number("12345678901"), "c": map[string]any{"d": nil}})
	require.NoError(t, err)
	require.Equal(t, function.Outputs{"a": int64(1), "b": int64(12345678901), "c": map[string]any{"d": nil}}, got)

	got, err = run[function.Outputs](t, nil)
	require.NoError(t, err)
	require.Equal(t, function.Outputs{}, got)

	_, err = run(t, function.Outputs{"b": make(chan int), "a": nil, "c": []any{func() {}}, "s": function.NewSecret("x")})
	require.EqualError(t, err, `output "a": is null
output "b": is a chan int; only texts, numbers, booleans, lists and maps of them are possible
output "c": [0] is a func(); only texts, numbers, booleans, lists and maps of them are possible
output "s": is a function.Secret; only texts, numbers, booleans, lists and maps of them are possible`)
	require.True(t, function.IsPermanent(err))
}

func TestFailureDropsOutputs(t *testing.T) {
	cause := errors.New("disk is full")
	f := function.Define("F", "Fails.", func(context.Context, *function.Call, struct{}) (function.Outputs, error) {
		return function.Outputs{"a": 1}, cause
	}, nil)
	out, err := f.Exec(t.Context(), &function.Call{}, nil)
	require.ErrorIs(t, err, cause)
	require.False(t, function.IsPermanent(err))
	require.Nil(t, out)
}

func TestPanicBecomesAnError(t *testing.T) {
	for name, value := range map[string]any{"error": errors.New("geheim"), "text": "geheim", "struct": struct{ S string }{"geheim"}} {
		t.Run(name, func(t *testing.T) {
			f := function.Define("F", "Panics.", func(context.Context, *function.Call, struct{}) (struct{}, error) { panic(value) }, nil)
			_, err := f.Exec(t.Context(), nil, nil)
			var p *function.PanicError
			require.ErrorAs(t, err, &p)
			require.NotContains(t, fmt.Sprintf("%v %+v %s", err, err, p.Stack), "geheim")
			require.Regexp(t, `^function "F" panicked with a .+ at exec_test.go:\d+$`, err.Error())
			require.Contains(t, string(p.Stack), "exec_test.go")
		})
	}
	f := function.Define("F", "Panics.", func(_ context.Context, c *function.Call, _ struct{}) (struct{}, error) {
		return struct{}{}, fmt.Errorf("never %c", c.Labels["x"][3])
	}, nil)
	_, err := f.Exec(t.Context(), nil, nil)
	require.ErrorContains(t, err, `function "F" panicked with a runtime.boundsError at exec_test.go:`)
}

func TestExecFillsInTheCall(t *testing.T) {
	f := function.Define("F", "Logs.", func(ctx context.Context, c *function.Call, _ struct{}) (struct{}, error) {
		c.Log.Info(c.Mask("x"))
		c.Report(ctx, function.Progress{})
		return struct{}{}, nil
	}, nil)
	_, err := f.Exec(t.Context(), nil, nil)
	require.NoError(t, err)
}

func TestDeclaredCannotRun(t *testing.T) {
	f := function.Declare[struct{}, struct{}]("F", "Is declared.", nil)
	require.False(t, f.Runnable())
	require.NoError(t, f.Validate(nil))
	_, err := f.Exec(t.Context(), nil, nil)
	require.EqualError(t, err, `function "F": the function is declared but not built in`)
	require.ErrorIs(t, err, function.ErrDeclared)
	require.True(t, function.IsPermanent(err))
}

func TestWithdraw(t *testing.T) {
	f := function.Define("F", "Is there.", func(context.Context, *function.Call, struct{}) (struct{}, error) { return struct{}{}, nil }, nil)
	require.NoError(t, f.CannotRun())
	why := errors.New("there is no storage here")
	gone := f.Withdraw(why)
	require.False(t, gone.Runnable())
	require.ErrorIs(t, gone.CannotRun(), why)
	_, err := gone.Exec(t.Context(), nil, nil)
	require.EqualError(t, err, `function "F": there is no storage here`)
	require.True(t, function.IsPermanent(err))
	require.True(t, f.Runnable(), "the function itself stays as it is")
	require.ErrorIs(t, function.Declare[struct{}, struct{}]("F", "Is declared.", nil).CannotRun(), function.ErrDeclared)
}

func TestPermanent(t *testing.T) {
	require.NoError(t, function.Permanent(nil))
	require.False(t, function.IsPermanent(nil))
	cause := &function.PanicError{Func: "F"}
	err := fmt.Errorf("outer: %w", function.Permanent(fmt.Errorf("inner: %w", cause)))
	require.True(t, function.IsPermanent(err))
	require.ErrorIs(t, err, error(cause))
	require.ErrorAs(t, err, new(*function.PanicError))
	require.Equal(t, "outer: inner: "+cause.Error(), err.Error())
	require.False(t, function.IsPermanent(cause))
}
