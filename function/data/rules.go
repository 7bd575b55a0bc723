package data

import (
	"cmp"
	"maps"
	"slices"

	"github.com/davit-project/davit/function"
)

// textOf returns an argument that is a text; absent and empty ones are the fallback.
func textOf(args map[string]any, name, fallback string) string {
	text, _ := args[name].(string)
	return cmp.Or(text, fallback)
}

// keyRules are those of the key store, for phases without a password: in the host program's namespace there may be a secret for each repository.
func (d Deps) keyRules(args map[string]any) []function.Rule {
	if textOf(args, "encryptionKey", "") != "" {
		return nil
	}
	return []function.Rule{{Namespace: d.Namespace, Resource: "secrets", Verbs: []string{"get"}}}
}

// newKeyRules are those of phases that may make a repository.
func (d Deps) newKeyRules(args map[string]any) []function.Rule {
	if textOf(args, "encryptionKey", "") != "" {
		return nil
	}
	return []function.Rule{{Namespace: d.Namespace, Resource: "secrets", Verbs: []string{"get", "create"}}}
}

// podRules are those of a pod that mounts claims and runs to its end.
func podRules(namespace string, claims []string) []function.Rule {
	return []function.Rule{
		{Namespace: namespace, Resource: "pods", Verbs: []string{"create", "get", "list", "watch", "delete"}},
		{Namespace: namespace, Resource: "pods/log", Verbs: []string{"get"}},
		{Namespace: namespace, Resource: "events", Verbs: []string{"list"}},
		{Namespace: namespace, Resource: "secrets", Verbs: []string{"create"}},
		{Namespace: namespace, Resource: "persistentvolumeclaims", Names: claims, Verbs: []string{"get"}},
	}
}

// templateRules are those of looking at the template of the subject's pods.
func templateRules() []function.Rule {
	const namespace, name = "{{ .Object.metadata.namespace }}", "{{ .Object.metadata.name }}"
	var rules []function.Rule
	for _, w := range []struct{ kind, group, resource string }{
		{"StatefulSet", "apps", "statefulsets"}, {"Deployment", "apps", "deployments"}, {"DeploymentConfig", "apps.openshift.io", "deploymentconfigs"},
	} {
		rules = append(rules, function.Rule{Subject: w.kind, Namespace: namespace, Group: w.group, Resource: w.resource, Names: []string{name}, Verbs: []string{"get"}})
	}
	return rules
}

// backupRules are those of a backup from a running container, with any mover.
func (d Deps) backupRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", d.Namespace)
	rules := []function.Rule{
		{Namespace: namespace, Resource: "pods", Verbs: []string{"get"}},
		{Namespace: namespace, Resource: "pods/exec", Verbs: []string{"get", "create"}},
	}
	if d.MoverImage != "" && slices.Contains(d.withDefaults().Movers, MoverPod) {
		rules = append(rules, podRules(namespace, nil)...)
	}
	return append(rules, d.newKeyRules(args)...)
}

func (d Deps) copyRules(args map[string]any) []function.Rule {
	var claims []string
	if volume := textOf(args, "volume", ""); volume != "" {
		claims = []string{volume}
	}
	return slices.Concat(podRules(textOf(args, "namespace", d.Namespace), claims), templateRules(), d.newKeyRules(args))
}

func (d Deps) restoreRules(args map[string]any) []function.Rule {
	volumes, _ := args["volumes"].(map[string]any)
	return slices.Concat(podRules(textOf(args, "namespace", d.Namespace), slices.Sorted(maps.Keys(volumes))), templateRules(), d.keyRules(args))
}
