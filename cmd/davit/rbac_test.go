package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine/rbac"
)

// davit runs a command of the program in this process.
func davit(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{args: append([]string{"davit"}, args...), getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		interrupts: func() (<-chan os.Signal, func()) { return nil, func() {} }}
	code = p.main(t.Context())
	return code, out.String(), errs.String()
}

// golden compares with a file in testdata.
func golden(t *testing.T, path, got string) {
	t.Helper()
	path = filepath.Join("testdata", path)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// rolesOf is what davit rbac prints, and what it warns of.
func rolesOf(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := davit(t, append([]string{"rbac"}, args...)...)
	require.Zero(t, code, errs)
	validRoles(t, out)
	if errs != "" {
		out += "=== standard error\n" + errs
	}
	return out
}

// validRoles reads the roles as Kubernetes would and refuses what gives away more than named resources.
func validRoles(t *testing.T, text string) {
	t.Helper()
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var document map[string]any
		if d.Decode(&document) != nil {
			return
		}
		data, err := json.Marshal(document)
		require.NoError(t, err)
		if len(document) == 0 || !strings.HasSuffix(document["kind"].(string), "Role") {
			continue
		}
		strict := json.NewDecoder(bytes.NewReader(data))
		strict.DisallowUnknownFields()
		var role rbacv1.Role
		require.NoError(t, strict.Decode(&role))
		require.NotEmpty(t, role.Rules)
		for _, r := range role.Rules {
			assert.Len(t, r.APIGroups, 1)
			assert.NotEmpty(t, r.Resources)
			assert.NotEmpty(t, r.Verbs)
			assert.NotContains(t, append(append(r.Verbs, r.Resources...), r.APIGroups...), "*")
		}
	}
}

func TestRolesOfExamples(t *testing.T) {
	tests := map[string][]string{
		"first":             {"../../examples/first/blueprint.yaml", "-n", "shop"},
		"first-named":       {"../../examples/first/blueprint.yaml", "-t", "shop/db", "-p", "shop/backups", "--profile-secret", "keys", "--service-account", "ops/davit", "--name", "backups"},
		"first-delete":      {"../../examples/first/blueprint.yaml", "-a", "delete", "-t", "shop/db", "-p", "shop/backups", "--profile-secret", "other/keys"},
		"bbolt":             {"../../examples/blueprints/bbolt/blueprint.yaml", "-n", "shop"},
		"places":            {"testdata/places.yaml", "-n", "app", "-d", "app/web", "-d", "app2/web", "--option", "ns=elsewhere"},
		"places-unknown":    {"testdata/places.yaml"},
		"places-and-others": {"testdata/places.yaml", "../../examples/first/blueprint.yaml", "-a", "cluster", "-a", "delete", "-T", "app"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) { golden(t, "rbac/"+name+".golden", rolesOf(t, args...)) })
	}
}

// TestRolesOfCorpus has a golden file for each blueprint of the public collection, which lies beside a checkout and is not part of it: DAVIT_CORPUS names
// another place. Without it there is nothing to compare, except in CI, which must have it.
func TestRolesOfCorpus(t *testing.T) {
	root, named := os.LookupEnv("DAVIT_CORPUS")
	if !named {
		root = filepath.Join("..", "..", "..", "shared", "corpus", "kanister-blueprints")
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "*.yaml"))
	require.NoError(t, err)
	if len(files) == 0 {
		require.False(t, named || os.Getenv("CI") == "true", "no corpus in %s", root)
		t.Logf("no corpus in %s: nothing is compared", root)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		if len(blueprint.Parse(file, data).Blueprints) == 0 {
			continue
		}
		name := filepath.Base(filepath.Dir(file)) + "__" + strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			first := rolesOf(t, file, "-n", "app")
			golden(t, "rbac/corpus/"+name+".golden", first)
			assert.Equal(t, first, rolesOf(t, file, "-n", "app"), "the same each time")
		})
	}
}

func TestRolesInJSONAreThoseInYAML(t *testing.T) {
	args := []string{"rbac", "testdata/places.yaml", "-n", "app"}
	_, text, _ := davit(t, args...)
	code, out, _ := davit(t, append(args, "-o", "json")...)
	require.Zero(t, code)
	var list struct {
		Kind  string
		Items []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	assert.Equal(t, "List", list.Kind)
	var want []map[string]any
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var document map[string]any
		if d.Decode(&document) != nil {
			break
		}
		want = append(want, document)
	}
	assert.Equal(t, want, list.Items)
}

func TestRoleNames(t *testing.T) {
	for _, tc := range []struct {
		flag  string
		names []string
		want  string
	}{
		{"", []string{"My_Blueprint.x"}, "davit-my-blueprint.x"},
		{"", []string{"--"}, "davit"},
		{"", []string{"a", "b"}, "davit"},
		{"x", []string{"a"}, "x"},
	} {
		var all []*blueprint.Blueprint
		for _, name := range tc.names {
			all = append(all, &blueprint.Blueprint{Name: name})
		}
		assert.Equal(t, tc.want, roleName(tc.flag, all))
	}
}

func TestNamesAreQuotedForYAML11(t *testing.T) {
	names := []string{"y", "n", "yes", "no", "on", "off", "true", "null", "1e3", "0x1", "1_000", "2026-01-01", "012", "12:30:45", "~", "plain-name"}
	g := &grant{name: "x", roles: []rbac.Role{{Namespace: "shop", Rules: []rbac.Rule{{Resources: []string{"pods"}, Names: names, Verbs: []string{"get"}}}}}}
	text, err := g.yaml()
	require.NoError(t, err)
	for _, name := range names[:len(names)-1] {
		assert.Contains(t, string(text), `"`+name+`"`)
	}
	assert.Contains(t, string(text), ", plain-name]")
}
