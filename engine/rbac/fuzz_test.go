package rbac_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine/rbac"
)

// FuzzOf looks for blueprints that end the process, give away more than they name, or break out of a comment.
func FuzzOf(f *testing.F) {
	for _, pattern := range []string{"../../examples/*/blueprint.yaml", "../../examples/blueprints/*/blueprint.yaml", "../../cmd/davit/testdata/*.yaml", "../../blueprint/testdata/lint/*.txtar"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		require.NotEmpty(f, files, pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	reg := registry(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, bp := range blueprint.Parse("bp.yaml", data).Blueprints {
			for name := range bp.Actions {
				p, err := rbac.Of(reg, bp, blueprint.ActionSpec{Name: name}, nil)
				if err != nil {
					continue
				}
				texts := p.Unknown
				for _, role := range p.Roles() {
					require.NotContains(t, role.Namespace, "*")
					for _, r := range role.Rules {
						require.NotEmpty(t, r.Verbs)
						require.NotEmpty(t, r.Resources)
						require.NotContains(t, append(append(r.Verbs, r.Resources...), r.Group), "*")
						texts = append(append(texts, r.Notes...), r.For...)
					}
				}
				for _, text := range texts {
					require.False(t, strings.ContainsAny(text, "\n\r\u2028\u0085"), "%q", text)
				}
			}
		}
	})
}
