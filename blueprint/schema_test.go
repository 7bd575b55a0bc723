package blueprint_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// compileSchema compiles the schema, which checks it against its own meta-schema.
func compileSchema(t testing.TB, reg *function.Registry) *jsonschema.Schema {
	t.Helper()
	data, err := blueprint.JSONSchema(reg)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("blueprint.json", doc))
	schema, err := c.Compile("blueprint.json")
	require.NoError(t, err)
	return schema
}

// instance reads a YAML document as a validator of JSON sees it.
func instance(t testing.TB, data []byte) any {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal(data, &v))
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	require.NoError(t, err)
	return doc
}

// beyondSchema are the codes of errors that a schema cannot see.
var beyondSchema = map[string]bool{"template-syntax": true, "template-function-unknown": true, "template-field-unknown": true, "phase-unknown": true,
	"phase-later": true, "bad-release": true, "release-depends": true, "phase-duplicate": true, "output-unknown": true, "object-undeclared": true, "bad-object-kind": true, "artifact-key-unknown": true,
	"artifact-unproduced": true, "no-actions": true, "empty-action": true, "argument-check": true, "bad-condition": true, "unknown-version": true}

// TestJSONSchema validates the blueprints of the golden files: whatever Lint takes, and nothing with faults that a
// schema can see.
func TestJSONSchema(t *testing.T) {
	schema := compileSchema(t, testRegistry(t))
	files, err := filepath.Glob("testdata/lint/lint-*.txtar")
	require.NoError(t, err)
	good, bad := 0, 0
	for _, file := range append(files, "testdata/lint/clean.txtar") {
		archive, err := txtar.ParseFile(file)
		require.NoError(t, err)
		for _, f := range archive.Files[:len(archive.Files)-1] {
			text := string(f.Data)
			if strings.Contains(text, "\n---\n") || strings.HasSuffix(f.Name, ".json") {
				continue
			}
			var faults []string
			for _, d := range check(t, f.Name, f.Data) {
				if d.Severity == blueprint.Error && !beyondSchema[d.Code] {
					faults = append(faults, d.String())
				}
			}
			err := schema.Validate(instance(t, f.Data))
			if len(faults) == 0 {
				good++
				require.NoError(t, err, file)
			} else {
				bad++
				require.Error(t, err, "%s: the schema takes what has these faults: %s", file, faults)
			}
		}
	}
	require.Greater(t, good, 10)
	require.Greater(t, bad, 1)
}

// TestJSONSchemaAgrees compares the schema with the function's own check, one argument at a time.
func TestJSONSchemaAgrees(t *testing.T) {
	reg := testRegistry(t)
	schema := compileSchema(t, reg)
	values := []string{`"text"`, `""`, `null`, `5`, `-5`, `1.5`, `true`, `[]`, `[a]`, `[1, true]`, `[[a]]`, `[null]`, `{}`, `{a: b}`, `{a: 1}`, `{a: [b]}`, `"{{ .Time }}"`,
		`["{{ .Time }}"]`, `{"{{ .Time }}": x}`, `"12"`, `"1e3"`, `YES`, `off`, `STATEFULSET`, `"1h"`, `"1"`, `"0"`, `"[a, b]"`, `"{a: b}"`,
		`{anyOf: [{condition: x, objectReference: {}}]}`, `{anyOf: [{condition: x}]}`, `{anyOf: [{"{{ x }}": x}]}`, `{"{{ x }}": x}`, `{all: []}`}
	base := map[string]string{
		"KubeTask": "image: i, command: c", "ScaleWorkload": "replicas: 1", "Quiet": "", "New": "name: n",
		"Wait": "timeout: 1s, conditions: {anyOf: []}", "Elsewhere": "image: i, command: c",
	}
	for _, s := range reg.Schemas() {
		for _, arg := range s.Args {
			for _, value := range values {
				args := map[string]any{}
				require.NoError(t, yaml.Unmarshal([]byte("{"+base[s.Name]+"}"), &args))
				var v any
				require.NoError(t, yaml.Unmarshal([]byte(value), &v))
				args[arg.Name] = v
				doc := instance(t, must(yaml.Marshal(map[string]any{"apiVersion": blueprint.APIVersion, "kind": "Blueprint",
					"actions": map[string]any{"a": map[string]any{"phases": []any{map[string]any{"func": s.Name, "name": "p", "args": args}}}}})))
				f := must(reg.Lookup(s.Name, s.Version))
				var problems []function.Problem
				for _, p := range f.Check(args) {
					if p.Fault != function.FaultOther {
						problems = append(problems, p)
					}
				}
				err := schema.Validate(doc)
				require.Equal(t, len(problems) == 0, err == nil, "%s %s: %s: check %v, schema %v", s.Name, arg.Name, value, problems, err)
			}
		}
	}
}

// TestJSONSchemaEmpty has no functions to choose from.
func TestJSONSchemaEmpty(t *testing.T) {
	reg, err := function.NewRegistry()
	require.NoError(t, err)
	schema := compileSchema(t, reg)
	require.NoError(t, schema.Validate(instance(t, []byte("{apiVersion: cr.kanister.io/v1alpha1, kind: Blueprint, actions: {a: {phases: [{func: x}]}}}"))))
}

// TestJSONSchemaStable writes the same bytes each time.
func TestJSONSchemaStable(t *testing.T) {
	first, err := blueprint.JSONSchema(testRegistry(t))
	require.NoError(t, err)
	second, err := blueprint.JSONSchema(testRegistry(t))
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
	require.True(t, json.Valid(first))
}
