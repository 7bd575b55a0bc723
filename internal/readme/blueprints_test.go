package readme

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
)

func TestBlueprintsLint(t *testing.T) {
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{})...)
	require.NoError(t, err)
	examples := blocks(t, "docs/blueprints.md", "yaml")
	require.NotEmpty(t, examples)
	for _, b := range examples {
		f := blueprint.Parse("docs/blueprints.md", []byte(b.text))
		require.NoError(t, f.Err())
		for _, bp := range f.Blueprints {
			for _, d := range blueprint.Lint(bp, reg, nil) {
				require.NotEqual(t, blueprint.Error, d.Severity, d.String())
			}
		}
	}
}
