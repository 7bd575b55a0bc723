package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/volume"
)

func TestBlueprint(t *testing.T) {
	t.Parallel()
	f := blueprint.Parse("blueprint.yaml", document)
	require.NoError(t, f.Err())
	registry, err := function.NewRegistry(volume.Functions(volume.Deps{})...)
	require.NoError(t, err)
	require.Empty(t, blueprint.Lint(f.Blueprints[0], registry, nil))
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--storage-class", "fast", "more"}, {"--unknown"}, {"--storage-class", "fast", "--kubeconfig", "/nowhere"}} {
		require.Error(t, run(t.Context(), args, io.Discard, io.Discard))
	}
}
