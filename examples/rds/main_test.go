//go:build unix

package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/data"
	"github.com/davit-project/davit/function/rds"
)

func TestBlueprint(t *testing.T) {
	t.Parallel()
	f := blueprint.Parse("blueprint.yaml", document)
	require.NoError(t, f.Err())
	registry, err := function.NewRegistry(append(rds.Functions(rds.Deps{}), data.LocationDelete(nil))...)
	require.NoError(t, err)
	require.Empty(t, blueprint.Lint(f.Blueprints[0], registry, nil))
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"--instance", "i"}, {"--instance", "i", "--region", "r"}, {"--unknown"}} {
		t.Setenv("DB_PASSWORD", "")
		require.Error(t, run(t.Context(), args, io.Discard, io.Discard))
	}
	kept, err := dumpAt("rds/shop/x")
	require.NoError(t, err)
	require.Equal(t, "rds/shop/x", pathOf(kept))
	_, err = dumpAt("x")
	require.Error(t, err)
}
