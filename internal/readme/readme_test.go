package readme

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

var (
	// A fenced block, with the HTML comment above it that names the file it is a copy of.
	block  = regexp.MustCompile("(?ms)(?:^<!-- copy of (\\S+) -->\\n+)?^```(\\w*)\\n(.*?)^```$")
	output = regexp.MustCompile(`(?m)^\s*// (Unordered output|Output):`)
	target = regexp.MustCompile(`(?m)^\s*(?:\$ )?make +([a-z0-9]+)`)
	folder = regexp.MustCompile(`(?m)\bgo (?:run|build|test|install) (?:-\S+ )*(\./\S*)`)
	link   = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
)

func TestGoCodeIsACopy(t *testing.T) {
	examples := exampleBodies(t)
	for _, b := range blocks(t, "README.md", "go") {
		if b.file != "" {
			assert.Equal(t, strings.TrimSpace(read(t, b.file)), strings.TrimSpace(b.text), "the copy of %s", b.file)
			continue
		}
		assert.Contains(t, examples, normal(b.text), "Go code in README.md that is no Example's body")
	}
}

func TestBlueprintIsACopy(t *testing.T) {
	for _, b := range blocks(t, "README.md", "yaml") {
		require.NotEmpty(t, b.file, "YAML in README.md that is no copy of a file")
		assert.Equal(t, strings.TrimSpace(read(t, b.file)), strings.TrimSpace(b.text), "the copy of %s", b.file)
	}
}

func TestCommandsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, doc := range []string{"README.md", "CONTRIBUTING.md"} {
		for _, b := range blocks(t, doc, "sh") {
			for _, m := range target.FindAllStringSubmatch(b.text, -1) {
				assert.Regexp(t, `(?m)^`+m[1]+`:`, makefile, "make %s in %s", m[1], doc)
			}
			for _, m := range folder.FindAllStringSubmatch(b.text, -1) {
				assert.DirExists(t, filepath.Join(root, strings.TrimSuffix(m[1], "...")), "in %s", doc)
			}
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		docs = append(docs, filepath.Join(root, name))
	}
	for _, doc := range docs {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1]))
			assert.NoError(t, err, "link in %s", doc)
		}
	}
}

func TestPatterns(t *testing.T) {
	got := parse("text\n<!-- copy of a/b.go -->\n```go\npackage b\n```\n\n```sh\nmake test\n$ make e2e\ngo run -race ./cmd/davit -x\n```\n")
	require.Equal(t, []fenced{
		{file: "a/b.go", language: "go", text: "package b\n"},
		{language: "sh", text: "make test\n$ make e2e\ngo run -race ./cmd/davit -x\n"},
	}, got)
	assert.Equal(t, [][]string{{"make test", "test"}, {"$ make e2e", "e2e"}}, target.FindAllStringSubmatch(got[1].text, -1))
	assert.Equal(t, "./cmd/davit", folder.FindStringSubmatch(got[1].text)[1])
	assert.Equal(t, "docs/a.md", link.FindStringSubmatch("see [a](docs/a.md#part)")[1])
	assert.Nil(t, link.FindStringSubmatch("see [a](https://example.com/)"))
	assert.Equal(t, "if x {\n\ty()\n}", normal("\n\tif x {\n\t\ty()\n\t}\n\t// Output:\n\t// z\n"))
}

type fenced struct{ file, language, text string }

func parse(text string) []fenced {
	var found []fenced
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		found = append(found, fenced{file: m[1], language: m[2], text: m[3]})
	}
	return found
}

func blocks(t *testing.T, doc, language string) []fenced {
	t.Helper()
	var found []fenced
	for _, b := range parse(read(t, doc)) {
		if b.language == language {
			found = append(found, b)
		}
	}
	require.NotEmpty(t, found, "no %s block in %s", language, doc)
	return found
}

// exampleBodies returns the bodies of every Example function of the module.
func exampleBodies(t *testing.T) []string {
	t.Helper()
	var bodies []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, source, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil && strings.HasPrefix(f.Name.Name, "Example") {
				bodies = append(bodies, normal(string(source[set.Position(f.Body.Lbrace).Offset+1:set.Position(f.Body.Rbrace).Offset])))
			}
		}
		return nil
	})
	require.NoError(t, err)
	return bodies
}

// normal takes away one level of indentation where all lines have it, the expected output and the space around.
func normal(code string) string {
	if at := output.FindStringIndex(code); at != nil {
		code = code[:at[0]]
	}
	code = strings.Trim(code, "\n\t ")
	for strings.Contains(code, "\n\t") && !regexp.MustCompile(`\n[^\t\n]`).MatchString(code) {
		code = strings.ReplaceAll(code, "\n\t", "\n")
	}
	return code
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(data)
}
