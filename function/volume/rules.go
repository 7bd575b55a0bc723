package volume

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-project/davit/function"
)

// subjectNamespace is what an unset namespace becomes where the action's subject gives it.
const subjectNamespace = "{{ .Object.metadata.namespace }}"

// Resources of the snapshot API. Contents and classes belong to no namespace.
const (
	snapshotGroup = "snapshot.storage.k8s.io"
	snapshots     = "volumesnapshots"
	contents      = "volumesnapshotcontents"
	classes       = "volumesnapshotclasses"
	storageGroup  = "storage.k8s.io"
)

// ofSnapshots is a rule for the snapshots of a namespace; one without names is for all.
func ofSnapshots(namespace string, names []string, verbs ...string) function.Rule {
	return function.Rule{Namespace: namespace, Group: snapshotGroup, Resource: snapshots, Names: names, Verbs: verbs}
}

// ofContents is a rule for the objects that stand for the storage's snapshots. The cluster names them, so that it is for all.
func ofContents(verbs ...string) function.Rule {
	return function.Rule{Group: snapshotGroup, Resource: contents, Verbs: verbs}
}

// makingRules are those of making and removing snapshots of these names: a name cannot restrict who creates. What a failed call made goes from the storage whatever
// its class says: that is written on its content, which may have to be deleted by itself.
func makingRules(namespace string, names []string, more ...string) []function.Rule {
	return []function.Rule{
		ofSnapshots(namespace, nil, "create"),
		ofSnapshots(namespace, names, append([]string{"get", "delete"}, more...)...),
		ofContents("get", "patch", "delete"),
		eventsRule(namespace),
	}
}

// eventsRule is for what the storage says only in events: without it, errors say less.
func eventsRule(namespace string) function.Rule {
	return function.Rule{Namespace: namespace, Resource: "events", Verbs: []string{"list"}}
}

// classRules are those of a class by name, or of finding the default one.
func classRules(args map[string]any) function.Rule {
	if name := textOf(args, "snapshotClass", ""); name != "" {
		return function.Rule{Group: snapshotGroup, Resource: classes, Names: []string{name}, Verbs: []string{"get"}}
	}
	return function.Rule{Group: snapshotGroup, Resource: classes, Verbs: []string{"list"}}
}

// claimRules are those of finding the driver behind claims.
func claimRules(namespace string, names []string) []function.Rule {
	return []function.Rule{
		{Namespace: namespace, Resource: "persistentvolumeclaims", Names: names, Verbs: []string{"get"}},
		{Resource: "persistentvolumes", Verbs: []string{"get"}},
	}
}

func createRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", "")
	return slices.Concat(makingRules(namespace, only(textOf(args, "name", ""))),
		claimRules(namespace, only(textOf(args, "pvc", ""))), []function.Rule{classRules(args)})
}

func staticRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", "")
	return append(makingRules(namespace, only(textOf(args, "name", ""))), ofContents("create"), classRules(args))
}

func groupRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", subjectNamespace)
	claims, _ := args["pvcs"].([]any)
	rules := slices.Concat(makingRules(namespace, groupNames(args, claims), "patch"), claimRules(namespace, texts(claims)), []function.Rule{classRules(args)})
	if _, held := args["hold"].(map[string]any); held {
		rules = append(rules,
			function.Rule{Namespace: namespace, Resource: "pods", Verbs: []string{"get"}},
			function.Rule{Namespace: namespace, Resource: "pods/exec", Verbs: []string{"get", "create"}})
	}
	return rules
}

// groupNames are the names of a group's snapshots, where all of them are given.
func groupNames(args map[string]any, claims []any) []string {
	given, _ := args["names"].(map[string]any)
	var names []string
	for _, claim := range texts(claims) {
		name, ok := given[claim].(string)
		if !ok {
			return nil
		}
		names = append(names, name)
	}
	return names
}

func awaitRules(args map[string]any) []function.Rule {
	var names []string
	switch given := args["names"].(type) {
	case string:
		if !hasTemplate(given) {
			names = strings.Fields(given)
		}
	case []any:
		names = texts(given)
	}
	return []function.Rule{ofSnapshots(textOf(args, "namespace", subjectNamespace), names, "get"), ofContents("get")}
}

func restoreRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", "")
	return []function.Rule{
		ofSnapshots(namespace, only(textOf(args, "name", "")), "get"),
		ofContents("get"),
		{Namespace: namespace, Resource: "persistentvolumeclaims", Verbs: []string{"create"}},
		{Namespace: namespace, Resource: "persistentvolumeclaims", Names: only(textOf(args, "pvc", "")), Verbs: []string{"get", "delete"}},
		{Group: storageGroup, Resource: "storageclasses", Names: only(textOf(args, "storageClass", "")), Verbs: []string{"get"}},
		eventsRule(namespace),
	}
}

// deleteRules let a content be marked too: the csi-snapshotter can forget one that it is to remove.
func deleteRules(args map[string]any) []function.Rule {
	namespace := textOf(args, "namespace", "")
	return []function.Rule{ofSnapshots(namespace, only(textOf(args, "name", "")), "get", "delete"), ofContents("get", "patch"), eventsRule(namespace)}
}

func deleteContentRules(args map[string]any) []function.Rule {
	return []function.Rule{{Group: snapshotGroup, Resource: contents, Names: only(textOf(args, "name", "")), Verbs: []string{"get", "patch", "delete"}}}
}

// textOf returns an argument as text; absent, null and empty ones are the fallback.
func textOf(args map[string]any, name, fallback string) string {
	switch v := args[name].(type) {
	case nil, map[string]any, []any:
		return fallback
	case string:
		return cmp.Or(v, fallback)
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

// texts are the elements of a list that are texts; nil when one is not.
func texts(list []any) []string {
	var out []string
	for _, e := range list {
		text, ok := e.(string)
		if !ok || text == "" {
			return nil
		}
		out = append(out, text)
	}
	return out
}
