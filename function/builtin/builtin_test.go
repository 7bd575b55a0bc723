package builtin_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
)

func TestExamplesLintClean(t *testing.T) {
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{})...)
	require.NoError(t, err)
	for _, s := range reg.Schemas() {
		t.Run(s.Name, func(t *testing.T) {
			if s.Example == "" {
				require.NotEmpty(t, s.Deprecated, "a current function has an example")
				return
			}
			for _, d := range blueprint.Lint(around(t, s.Example), reg, nil) {
				if d.Severity == blueprint.Error {
					t.Errorf("%s: %s", d.Code, d.Message)
				}
			}
		})
	}
}

var (
	artifact = regexp.MustCompile(`\.ArtifactsIn\.(\w+)\.KeyValue\.(\w+)`)
	secret   = regexp.MustCompile(`\.Secrets\.(\w+)`)
)

// around makes a blueprint that has what the phase of an example refers to: artifacts, made by a backup, and secrets.
func around(t *testing.T, example string) *blueprint.Blueprint {
	t.Helper()
	keys := map[string]map[string]bool{}
	for _, m := range artifact.FindAllStringSubmatch(example, -1) {
		if keys[m[1]] == nil {
			keys[m[1]] = map[string]bool{}
		}
		keys[m[1]][m[2]] = true
	}
	var b strings.Builder
	b.WriteString("apiVersion: cr.kanister.io/v1alpha1\nkind: Blueprint\nmetadata: {name: example}\nactions:\n  backup:\n    outputArtifacts:\n")
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		b.WriteString("      " + name + ":\n        keyValue:\n")
		for _, key := range slices.Sorted(maps.Keys(keys[name])) {
			b.WriteString("          " + key + ": x\n")
		}
	}
	if len(keys) == 0 {
		b.WriteString("      unused: {keyValue: {a: b}}\n")
	}
	b.WriteString("    phases:\n    - {func: DeleteCSISnapshotContent, name: first, args: {name: a}}\n  restore:\n")
	if names := slices.Sorted(maps.Keys(keys)); len(names) > 0 {
		b.WriteString("    inputArtifactNames: [" + strings.Join(names, ", ") + "]\n")
	}
	if names := secret.FindAllStringSubmatch(example, -1); len(names) > 0 {
		b.WriteString("    secretNames: [" + names[0][1] + "]\n")
	}
	b.WriteString("    phases:\n    - " + strings.ReplaceAll(strings.TrimSpace(example), "\n", "\n      ") + "\n")
	file := blueprint.Parse("example.yaml", []byte(b.String()))
	require.Empty(t, file.Diagnostics, b.String())
	require.Len(t, file.Blueprints, 1)
	return file.Blueprints[0]
}
