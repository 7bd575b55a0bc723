package rbac_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine/rbac"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
	"github.com/davit-project/davit/template"
)

func registry(t testing.TB) *function.Registry {
	t.Helper()
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{})...)
	require.NoError(t, err)
	return reg
}

func parse(t testing.TB, actions string) *blueprint.Blueprint {
	t.Helper()
	f := blueprint.Parse("bp.yaml", []byte("apiVersion: cr.kanister.io/v1alpha1\nkind: Blueprint\nmetadata: {name: bp}\nactions:\n"+actions))
	require.NoError(t, f.Err())
	return f.Blueprints[0]
}

// show writes roles one rule a line: "app: apps statefulsets [db] get (the subject) # note".
func show(p *rbac.Permissions) string {
	var b strings.Builder
	for _, role := range p.Roles() {
		for _, r := range role.Rules {
			fmt.Fprintf(&b, "%s: %s %s %v %s (%s)", role.Namespace, r.Group, strings.Join(r.Resources, ","), r.Names, strings.Join(r.Verbs, ","), strings.Join(r.For, ", "))
			for _, note := range r.Notes {
				b.WriteString(" # " + note)
			}
			b.WriteString("\n")
		}
	}
	for _, u := range p.Unknown {
		b.WriteString("unknown: " + u + "\n")
	}
	return b.String()
}

func lines(text ...string) string { return strings.Join(text, "\n") + "\n" }

var ref = template.ObjectReference{Kind: "statefulset", Namespace: "app", Name: "db"}

func TestParameters(t *testing.T) {
	const body = "    phases: [{func: Wait, name: w, args: {timeout: 1m, conditions: {}}}]\n"
	tests := map[string]struct {
		action string
		spec   blueprint.ActionSpec
		opts   rbac.Options
		want   string
	}{
		"the subject that is named, and its pods": {
			spec: blueprint.ActionSpec{Object: ref},
			want: lines("app:  pods [] list (the subject's pods)", "app: apps statefulsets [db] get (the subject)"),
		},
		"what owns the pods of a deployment": {
			spec: blueprint.ActionSpec{Object: template.ObjectReference{Kind: "Deployment", Namespace: "app", Name: "web"}},
			want: lines("app:  pods [] list (the subject's pods)", "app: apps deployments [web] get (the subject)", "app: apps replicasets [] list (the subject's pods)"),
		},
		"what owns the pods of a deployment config": {
			spec: blueprint.ActionSpec{Object: template.ObjectReference{Kind: "DeploymentConfig", Namespace: "app", Name: "web"}},
			want: lines("app:  pods,replicationcontrollers [] list (the subject's pods)", "app: apps.openshift.io deploymentconfigs [web] get (the subject)"),
		},
		"a claim": {
			spec: blueprint.ActionSpec{Object: template.ObjectReference{Kind: "pvc", Namespace: "app", Name: "data"}},
			want: lines("app:  persistentvolumeclaims [data] get (the subject)"),
		},
		"a namespace is read in itself": {
			spec: blueprint.ActionSpec{Object: template.ObjectReference{Kind: "Namespace", Name: "app"}},
			want: lines("app:  namespaces [app] get (the subject)"),
		},
		"any other object": {
			spec: blueprint.ActionSpec{Object: template.ObjectReference{Group: "example.com", APIVersion: "v1", Resource: "dbs", Namespace: "app", Name: "x"}},
			want: lines("app: example.com dbs [x] get (the subject)"),
		},
		"the kind that the action names": {
			action: "    kind: StatefulSet\n", opts: rbac.Options{Namespace: "app"},
			want: lines("app:  pods [] list (the subject's pods)", "app: apps statefulsets [] get (the subject)"),
		},
		"the kinds that templates read": {
			action: "    outputArtifacts: {a: {keyValue: {x: '{{ .PVC.Name }}', y: '{{ if .Namespace }}{{ end }}'}}}\n", opts: rbac.Options{Namespace: "app"},
			want: lines("app:  namespaces [app] get (the subject)", "app:  persistentvolumeclaims [] get (the subject)"),
		},
		"nothing tells": {
			want: lines(`unknown: action "backup": the kind of the subject: neither the action's kind nor a template tells it`),
		},
		"secrets and config maps that are named": {
			action: "    secretNames: [s, u]\n    configMapNames: [c]\n",
			spec: blueprint.ActionSpec{Object: template.ObjectReference{Kind: "Namespace", Name: "app"},
				Secrets:    map[string]template.ObjectReference{"s": {Namespace: "x", Name: "one"}, "t": {Name: "two"}},
				ConfigMaps: map[string]template.ObjectReference{"c": {Namespace: "x", Name: "one"}}},
			want: lines("app:  namespaces [app] get (the subject)", "default:  secrets [two] get (.Secrets)", "x:  configmaps [one] get (.ConfigMaps)", "x:  secrets [one] get (.Secrets)",
				`unknown: action "backup": reading .Secrets.u: only the request names the object`),
		},
		"a profile that is named": {
			spec: blueprint.ActionSpec{Object: template.ObjectReference{Kind: "Namespace", Name: "app"}, Profile: &template.ObjectReference{Namespace: "x", Name: "prof"}},
			opts: rbac.Options{ProfileSecrets: []template.ObjectReference{{Name: "one"}, {Namespace: "y", Name: "two"}}},
			want: lines("app:  namespaces [app] get (the subject)", "x:  secrets [one] get (the profile)", "x: cr.kanister.io profiles [prof] get (the profile)", "y:  secrets [two] get (the profile)"),
		},
		"a profile that a template reads": {
			action: "    kind: Namespace\n    outputArtifacts: {a: {keyValue: {x: '{{ toJson .Profile }}'}}}\n", opts: rbac.Options{Namespace: "app"},
			want: lines("app:  namespaces [app] get (the subject)",
				"app:  secrets [] get (the profile) # any secret of the namespace: which one holds the profile's credential is not named",
				"app: cr.kanister.io profiles [] get (the profile) # any profile of the namespace: which one is not named"),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.spec.Name = "backup"
			p, err := rbac.OfParameters(parse(t, "  backup:\n"+tc.action+body), tc.spec, &tc.opts)
			require.NoError(t, err)
			assert.Equal(t, tc.want, show(p))
		})
	}
}

func TestProfileOfTheAgentAndOfFunctions(t *testing.T) {
	for _, phase := range []string{
		"{func: KubeTask, name: x, args: {image: i, command: [sh, -c, 'kando location push x']}}",
		"{func: KubeTask, name: x, args: {image: i, command: [sh, -c, 'davit  location pull x']}}",
		"{func: LocationDelete, name: x, args: {artifact: a}}",
	} {
		p, err := rbac.OfParameters(parse(t, "  backup:\n    kind: Namespace\n    phases: ["+phase+"]\n"), blueprint.ActionSpec{Name: "backup"}, nil)
		require.NoError(t, err)
		assert.Contains(t, show(p), "profiles", phase)
	}
	p, err := rbac.OfParameters(parse(t, "  backup:\n    kind: Namespace\n    phases: [{func: KubeTask, name: x, args: {image: i, command: [kando, output, a, b]}}]\n"),
		blueprint.ActionSpec{Name: "backup"}, nil)
	require.NoError(t, err)
	assert.NotContains(t, show(p), "profiles")
}

func TestActionsTellOfEachOthersSubject(t *testing.T) {
	bp := parse(t, `
  backup: {phases: [{func: KubeExec, name: x, args: {namespace: '{{ .StatefulSet.Namespace }}', pod: a, command: [a]}}]}
  delete: {phases: [{func: LocationDelete, name: x, args: {artifact: a}}]}
`)
	p, err := rbac.OfParameters(bp, blueprint.ActionSpec{Name: "delete"}, nil)
	require.NoError(t, err)
	assert.Contains(t, show(p), "default: apps statefulsets [] get (the subject)")
}

func TestObjectsOfPhases(t *testing.T) {
	bp := parse(t, `
  backup:
    phases:
    - func: KubeExec
      name: x
      objects:
        a: {kind: Secret, name: lit, namespace: other}
        b: {kind: Secret, name: "{{ .StatefulSet.Name }}-pw", namespace: "{{ .StatefulSet.Namespace }}"}
        c: {resource: configmaps, name: "{{ .Options.cm }}", namespace: "{{ .Options.ns }}"}
        d: {kind: Pod, name: x, namespace: y}
      args: {namespace: n, pod: a, command: [a]}
`)
	get := func(spec blueprint.ActionSpec) string {
		spec.Name = "backup"
		p, err := rbac.OfParameters(bp, spec, &rbac.Options{Namespace: "app"})
		require.NoError(t, err)
		var kept []string
		for line := range strings.Lines(show(p)) {
			if strings.Contains(line, "objects of phases") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}
	assert.Equal(t, lines(
		"app:  configmaps [] get (objects of phases) # any name: {{ .Options.cm }} is not known yet # in the subject's namespace, if {{ .Options.ns }} is that",
		"app:  secrets [] get (objects of phases) # any name: {{ .StatefulSet.Name }}-pw is not known yet",
		"other:  secrets [lit] get (objects of phases)"), get(blueprint.ActionSpec{}))
	assert.Equal(t, lines(
		"app:  secrets [db-pw] get (objects of phases)",
		"other:  secrets [lit] get (objects of phases)",
		"z:  configmaps [cm] get (objects of phases)"), get(blueprint.ActionSpec{Object: ref, Options: map[string]string{"cm": "cm", "ns": "z"}}))
}

func TestRules(t *testing.T) {
	one := func(r function.Rule) []function.Rule { return []function.Rule{r} }
	tests := map[string]struct {
		rules []function.Rule
		spec  blueprint.ActionSpec
		want  string
	}{
		"literal": {one(function.Rule{Namespace: "x", Resource: "pods", Names: []string{"b", "a"}, Verbs: []string{"get", "delete"}}), blueprint.ActionSpec{},
			lines("x:  pods [a b] get,delete (F)")},
		"the subject's namespace and name": {one(function.Rule{Namespace: "{{ .Object.metadata.namespace }}", Group: "apps", Resource: "statefulsets",
			Names: []string{"{{ .Object.metadata.name }}"}, Verbs: []string{"patch"}}), blueprint.ActionSpec{Object: ref},
			lines("app: apps statefulsets [db] patch (F)")},
		"artifacts that are given": {one(function.Rule{Namespace: "{{ .ArtifactsIn.a.KeyValue.ns }}", Resource: "pods", Verbs: []string{"get"}}),
			blueprint.ActionSpec{Artifacts: map[string]template.Artifact{"a": {KeyValue: map[string]string{"ns": "z"}}}}, lines("z:  pods [] get (F)")},
		"outputs are not known": {one(function.Rule{Namespace: "{{ .Phases.a.Output.ns }}", Resource: "pods", Verbs: []string{"get"}}), blueprint.ActionSpec{},
			lines("default:  pods [] get (F) # in the subject's namespace, if {{ .Phases.a.Output.ns }} is that")},
		"an unknown resource is not granted": {one(function.Rule{Namespace: "x", Resource: "{{ .Options.r }}", Verbs: []string{"get"}}), blueprint.ActionSpec{},
			lines(`unknown: action "backup": what F does with {{ .Options.r }}: {{ .Options.r }} is not known yet`)},
		"an unknown verb is not granted": {one(function.Rule{Namespace: "x", Kind: "Pod", Verbs: []string{"{{ .Options.v }}"}}), blueprint.ActionSpec{},
			lines(`unknown: action "backup": what F does with Pod: {{ .Options.v }} is not known yet`)},
		"creation has no name": {one(function.Rule{Namespace: "x", Resource: "pods", Names: []string{"a"}, Verbs: []string{"create", "get"}}), blueprint.ActionSpec{},
			lines("x:  pods [] create (F)", "x:  pods [a] get (F)")},
		"but for a subresource": {one(function.Rule{Namespace: "x", Resource: "pods/exec", Names: []string{"a"}, Verbs: []string{"create", "get"}}), blueprint.ActionSpec{},
			lines("x:  pods/exec [a] get,create (F)")},
		"kinds of Kubernetes": {[]function.Rule{
			{Namespace: "x", Kind: "ConfigMap", Version: "v1", Verbs: []string{"create"}},
			{Namespace: "x", Group: "networking.k8s.io", Kind: "NetworkPolicy", Verbs: []string{"create"}},
			{Namespace: "x", Group: "storage.k8s.io", Kind: "StorageClass", Verbs: []string{"create"}},
			{Namespace: "x", Group: "batch", Kind: "Job", Verbs: []string{"create"}}}, blueprint.ActionSpec{},
			lines("x:  configmaps [] create (F)", "x: batch jobs [] create (F)", "x: networking.k8s.io networkpolicies [] create (F)", ": storage.k8s.io storageclasses [] create (F)")},
		"other kinds are guessed": {one(function.Rule{Namespace: "x", Group: "example.com", Kind: "Proxy", Verbs: []string{"create"}}), blueprint.ActionSpec{},
			lines("x: example.com proxies [] create (F) # the resource of kind Proxy is a guess")},
		"objects of the cluster": {one(function.Rule{Namespace: "x", Resource: "persistentvolumes", Names: []string{"a"}, Verbs: []string{"get"}}), blueprint.ActionSpec{},
			lines(":  persistentvolumes [a] get (F)")},
		"a namespace is in itself": {one(function.Rule{Resource: "namespaces", Names: []string{"a", "b"}, Verbs: []string{"get", "create"}}), blueprint.ActionSpec{},
			lines("a:  namespaces [a] get (F)", "b:  namespaces [b] get (F)", ":  namespaces [] create (F)")},
		"other subjects": {[]function.Rule{{Subject: "Deployment", Namespace: "x", Group: "apps", Resource: "replicasets", Verbs: []string{"list"}},
			{Subject: "StatefulSet", Namespace: "x", Group: "apps", Resource: "statefulsets", Verbs: []string{"get"}}}, blueprint.ActionSpec{Object: ref},
			lines("x: apps statefulsets [] get (F)")},
		"a subject that is not known": {one(function.Rule{Subject: "Deployment", Namespace: "x", Resource: "pods", Verbs: []string{"list"}}), blueprint.ActionSpec{},
			lines("x:  pods [] list (F) # only for a subject of kind Deployment")},
		"without a profile": {one(function.Rule{Profile: true, Namespace: "x", Resource: "secrets", Verbs: []string{"create"}}), blueprint.ActionSpec{}, ""},
		"with a profile": {one(function.Rule{Profile: true, Namespace: "x", Resource: "secrets", Verbs: []string{"create"}}),
			blueprint.ActionSpec{Profile: &template.ObjectReference{Namespace: "y", Name: "p"}}, lines("x:  secrets [] create (F)")},
		"stars are refused": {[]function.Rule{{Namespace: "x", Resource: "*", Verbs: []string{"get"}}, {Namespace: "x", Resource: "pods", Verbs: []string{"*"}},
			{Namespace: "x", Group: "*", Resource: "pods", Verbs: []string{"get"}}, {Namespace: "*", Resource: "pods", Verbs: []string{"get"}}}, blueprint.ActionSpec{},
			lines(`unknown: action "backup": what F does: "*" is no resource`, `unknown: action "backup": what F does: "*" is no verb`,
				`unknown: action "backup": what F does: "*" is no API group`, `unknown: action "backup": what F does: "*" is no namespace`)},
		"names that are none": {one(function.Rule{Namespace: "x", Resource: "pods", Names: []string{"a/b\nc"}, Verbs: []string{"get"}}), blueprint.ActionSpec{},
			lines(`unknown: action "backup": what F does: "a/b\nc" is no name of an object`)},
	}
	bp := parse(t, "  backup: {phases: [{func: KubeExec, name: x, args: {namespace: a, pod: a, command: [a]}}]}\n")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.spec.Name = "backup"
			p, err := rbac.OfRules("F", tc.rules, bp, tc.spec, nil)
			require.NoError(t, err)
			assert.Equal(t, tc.want, show(p))
		})
	}
}

func TestKindsOfTheHost(t *testing.T) {
	bp := parse(t, "  backup: {kind: Namespace, phases: [{func: LocationDelete, name: x, args: {artifact: a}}]}\n")
	opts := &rbac.Options{Kinds: func(group, version, kind string) (string, bool, bool) {
		return "prox", false, group == "example.com" && version == "v2" && kind == "Proxy"
	}}
	p, err := rbac.OfRules("F", []function.Rule{{Namespace: "x", Group: "example.com", Version: "v2", Kind: "Proxy", Verbs: []string{"create"}}}, bp, blueprint.ActionSpec{Name: "backup"}, opts)
	require.NoError(t, err)
	assert.Equal(t, lines(": example.com prox [] create (F)"), show(p))
}

func TestMerge(t *testing.T) {
	need := func(why, resource string, names, verbs []string) rbac.Need {
		return rbac.Need{Rule: function.Rule{Namespace: "x", Resource: resource, Names: names, Verbs: verbs}, For: why}
	}
	all := []rbac.Need{
		need("A", "pods", nil, []string{"list", "get"}),
		need("B", "pods", []string{"one"}, []string{"get", "delete"}),
		need("C", "secrets", []string{"two"}, []string{"get"}),
		need("D", "secrets", []string{"one"}, []string{"get"}),
		need("E", "events", nil, []string{"list"}),
		need("F", "services", nil, []string{"get", "list", "get"}),
	}
	want := lines(
		"x:  events [] list (E)",
		"x:  pods [one] delete (B)",
		"x:  pods,services [] get,list (A, B, F)",
		"x:  secrets [one two] get (C, D)")
	for range 20 {
		assert.Equal(t, want, show(&rbac.Permissions{Needs: all}))
		all = append(all[1:], all[0])
	}
}

func TestOfWholeActions(t *testing.T) {
	bp := parse(t, `
  backup:
    phases:
    - {func: KubeExec, name: a, args: {namespace: "{{ .StatefulSet.Namespace }}", pod: p, command: [x]}}
    - {func: DeleteDataUsingKopiaServer, name: b, args: {namespace: n, backupID: i, image: p}}
    deferPhase: {func: ScaleWorkload, args: {replicas: 1}}
`)
	p, err := rbac.Of(registry(t), bp, blueprint.ActionSpec{Name: "backup", Object: ref}, nil)
	require.NoError(t, err)
	joined := rbac.Join(p, p)
	assert.Equal(t, lines(
		"app:  pods [] get,list (KubeExec, ScaleWorkload, the subject's pods)",
		"app:  pods/exec [] get,create (KubeExec)",
		"app: apps statefulsets [db] get,patch (ScaleWorkload, the subject)",
		`unknown: action "backup": phase "b": function DeleteDataUsingKopiaServer is not built in`), show(joined))
}

func TestWhatIsNotThere(t *testing.T) {
	bp := parse(t, "  backup: {phases: [{func: Nope, name: x, args: {}}]}\n")
	_, err := rbac.Of(registry(t), bp, blueprint.ActionSpec{Name: "backup"}, nil)
	require.ErrorIs(t, err, function.ErrUnknown)
	bp.Actions["null"] = nil
	_, err = rbac.OfParameters(bp, blueprint.ActionSpec{Name: "backup"}, nil)
	require.NoError(t, err)
	_, err = rbac.Of(registry(t), bp, blueprint.ActionSpec{Name: "restore"}, nil)
	require.EqualError(t, err, `blueprint "bp" has no action "restore"; it has backup`)
}

func ExampleOf() {
	file := blueprint.Parse("bp.yaml", []byte(`
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: notes}
actions:
  backup:
    phases:
    - func: KubeExec
      name: dump
      args:
        namespace: "{{ .StatefulSet.Namespace }}"
        pod: "{{ index .StatefulSet.Pods 0 }}"
        command: [dump]
`))
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{})...)
	if err != nil {
		fmt.Println(err)
		return
	}
	needs, err := rbac.Of(reg, file.Blueprints[0], blueprint.ActionSpec{
		Name: "backup", Object: template.ObjectReference{Kind: "StatefulSet", Namespace: "shop", Name: "db"},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, role := range needs.Roles() {
		for _, rule := range role.Rules {
			fmt.Println(role.Namespace, rule.Group, rule.Resources, rule.Names, rule.Verbs, rule.For)
		}
	}
	// Output:
	// shop  [pods] [] [get list] [KubeExec the subject's pods]
	// shop  [pods/exec] [] [get create] [KubeExec]
	// shop apps [statefulsets] [db] [get] [the subject]
}
