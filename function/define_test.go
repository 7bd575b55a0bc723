package function_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

type everything struct {
	Text     string            `arg:"text" doc:"A text."`
	Whole    int               `arg:"whole,optional" doc:"A number."`
	Small    int8              `arg:"small,optional" doc:"A number."`
	Count    uint16            `arg:"count,optional" doc:"A number."`
	Ratio    float64           `arg:"ratio,optional" doc:"A number."`
	Wait     bool              `arg:"wait" default:"yes" doc:"A boolean."`
	Timeout  time.Duration     `arg:"timeout" default:"90s" doc:"A duration."`
	Password function.Secret   `arg:"password,optional" doc:"A secret."`
	Pods     []string          `arg:"pods,words,optional" doc:"Names."`
	Command  []string          `arg:"command,command,nonempty" default:"true" doc:"A command."`
	Groups   []string          `arg:"groups,yaml,optional" doc:"Groups."`
	Modes    []string          `arg:"modes" default:"Once" enum:"Once,Many" doc:"Modes."`
	Labels   map[string]string `arg:"labels,optional" doc:"Labels."`
	Override map[string]any    `arg:"override,optional" doc:"An override."`
	Extra    any               `arg:"extra,optional" doc:"Anything."`
	Maybe    *int              `arg:"maybe" doc:"A number or nothing."`
	Ref      *nested           `arg:"ref" doc:"An object."`
	Refs     []nested          `arg:"refs,optional" doc:"Objects."`
}

type nested struct {
	Name string `arg:"name" doc:"A name."`
	Test string `arg:"test,raw,optional" doc:"A template."`
}

// decode runs the arguments through a function and returns what the function got.
func decode(t *testing.T, args map[string]any) (everything, error) {
	t.Helper()
	var got everything
	f := function.Define("F", "Takes everything.", func(_ context.Context, _ *function.Call, in everything) (struct{}, error) {
		got = in
		return struct{}{}, nil
	}, nil)
	_, err := function.NewRegistry(f)
	require.NoError(t, err)
	_, err = f.Exec(t.Context(), nil, args)
	return got, err
}

func TestDefaults(t *testing.T) {
	got, err := decode(t, map[string]any{"text": ""})
	require.NoError(t, err)
	require.Equal(t, everything{Wait: true, Timeout: 90 * time.Second, Command: []string{"true"}, Modes: []string{"Once"}}, got)
}
