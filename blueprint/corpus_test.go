package blueprint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// corpus lists the files of the public collection of Kanister blueprints, which lies beside a checkout and is not part
// of it: DAVIT_CORPUS names another place. Without it there is nothing to compare, except in CI, which must have it.
func corpus(t *testing.T) (string, []string) {
	t.Helper()
	root, named := os.LookupEnv("DAVIT_CORPUS")
	if !named {
		root = filepath.Join("..", "..", "shared", "corpus", "kanister-blueprints")
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "*.yaml"))
	require.NoError(t, err)
	if len(files) == 0 {
		require.False(t, named || os.Getenv("CI") == "true", "no corpus in %s", root)
		t.Logf("no corpus in %s: nothing is compared", root)
	}
	return root, files
}

func builtinRegistry(t testing.TB) *function.Registry {
	t.Helper()
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{})...)
	require.NoError(t, err)
	return reg
}

// TestCorpus compares severities, codes and positions, and nothing of the texts, which are not ours. Each error has been
// reviewed: it is a fault of that file.
func TestCorpus(t *testing.T) {
	root, files := corpus(t)
	reg := builtinRegistry(t)
	for _, file := range files {
		rel, err := filepath.Rel(root, file)
		require.NoError(t, err)
		name := strings.NewReplacer(string(filepath.Separator), "__", ".yaml", "").Replace(rel)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			f := blueprint.Parse(rel, data)
			all := f.Diagnostics
			for _, bp := range f.Blueprints {
				all = append(all, blueprint.Lint(bp, reg, nil)...)
			}
			var got strings.Builder
			for _, d := range all {
				fmt.Fprintf(&got, "%s %s %d:%d\n", d.Severity, d.Code, d.Line, d.Column)
				t.Log(d)
			}
			golden := filepath.Join("testdata", "corpus", name+".golden")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
}

// TestCorpusSchema validates what Parse and Lint take.
func TestCorpusSchema(t *testing.T) {
	_, files := corpus(t)
	schema := compileSchema(t, builtinRegistry(t))
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var head struct{ Kind string }
		require.NoError(t, yaml.Unmarshal(data, &head))
		if head.Kind == "Blueprint" {
			require.NoError(t, schema.Validate(instance(t, data)), file)
		}
	}
}

// TestCorpusJSON reads the corpus back from its canonical form.
func TestCorpusJSON(t *testing.T) {
	_, files := corpus(t)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, bp := range blueprint.Parse(file, data).Blueprints {
			again := blueprint.Parse(file, must(bp.JSON()))
			require.Empty(t, again.Diagnostics)
			require.Equal(t, bp.Actions, again.Blueprints[0].Actions)
			require.Equal(t, bp.ActionNames, again.Blueprints[0].ActionNames)
		}
	}
}
