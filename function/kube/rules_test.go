package kube

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
)

var podVerbs = []string{"create", "get", "list", "watch", "delete"}

// pods are the rules of a pod that runs to its end.
func pods(namespace string, more ...function.Rule) []function.Rule {
	return append([]function.Rule{
		{Namespace: namespace, Resource: "pods", Verbs: podVerbs},
		{Namespace: namespace, Resource: "pods/log", Verbs: []string{"get"}},
		{Namespace: namespace, Resource: "events", Verbs: []string{"list"}},
		{Profile: true, Namespace: namespace, Resource: "secrets", Verbs: []string{"create"}},
	}, more...)
}

func TestRules(t *testing.T) {
	t.Parallel()
	const ns = "{{ .StatefulSet.Namespace }}"
	scale := []string{"get", "patch"}
	list := []string{"list"}
	read := []string{"get"}
	named := func(name string) []string { return []string{name} }
	object := func(fields map[string]any) map[string]any {
		all := map[string]any{"apiVersion": "v1", "name": "x"}
		for name, v := range fields {
			all[name] = v
		}
		return all
	}
	on := func(fields map[string]any) any {
		return map[string]any{"condition": "x", "objectReference": object(fields)}
	}
	for name, c := range map[string]struct {
		function string
		args     map[string]any
		want     []function.Rule
	}{
		"exec": {"KubeExec", map[string]any{"namespace": ns, "pod": "p"}, []function.Rule{
			{Namespace: ns, Resource: "pods", Verbs: read}, {Namespace: ns, Resource: "pods/exec", Verbs: []string{"get", "create"}},
		}},
		"exec all": {"KubeExecAll", map[string]any{"namespace": "ns"}, []function.Rule{
			{Namespace: "ns", Resource: "pods", Verbs: read}, {Namespace: "ns", Resource: "pods/exec", Verbs: []string{"get", "create"}},
		}},
		"task":                     {"KubeTask", map[string]any{"namespace": ns}, pods(ns)},
		"task in the host's":       {"KubeTask", map[string]any{}, pods("host")},
		"task, empty namespace":    {"KubeTask", map[string]any{"namespace": ""}, pods("host")},
		"task, null namespace":     {"KubeTask", map[string]any{"namespace": nil}, pods("host")},
		"task, a number":           {"KubeTask", map[string]any{"namespace": 12}, pods("12")},
		"containers":               {"MultiContainerRun", map[string]any{"namespace": "ns"}, pods("ns")},
		"containers in the host's": {"MultiContainerRun", nil, pods("host")},
		"prepare": {"PrepareData", map[string]any{"namespace": "ns", "volumes": map[string]any{"b": "/b", "a-{{ .Options.x }}": "/a"}},
			pods("ns", function.Rule{Namespace: "ns", Resource: "persistentvolumeclaims", Names: []string{"a-{{ .Options.x }}", "b"}, Verbs: read})},
		"prepare all": {"PrepareData", map[string]any{"namespace": "ns"},
			pods("ns", function.Rule{Namespace: "ns", Resource: "persistentvolumeclaims", Verbs: read})},

		"scale": {"ScaleWorkload", map[string]any{"namespace": "ns", "name": "db", "kind": "statefulset"}, []function.Rule{
			{Namespace: "ns", Group: "apps", Resource: "statefulsets", Names: named("db"), Verbs: scale}, {Namespace: "ns", Resource: "pods", Verbs: list},
		}},
		"scale a deployment": {"ScaleWorkload", map[string]any{"namespace": ns, "name": "{{ .Options.x }}", "kind": "Deployment"}, []function.Rule{
			{Namespace: ns, Group: "apps", Resource: "deployments", Names: named("{{ .Options.x }}"), Verbs: scale},
			{Namespace: ns, Group: "apps", Resource: "replicasets", Verbs: list}, {Namespace: ns, Resource: "pods", Verbs: list},
		}},
		"scale a deployment config": {"ScaleWorkload", map[string]any{"namespace": "ns", "name": "db", "kind": "deploymentConfig"}, []function.Rule{
			{Namespace: "ns", Group: "apps.openshift.io", Resource: "deploymentconfigs", Names: named("db"), Verbs: scale},
			{Namespace: "ns", Resource: "replicationcontrollers", Verbs: list}, {Namespace: "ns", Resource: "pods", Verbs: list},
		}},
		"scale the subject": {"ScaleWorkload", nil, []function.Rule{
			{Subject: "StatefulSet", Namespace: subjectNamespace, Group: "apps", Resource: "statefulsets", Names: named(subjectName), Verbs: scale},
			{Subject: "Deployment", Namespace: subjectNamespace, Group: "apps", Resource: "deployments", Names: named(subjectName), Verbs: scale},
			{Subject: "Deployment", Namespace: subjectNamespace, Group: "apps", Resource: "replicasets", Verbs: list},
			{Subject: "DeploymentConfig", Namespace: subjectNamespace, Group: "apps.openshift.io", Resource: "deploymentconfigs", Names: named(subjectName), Verbs: scale},
			{Subject: "DeploymentConfig", Namespace: subjectNamespace, Resource: "replicationcontrollers", Verbs: list},
			{Namespace: subjectNamespace, Resource: "pods", Verbs: list},
		}},
		"scale who knows what": {"ScaleWorkload", map[string]any{"namespace": "ns", "name": "db", "kind": "{{ .Options.kind }}"}, []function.Rule{
			{Namespace: "ns", Kind: "{{ .Options.kind }}", Names: named("db"), Verbs: scale}, {Namespace: "ns", Resource: "pods", Verbs: list},
		}},

		"wait": {"Wait", map[string]any{"conditions": map[string]any{
			"anyOf": []any{on(map[string]any{"resource": "pods", "namespace": ns}), on(map[string]any{"group": "g", "kind": "Thing"}), "nonsense", nil, map[string]any{}},
			"allOf": []any{on(map[string]any{"resource": "pods", "namespace": ns}), on(map[string]any{"namespace": "ns"})},
		}}, []function.Rule{
			{Namespace: ns, Resource: "pods", Names: named("x"), Verbs: read}, {Group: "g", Version: "v1", Kind: "Thing", Names: named("x"), Verbs: read},
		}},
		"wait for nothing": {"WaitV2", map[string]any{"conditions": "{{ .Options.x }}"}, nil},

		"create": {"KubeOps", map[string]any{"operation": "create", "namespace": ns, "spec": three}, []function.Rule{
			{Namespace: "own", Version: "v1", Kind: "Thing", Verbs: named("create")},
			{Namespace: "own", Version: "v1", Kind: "Thing", Names: named("a"), Verbs: read},
			{Namespace: ns, Group: "apps", Version: "v1", Kind: "Thing", Verbs: named("create")},
			{Namespace: ns, Group: "apps", Version: "v1", Kind: "Thing", Names: named("b"), Verbs: read},
			{Namespace: ns, Group: "example.org", Version: "v1beta1", Kind: "Thing", Verbs: named("create")},
			{Namespace: ns, Group: "example.org", Version: "v1beta1", Kind: "Thing", Names: named("c"), Verbs: read},
		}},
		"create with templates": {"KubeOps", map[string]any{"operation": "create", "spec": "apiVersion: '{{ .Options.group }}/v1'\nkind: '{{ .Options.kind }}'\nmetadata: {generateName: 'a-'}"}, []function.Rule{
			{Namespace: "default", Version: "{{ .Options.group }}/v1", Kind: "{{ .Options.kind }}", Verbs: named("create")},
			{Namespace: "default", Version: "{{ .Options.group }}/v1", Kind: "{{ .Options.kind }}", Verbs: read},
		}},
		"create what cannot be read": {"KubeOps", map[string]any{"operation": "create", "namespace": "ns",
			"spec": "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\n---\nkind: Other\n{{ range .Options.x }}\n{{ end }}"}, []function.Rule{
			{Namespace: "ns", Kind: "{{ range .Options.x }}", Verbs: []string{"create", "get"}},
			{Namespace: "ns", Version: "v1", Kind: "Thing", Verbs: named("create")},
			{Namespace: "ns", Version: "v1", Kind: "Thing", Names: named("a"), Verbs: read},
		}},
		"create nothing that is known": {"KubeOps", map[string]any{"operation": "create", "spec": "{{ .Options.spec }}"}, []function.Rule{
			{Namespace: "default", Kind: "{{ .Options.spec }}", Verbs: []string{"create", "get"}},
		}},
		"create a mistake": {"KubeOps", map[string]any{"operation": "create", "spec": "a: ["}, nil},
		"delete": {"KubeOps", map[string]any{"operation": "Delete", "namespace": "ns", "objectReference": object(map[string]any{"resource": "pods"})},
			[]function.Rule{{Namespace: "ns", Resource: "pods", Names: named("x"), Verbs: []string{"delete", "get"}}}},
		"patch": {"KubeOps", map[string]any{"operation": "patch", "objectReference": object(map[string]any{"kind": "Thing", "group": "g", "namespace": "own"})},
			[]function.Rule{{Namespace: "own", Group: "g", Version: "v1", Kind: "Thing", Names: named("x"), Verbs: []string{"patch", "get"}}}},
		"who knows what": {"KubeOps", map[string]any{"operation": "{{ .Options.op }}", "objectReference": object(map[string]any{"resource": "pods"})},
			[]function.Rule{{Namespace: "default", Resource: "pods", Names: named("x"), Verbs: named("{{ .Options.op }}")}}},
		"who knows what to whom": {"KubeOps", map[string]any{"operation": "{{ .Options.op }}"},
			[]function.Rule{{Namespace: "default", Kind: "{{ .Options.op }}", Verbs: named("{{ .Options.op }}")}}},
		"an unknown operation": {"KubeOps", map[string]any{"operation": "replace", "objectReference": object(map[string]any{"resource": "pods"})}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, get(t, Deps{Namespace: "host"}, c.function).Rules(c.args))
		})
	}
}

func TestEveryFunctionHasRules(t *testing.T) {
	t.Parallel()
	for _, name := range cases {
		rules := get(t, Deps{}, of(name)).Rules(goodArgs(name))
		require.NotEmpty(t, rules, name)
		for _, r := range rules {
			require.NotEmpty(t, r.Verbs, name)
			require.NotEmpty(t, r.Resource+r.Kind, name)
			require.NotContains(t, r.Verbs, "*")
			if len(r.Names) > 0 {
				require.NotSubset(t, r.Verbs, []string{"create"}, "%s: a name cannot restrict who creates", name)
				require.NotSubset(t, r.Verbs, []string{"list"}, "%s: nor who lists", name)
			}
		}
	}
}

// Arguments that have not been checked may be anything.
func TestRulesOfNonsense(t *testing.T) {
	t.Parallel()
	for _, nonsense := range []any{nil, "", "{{ .x }}", 1, true, []any{1}, map[string]any{"a": []any{nil}}} {
		for _, f := range Functions(Deps{}) {
			args := map[string]any{}
			for _, field := range f.Schema().Args {
				args[field.Name] = nonsense
			}
			_ = f.Rules(args)
		}
	}
}
