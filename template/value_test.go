package template

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValueKeepsTypes(t *testing.T) {
	type named struct{ A string }
	in := map[string]any{
		"{{ top }": "{{ .Time }}", "null": nil, "int": 1, "big": int64(1 << 60), "float": 1.5, "bool": true, "bytes": []byte("{{x"), "struct": named{"{{"},
		"list": []any{"{{ .Time }}", nil, []string{"{{ .Time }}"}, map[string]string{"{{ .Time }}": "v"}}, "emptyList": []any{}, "emptyMap": map[string]any{},
		"number": "{{ 3 }}", "yaml": map[any]any{"k": "{{ .Time }}"}, "literal": "}}",
		"raw": map[string]any{"{{ .x": []any{"{{ .y"}}, "some": []any{map[string]any{"raw": "{{ $.z", "not": "{{ .Time }}"}},
	}
	raw := func(path string) bool { return path == "raw" || path == "some[0].raw" }
	v, err := (*Env)(nil).CompileValue("args", in, raw)
	require.NoError(t, err)
	want := map[string]any{
		"{{ top }": "now", "null": nil, "int": 1, "big": int64(1 << 60), "float": 1.5, "bool": true, "bytes": []byte("{{x"), "struct": named{"{{"},
		"list": []any{"now", nil, []any{"now"}, map[string]any{"now": "v"}}, "emptyList": []any{}, "emptyMap": map[string]any{},
		"number": "3", "yaml": map[string]any{"k": "now"}, "literal": "}}",
		"raw": map[string]any{"{{ .x": []any{"{{ .y"}}, "some": []any{map[string]any{"raw": "{{ $.z", "not": "now"}},
	}
	got, err := v.Render(&Params{Time: "now"})
	require.NoError(t, err)
	require.Equal(t, want, got)

	got.(map[string]any)["raw"].(map[string]any)["{{ .x"] = "changed"
	again, err := v.Render(&Params{Time: "now"})
	require.NoError(t, err)
	require.Equal(t, want, again, "a rendered tree belongs to the caller")
}

func TestValueOutputIsNotRenderedAgain(t *testing.T) {
	v, err := (*Env)(nil).CompileValue("", "{{ .Options.x }}", nil)
	require.NoError(t, err)
	got, err := v.Render(&Params{Options: Options{"x": "{{ .Time }}"}})
	require.NoError(t, err)
	require.Equal(t, "{{ .Time }}", got)
}

func TestValueReportsAllFaults(t *testing.T) {
	_, err := (*Env)(nil).CompileValue("actions.backup.phases[0].args", map[string]any{
		"command": []any{"ok", "{{ nope }}", map[string]any{"{{": 1}}, "b": map[any]any{1: 2}, "a": "{{ .x",
	}, nil)
	require.ErrorIs(t, err, ErrSyntax)
	require.EqualError(t, err, `actions.backup.phases[0].args.a: not a template: unclosed action
actions.backup.phases[0].args.b: not a template: a map has a key that is no text; put quotes around it
actions.backup.phases[0].args.command[1]: not a template: function "nope" not defined
actions.backup.phases[0].args.command[2].{{[key]: not a template: unclosed action`)

	v, err := (*Env)(nil).CompileValue("args", map[string]any{"b": "{{ .Options.b }}", "a": []any{"{{ .Options.a }}", map[string]any{"{{ .Options.c }}": "x"}}, "c": "fine"}, nil)
	require.NoError(t, err)
	_, err = v.Render(&Params{})
	require.ErrorIs(t, err, ErrMissing)
	require.EqualError(t, err, `args.a[0]: .Options.a: no "a" in .Options (it is empty)
args.a[1].{{ .Options.c }}[key]: .Options.c: no "c" in .Options (it is empty)
args.b: .Options.b: no "b" in .Options (it is empty)`)

	v, err = (*Env)(nil).CompileValue("args", map[string]any{"m": map[string]any{"now": 1, "{{ .Time }}": 2}}, nil)
	require.NoError(t, err)
	_, err = v.Render(&Params{Time: "now"})
	require.ErrorContains(t, err, "args.m.{{ .Time }}[key]: ")
	require.ErrorContains(t, err, "the same key")
}

func TestValueDepth(t *testing.T) {
	in := map[string]any{}
	in["self"] = in
	_, err := (*Env)(nil).CompileValue("args", in, nil)
	require.ErrorIs(t, err, ErrLimit)
}

func TestValueWalk(t *testing.T) {
	v, err := (*Env)(nil).CompileValue("args", map[string]any{"b": []any{"{{ .Time }}", "lit"}, "a": map[string]any{"k": "v"}}, nil)
	require.NoError(t, err)
	var paths []string
	v.Walk(func(path string, tmpl *Template) {
		require.NotNil(t, tmpl)
		paths = append(paths, path)
	})
	require.Equal(t, []string{"args.a.k[key]", "args.a.k", "args.b[0]", "args.b[1]"}, paths)
	(*Value)(nil).Walk(nil)
	got, err := (*Value)(nil).Render(nil)
	require.NoError(t, err)
	require.Nil(t, got)
}

// TestErrorDetail is what a caller can read from an error.
func TestErrorDetail(t *testing.T) {
	_, err := render(t, "a\nb {{ .Time }} {{ .Phases.x.Output }}", fullParams())
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "args.command[2]", e.Name)
	require.Equal(t, ".Phases.x.Output", e.Path)
	require.Equal(t, [2]int{2, 18}, [2]int{e.Line, e.Column})
	require.EqualError(t, err, `args.command[2]: line 2: .Phases.x.Output: no "x" in .Phases (it has "dump")`)

	_, err = (*Env)(nil).Compile("n", "a\n\n{{ nope }}")
	require.ErrorAs(t, err, &e)
	require.Equal(t, 3, e.Line)
	require.EqualError(t, err, `n: line 3: not a template: function "nope" not defined`)

	many := Outputs{}
	for i := range 30 {
		many[string(rune('a'+i))] = "s3cr3t"
	}
	_, err = render(t, "{{ .Phases.x.Output.nope }}", &Params{Phases: map[string]*Phase{"x": {Output: many}}})
	require.ErrorContains(t, err, `(it has "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" and 20 more)`)
}
