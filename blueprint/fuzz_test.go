package blueprint_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/davit-project/davit/blueprint"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// seeds adds the golden files.
func seeds(f *testing.F) {
	files, err := filepath.Glob("testdata/lint/*.txtar")
	require.NoError(f, err)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(f, err)
		for _, part := range archive.Files {
			f.Add(part.Data)
		}
	}
}

// FuzzParse reads anything: it does not panic, its findings are sorted and in the file, and what it takes survives the
// canonical form.
func FuzzParse(f *testing.F) {
	seeds(f)
	reg := testRegistry(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file := blueprint.Parse("x", data)
		require.True(t, slices.IsSortedFunc(file.Diagnostics, func(a, b blueprint.Diagnostic) int { return a.Line - b.Line }))
		require.LessOrEqual(t, len(file.Diagnostics), 100)
		for _, d := range file.Diagnostics {
			require.Positive(t, d.Line)
			require.Positive(t, d.Column)
		}
		for _, bp := range file.Blueprints {
			blueprint.Lint(bp, reg, nil)
			if file.Err() != nil {
				continue
			}
			encoded, err := bp.JSON()
			require.NoError(t, err)
			again := blueprint.Parse("x", encoded)
			require.NoError(t, again.Err())
			require.Equal(t, bp.Actions, again.Blueprints[0].Actions)
		}
		for _, as := range file.ActionSets {
			if file.Err() == nil {
				require.NoError(t, blueprint.Parse("x", must(as.JSON())).Err())
			}
		}
	})
}

// FuzzLint puts any text wherever a template can stand.
func FuzzLint(f *testing.F) {
	for _, text := range []string{"", "{{ .Time }}", "{{ .Phases.a.Output.b }}", "{{ nope }}", "{{ if }}", "{{ range $i, $x := .StatefulSet.Pods }}{{ $x }}{{ end }}",
		"{{ index .Secrets \"a\" }}\n{{ .ArtifactsIn.x.KeyValue.y }}", "{{ define \"x\" }}{{ end }}{{ template \"x\" . }}", "{{ with .Profile }}{{ .Location }}{{ end }}",
		"é\n{{ .Foo }}", "{{ (index .Object.a 0).b | default .DeferPhase }}", "{{/* c */}}{{- break -}}"} {
		f.Add(text, text)
	}
	reg := testRegistry(f)
	f.Fuzz(func(t *testing.T, text, name string) {
		phase := func(n string) *blueprint.Phase {
			return &blueprint.Phase{Name: n, Func: "KubeTask", If: text, Args: map[string]any{"image": text, "command": []any{text}, name: map[string]any{text: text}}}
		}
		bp := &blueprint.Blueprint{Name: name, ActionNames: []string{"backup"}, Actions: map[string]*blueprint.Action{
			"backup": {Name: "backup", Phases: []*blueprint.Phase{phase("a"), phase(name)}, DeferPhase: phase(text), InputArtifactNames: []string{name}}}}
		first := blueprint.Lint(bp, reg, nil)
		require.Equal(t, first, blueprint.Lint(bp, reg, nil), "the same findings each time")
		if encoded, err := bp.JSON(); err == nil {
			for _, read := range blueprint.Parse("x", encoded).Blueprints {
				for _, d := range blueprint.Lint(read, reg, nil) {
					require.Positive(t, d.Line)
					require.Positive(t, d.Column)
				}
			}
		}
	})
}
