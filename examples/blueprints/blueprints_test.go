package blueprints

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/kube"
)

func TestEveryBlueprintLintsClean(t *testing.T) {
	registry, err := function.NewRegistry(append(kube.Functions(kube.Deps{}), data.LocationDelete(nil))...)
	require.NoError(t, err)
	names, err := fs.Glob(Files, "*/blueprint.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			text, err := Files.ReadFile(name)
			require.NoError(t, err)
			file := blueprint.Parse(name, text)
			require.NoError(t, file.Err())
			require.NotEmpty(t, file.Blueprints)
			for _, bp := range file.Blueprints {
				require.Empty(t, blueprint.Lint(bp, registry, nil))
			}
		})
	}
}
