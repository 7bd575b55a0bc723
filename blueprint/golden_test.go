package blueprint_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davit-project/davit/blueprint"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// check parses a file and lints its blueprints when it has no errors.
func check(t testing.TB, file string, data []byte) []blueprint.Diagnostic {
	t.Helper()
	f := blueprint.Parse(file, data)
	all := f.Diagnostics
	if f.Err() == nil {
		reg := testRegistry(t)
		for _, bp := range f.Blueprints {
			all = append(all, blueprint.Lint(bp, reg, nil)...)
		}
	}
	return all
}

// TestGolden checks the files of testdata/lint: what each is about, the files, and the diagnostics.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/lint/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 40)
	used := map[string]map[blueprint.Severity]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			require.NoError(t, err)
			require.NotEmpty(t, strings.TrimSpace(string(archive.Comment)), "say what the file is about")
			var got strings.Builder
			golden := len(archive.Files) - 1
			require.Equal(t, "diagnostics", archive.Files[golden].Name, "the last file")
			for _, f := range archive.Files[:golden] {
				for _, d := range check(t, f.Name, f.Data) {
					got.WriteString(d.String() + "\n")
					if used[d.Code] == nil {
						used[d.Code] = map[blueprint.Severity]bool{}
					}
					used[d.Code][d.Severity] = true
				}
			}
			if *update {
				archive.Files[golden].Data = []byte(got.String())
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o600))
			}
			require.Equal(t, string(archive.Files[golden].Data), got.String())
		})
	}
	if t.Failed() {
		return
	}
	t.Run("every code has a golden file", func(t *testing.T) {
		for _, c := range blueprint.Codes() {
			for _, s := range c.Severities {
				if !elsewhere[c.Code] {
					require.True(t, used[c.Code][s], "no golden file shows %s %s", s, c.Code)
				}
			}
			delete(used, c.Code)
		}
		require.Empty(t, used, "codes that Codes does not list")
	})
}

// elsewhere are codes that a text file cannot show; TestParseJunk and others do.
var elsewhere = map[string]bool{"encoding": true, "too-large": true, "too-many": true}

func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range blueprint.Codes() {
		require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, c.Code)
		require.Regexp(t, `^[A-Z].*\.$`, c.Doc)
		require.NotEmpty(t, c.Severities)
		require.False(t, seen[c.Code], c.Code)
		seen[c.Code] = true
	}
}
