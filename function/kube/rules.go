package kube

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/davit-project/davit/function"
)

// subjectNamespace and subjectName are what an unset argument of ScaleWorkload becomes.
const (
	subjectNamespace = "{{ .Object.metadata.namespace }}"
	subjectName      = "{{ .Object.metadata.name }}"
)

// templateAction finds the first action of a template.
var templateAction = regexp.MustCompile(`\{\{[^{}]*\}\}`)

// textOf returns an argument as text; absent, null and empty ones are the fallback.
func textOf(args map[string]any, name, fallback string) string {
	switch v := args[name].(type) {
	case nil:
		return fallback
	case string:
		return cmp.Or(v, fallback)
	case map[string]any, []any:
		return fallback
	default:
		return fmt.Sprint(v)
	}
}

// only restricts a rule to one name; an empty one is none.
func only(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// execRules are those of commands in containers. Pods come and go: the rules are for all of the namespace.
func execRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", "")
	return []function.Rule{
		{Namespace: namespace, Resource: "pods", Verbs: []string{"get"}},
		{Namespace: namespace, Resource: "pods/exec", Verbs: []string{"get", "create"}},
	}
}

// podRules are those of pods that run to their end. A secret is created for the pod of a run that has a profile.
func (d Deps) podRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", d.Namespace)
	return []function.Rule{
		{Namespace: namespace, Resource: "pods", Verbs: []string{"create", "get", "list", "watch", "delete"}},
		{Namespace: namespace, Resource: "pods/log", Verbs: []string{"get"}},
		{Namespace: namespace, Resource: "events", Verbs: []string{"list"}},
		{Profile: true, Namespace: namespace, Resource: "secrets", Verbs: []string{"create"}},
	}
}

// prepareRules are those of a pod and of the claims it mounts: the ones that are named, or else all.
func (d Deps) prepareRules(args map[string]any) []function.Rule {
	volumes, _ := args["volumes"].(map[string]any)
	return append(d.podRules(args), function.Rule{
		Namespace: textOf(args, "namespace", d.Namespace), Resource: "persistentvolumeclaims",
		Names: slices.Sorted(maps.Keys(volumes)), Verbs: []string{"get"},
	})
}

// workloadKind says where a kind of workload and what stands between it and its pods are found.
type workloadKind struct {
	kind, group, resource string
	// ownerGroup and owner name the resource of what owns the pods; empty when the workload does.
	ownerGroup, owner string
}

var workloadKinds = []workloadKind{
	{"StatefulSet", "apps", "statefulsets", "", ""},
	{"Deployment", "apps", "deployments", "apps", "replicasets"},
	{"DeploymentConfig", "apps.openshift.io", "deploymentconfigs", "", "replicationcontrollers"},
}

// scaleRules are those of the workload and of its pods. Where no kind is named there are rules for each, of which the subject's kind
// tells which are needed.
func scaleRules(args map[string]any) []function.Rule {
	kind := textOf(args, "kind", "")
	namespace, name := textOf(args, "namespace", subjectNamespace), textOf(args, "name", subjectName)
	verbs := []string{"get", "patch"}
	var rules []function.Rule
	if hasTemplate(kind) {
		rules = append(rules, function.Rule{Namespace: namespace, Kind: kind, Names: only(name), Verbs: verbs})
	}
	for _, w := range workloadKinds {
		subject := ""
		if kind == "" {
			subject = w.kind
		} else if !strings.EqualFold(kind, w.kind) {
			continue
		}
		rules = append(rules, function.Rule{Subject: subject, Namespace: namespace, Group: w.group, Resource: w.resource, Names: only(name), Verbs: verbs})
		if w.owner != "" {
			rules = append(rules, function.Rule{Subject: subject, Namespace: namespace, Group: w.ownerGroup, Resource: w.owner, Verbs: []string{"list"}})
		}
	}
	return append(rules, function.Rule{Namespace: namespace, Resource: "pods", Verbs: []string{"list"}})
}

// waitRules are those of the objects that conditions are about.
func waitRules(args map[string]any) []function.Rule {
	conditions, _ := args["conditions"].(map[string]any)
	var rules []function.Rule
	for _, list := range []string{"anyOf", "allOf"} {
		elements, _ := conditions[list].([]any)
		for _, element := range elements {
			fields, _ := element.(map[string]any)
			if rule, ok := referenceRule(fields, "", []string{"get"}); ok && !slices.ContainsFunc(rules, equalTo(rule)) {
				rules = append(rules, rule)
			}
		}
	}
	return rules
}

// referenceRule is about the object of field objectReference.
func referenceRule(args map[string]any, namespace string, verbs []string) (rule function.Rule, ok bool) {
	ref, _ := args["objectReference"].(map[string]any)
	rule = function.Rule{
		Namespace: textOf(ref, "namespace", namespace), Group: textOf(ref, "group", ""), Resource: textOf(ref, "resource", ""),
		Names: only(textOf(ref, "name", "")), Verbs: verbs,
	}
	if rule.Resource == "" {
		rule.Version, rule.Kind = textOf(ref, "apiVersion", ""), textOf(ref, "kind", "")
	}
	return rule, rule.Resource != "" || rule.Kind != ""
}

// kubeOpsRules are those of the operation. Of one that is only known when the phase runs, the verb is its template text.
func kubeOpsRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", defaultNamespace)
	operation := textOf(args, "operation", "")
	var verbs []string
	switch strings.ToLower(operation) {
	case opCreate:
		return createRules(textOf(args, "spec", ""), namespace)
	case opDelete:
		verbs = []string{"delete", "get"}
	case opPatch:
		verbs = []string{"patch", "get"}
	default:
		if !hasTemplate(operation) {
			return nil
		}
		verbs = []string{operation}
	}
	if rule, ok := referenceRule(args, namespace, verbs); ok {
		return []function.Rule{rule}
	}
	if hasTemplate(operation) {
		return []function.Rule{{Namespace: namespace, Kind: operation, Verbs: verbs}}
	}
	return nil
}

// createRules are those of the objects of a spec. A name cannot restrict who creates. Where a spec can only be read once it is rendered, the
// rule for the rest of it has a template text as its kind.
func createRules(spec, namespace string) []function.Rule {
	all, err := parseManifests(spec)
	var rules []function.Rule
	if err != nil && hasTemplate(spec) {
		unknown := cmp.Or(templateAction.FindString(spec), "{{ }}")
		rules = append(rules, function.Rule{Namespace: namespace, Kind: unknown, Verbs: []string{"create", "get"}})
	}
	for _, m := range all {
		kind, _ := m.object["kind"].(string)
		rule := function.Rule{Namespace: cmp.Or(m.metadata("namespace"), namespace), Kind: kind, Verbs: []string{"create"}}
		rule.Group, rule.Version = m.groupVersion()
		read := rule
		read.Names, read.Verbs = only(m.name()), []string{"get"}
		for _, r := range []function.Rule{rule, read} {
			if !slices.ContainsFunc(rules, equalTo(r)) {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

func equalTo(a function.Rule) func(function.Rule) bool {
	return func(b function.Rule) bool {
		return a.Subject == b.Subject && a.Profile == b.Profile && a.Namespace == b.Namespace && a.Group == b.Group && a.Version == b.Version && a.Kind == b.Kind &&
			a.Resource == b.Resource && slices.Equal(a.Names, b.Names) && slices.Equal(a.Verbs, b.Verbs)
	}
}
