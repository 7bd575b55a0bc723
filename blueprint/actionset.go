package blueprint

import (
	"strconv"
	"strings"

	"github.com/davit-project/davit/template"
	"go.yaml.in/yaml/v3"
)

// ActionSet is a request to run actions.
type ActionSet struct {
	Name, Namespace string
	// GenerateName is the prefix of a name to be made.
	GenerateName string
	Labels       map[string]string
	Actions      []ActionSpec
	Source       Source
}

// ActionSpec asks for one action on one object.
type ActionSpec struct {
	// Name of the action in the blueprint.
	Name string `json:"name"`
	// Blueprint is the blueprint's name.
	Blueprint        string                              `json:"blueprint"`
	Object           template.ObjectReference            `json:"object"`
	Artifacts        map[string]template.Artifact        `json:"artifacts,omitempty"`
	ConfigMaps       map[string]template.ObjectReference `json:"configMaps,omitempty"`
	Secrets          map[string]template.ObjectReference `json:"secrets,omitempty"`
	Profile          *template.ObjectReference           `json:"profile,omitempty"`
	PodOverride      map[string]any                      `json:"podOverride,omitempty"`
	Options          map[string]string                   `json:"options,omitempty"`
	PreferredVersion string                              `json:"preferredVersion"`
	PodLabels        map[string]string                   `json:"podLabels"`
	PodAnnotations   map[string]string                   `json:"podAnnotations"`
}

func (r *reader) actionSet(root *yaml.Node) *ActionSet {
	as := &ActionSet{}
	spec := false
	r.fields(root, "", "an action set", map[string]setter{
		"apiVersion": ignored,
		"kind":       ignored,
		"status":     ignored,
		"metadata": func(n *yaml.Node, path string) {
			m := r.metadata(n, path)
			as.Name, as.Namespace, as.GenerateName, as.Labels = m.name, m.namespace, m.generateName, m.labels
		},
		"spec": func(n *yaml.Node, path string) {
			spec = !isNull(n)
			r.fields(n, path, "spec", map[string]setter{"actions": func(n *yaml.Node, path string) {
				for i, c := range r.list(n, path, "actions") {
					as.Actions = append(as.Actions, r.actionSpec(c, index(path, i)))
				}
			}})
		},
	})
	if !spec {
		r.fault(root, "missing-field", "the action set has no spec")
	}
	as.Source = r.source()
	return as
}

func (r *reader) actionSpec(n *yaml.Node, path string) ActionSpec {
	var a ActionSpec
	r.fields(n, path, "an action of an action set", map[string]setter{
		"name":      r.text1("the name of the action", &a.Name),
		"blueprint": r.text1("the blueprint", &a.Blueprint),
		"object":    func(n *yaml.Node, path string) { a.Object = r.reference(n, path) },
		"artifacts": func(n *yaml.Node, path string) { a.Artifacts = r.artifacts(n, path, "artifacts") },
		"configMaps": func(n *yaml.Node, path string) {
			a.ConfigMaps = r.references(n, path, "configMaps")
		},
		"secrets": func(n *yaml.Node, path string) { a.Secrets = r.references(n, path, "secrets") },
		"profile": func(n *yaml.Node, path string) {
			if !isNull(n) {
				profile := r.reference(n, path)
				a.Profile = &profile
			}
		},
		"podOverride": func(n *yaml.Node, path string) {
			for _, e := range r.mapping(n, path, "podOverride") {
				if a.PodOverride == nil {
					a.PodOverride = map[string]any{}
				}
				a.PodOverride[e.key] = r.value(e.node, e.path, 0)
			}
		},
		"options":          func(n *yaml.Node, path string) { a.Options = r.strMap(n, path, "options") },
		"preferredVersion": r.text1("preferredVersion", &a.PreferredVersion),
		"podLabels":        func(n *yaml.Node, path string) { a.PodLabels = r.strMap(n, path, "podLabels") },
		"podAnnotations":   func(n *yaml.Node, path string) { a.PodAnnotations = r.strMap(n, path, "podAnnotations") },
	})
	r.checkSpec(follow(n), a)
	return a
}

// subjectKinds can be named without a resource, in any case.
var subjectKinds = []string{"statefulset", "deployment", "pvc", "deploymentconfig", "namespace", "unstructured"}

// checkSpec reports what no run can do without.
func (r *reader) checkSpec(n *yaml.Node, a ActionSpec) {
	if n.Kind != yaml.MappingNode {
		return
	}
	if a.Name == "" {
		r.fault(n, "missing-field", "the action set names no action")
	}
	if a.Blueprint == "" {
		r.fault(n, "missing-field", "the action names no blueprint")
	}
	for _, k := range subjectKinds {
		if strings.EqualFold(k, a.Object.Kind) {
			return
		}
	}
	if a.Object.APIVersion == "" || a.Object.Resource == "" {
		r.fault(n, "bad-object", "the object's kind %s is none of %s; any other needs apiVersion and resource",
			strconv.Quote(short(a.Object.Kind)), strings.Join(subjectKinds, ", "))
	}
}
