package blueprint_test

import (
	"testing"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/template"
	"github.com/stretchr/testify/require"
)

// TestLintByHand checks a blueprint that was not read from a file: the findings name their place.
func TestLintByHand(t *testing.T) {
	bp := &blueprint.Blueprint{Name: "bp", Actions: map[string]*blueprint.Action{"verify": {Name: "verify", Phases: []*blueprint.Phase{
		{Name: "a", Func: "Quiet", Timeout: -time.Second, Retry: &blueprint.Retry{}},
		{Name: "b", Func: "KubeTask", Args: map[string]any{"image": "{{ nonsense }}", "command": []any{"x"}}},
	}}}}
	var got []string
	for _, d := range blueprint.Lint(bp, testRegistry(t), nil) {
		got = append(got, d.String())
	}
	require.Equal(t, []string{
		`:1:1: error bad-duration: actions.verify.phases[0].timeout: the timeout -1s is negative`,
		`:1:1: error bad-retry: actions.verify.phases[0].retry: retry needs at least one attempt and no negative backoff`,
		`:1:1: warning no-backup-restore-pair: actions: the blueprint has neither a backup nor a restore`,
		`:1:1: error template-function-unknown: actions.verify.phases[1].args.image: there is no template function "nonsense"`,
	}, got)
}

// TestLintOptions prefers a version, and knows a host's template functions.
func TestLintOptions(t *testing.T) {
	f := blueprint.Parse("x", []byte(header+"actions: {verify: {phases: [{func: New, name: a, args: {name: '{{ shout .Time }}'}}]}}"))
	require.NoError(t, f.Err())
	reg := testRegistry(t)
	require.Contains(t, codes(blueprint.Lint(f.Blueprints[0], reg, nil)), "unknown-version")
	require.Contains(t, codes(blueprint.Lint(f.Blueprints[0], reg, nil)), "template-function-unknown")
	env := &template.Env{Funcs: map[string]any{"shout": func(s string) string { return s + "!" }}}
	require.Equal(t, []string{"no-backup-restore-pair"}, codes(blueprint.Lint(f.Blueprints[0], reg, &blueprint.LintOptions{Version: "v1.0.0", Env: env})))
}

// TestLintNothing checks against an empty registry and an empty blueprint.
func TestLintNothing(t *testing.T) {
	require.Equal(t, []string{"no-actions", "unnamed-blueprint"}, codes(blueprint.Lint(&blueprint.Blueprint{}, nil, nil)))
	f := blueprint.Parse("x", []byte(header+"actions: {verify: {phases: [{func: KubeTask, name: a}]}}"))
	require.Contains(t, codes(blueprint.Lint(f.Blueprints[0], nil, nil)), "unknown-function")
}

// TestLintRecursive ends for arguments that contain themselves.
func TestLintRecursive(t *testing.T) {
	args := map[string]any{"image": "x", "command": "x"}
	args["podOverride"] = args
	bp := &blueprint.Blueprint{Name: "bp", ActionNames: []string{"a"}, Actions: map[string]*blueprint.Action{"a": {Name: "a", Phases: []*blueprint.Phase{{Name: "a", Func: "KubeTask", Args: args}}}}}
	blueprint.Lint(bp, testRegistry(t), nil)
	_, err := bp.JSON()
	require.ErrorContains(t, err, "nests too deep")
}

func codes(ds []blueprint.Diagnostic) []string {
	var out []string
	for _, d := range ds {
		out = append(out, d.Code)
	}
	return out
}
