package rbac

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// parameters adds what the engine reads by itself: the subject with its pods, secrets and config maps, the profile, and the objects of phases.
func (r *resolver) parameters() {
	r.subject()
	r.named("secrets", "Secrets", r.spec.Secrets, r.action.SecretNames)
	r.named("configmaps", "ConfigMaps", r.spec.ConfigMaps, r.action.ConfigMapNames)
	r.profile()
	for _, ph := range r.phases() {
		for _, name := range slices.Sorted(maps.Keys(ph.Objects)) {
			r.object(ph.Objects[name])
		}
	}
}

func (r *resolver) subject() {
	const why = "the subject"
	get := []string{"get"}
	var names []string
	if r.spec.Object.Name != "" {
		names = []string{r.spec.Object.Name}
	}
	if len(r.kinds) == 0 && r.spec.Object.Resource != "" {
		r.add(why, function.Rule{Namespace: r.namespace, Group: r.spec.Object.Group, Resource: r.spec.Object.Resource, Names: names, Verbs: get})
		return
	}
	if len(r.kinds) == 0 {
		r.unknown("the kind of the subject: neither the action's kind nor a template tells it")
	}
	for _, kind := range r.kinds {
		k := subjects[kind]
		rule := function.Rule{Namespace: r.namespace, Group: k.group, Resource: k.resource, Names: names, Verbs: get}
		if kind == "Namespace" {
			rule.Names = []string{r.namespace}
		}
		r.add(why, rule)
		if !isWorkload(kind) {
			continue
		}
		const pods = "the subject's pods"
		r.add(pods, function.Rule{Namespace: r.namespace, Resource: "pods", Verbs: []string{"list"}})
		if k.owner != "" {
			r.add(pods, function.Rule{Namespace: r.namespace, Group: k.ownerGroup, Resource: k.owner, Verbs: []string{"list"}})
		}
	}
}

// named adds the secrets or config maps that the request names. Of those that the blueprint reads besides, nobody says yet which they are.
func (r *resolver) named(resource, root string, refs map[string]template.ObjectReference, declared []string) {
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		ref := refs[name]
		r.add("."+root, function.Rule{Namespace: r.or(ref.Namespace), Resource: resource, Names: []string{ref.Name}, Verbs: []string{"get"}})
	}
	open := map[string]bool{}
	for _, name := range declared {
		open[name] = true
	}
	for _, path := range r.paths {
		if path[0] == root && len(path) > 1 {
			open[path[1]] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(open)) {
		if _, ok := refs[name]; !ok {
			r.unknown("reading .%s.%s: only the request names the object", root, name)
		}
	}
}

// ofAgent matches command lines of the agent that read or write the profile's location.
var ofAgent = regexp.MustCompile(`\b(kando|davit)\s+location\b`)

// locationFunctions work on the profile's location by themselves.
var locationFunctions = []string{"LocationDelete"}

// usesProfile tells whether the action reads the profile, or calls what needs its location.
func (r *resolver) usesProfile() bool {
	if slices.ContainsFunc(r.paths, func(path []string) bool { return path[0] == "Profile" }) {
		return true
	}
	return slices.ContainsFunc(r.phases(), func(ph *blueprint.Phase) bool {
		return slices.Contains(locationFunctions, ph.Func) || anyText(ph.Args, ofAgent.MatchString)
	})
}

// anyText tells whether a text in the tree, keys included, is what is looked for. Texts after the first such are not looked at.
func anyText(v any, is func(string) bool) bool {
	switch v := v.(type) {
	case string:
		return is(v)
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return anyText(e, is) })
	case map[string]any:
		for key, e := range v {
			if is(key) || anyText(e, is) {
				return true
			}
		}
	}
	return false
}

// profile adds the profile and the secret of its credential. The engine reads one that the request names whether or not a template does.
func (r *resolver) profile() {
	if r.spec.Profile == nil && !r.usesProfile() {
		return
	}
	const why = "the profile"
	namespace := r.or("")
	rule := function.Rule{Namespace: namespace, Group: "cr.kanister.io", Resource: "profiles", Verbs: []string{"get"}}
	var notes []string
	if ref := r.spec.Profile; ref != nil {
		namespace = r.or(ref.Namespace)
		rule.Namespace, rule.Names = namespace, []string{ref.Name}
	} else {
		notes = []string{"any profile of the namespace: which one is not named"}
	}
	r.add(why, rule, notes...)
	for _, ref := range r.opts.ProfileSecrets {
		ns := ref.Namespace
		if ns == "" {
			ns = namespace
		}
		r.add(why, function.Rule{Namespace: ns, Resource: "secrets", Names: []string{ref.Name}, Verbs: []string{"get"}})
	}
	if r.opts.ProfileSecrets == nil {
		r.add(why, function.Rule{Namespace: namespace, Resource: "secrets", Verbs: []string{"get"}},
			"any secret of the namespace: which one holds the profile's credential is not named")
	}
}

// object adds a secret or config map of a phase. Any other kind is not read.
func (r *resolver) object(ref template.ObjectReference) {
	var resource string
	switch {
	case strings.EqualFold(ref.Kind, "secret"), strings.EqualFold(ref.Resource, "secrets"):
		resource = "secrets"
	case strings.EqualFold(ref.Kind, "configmap"), strings.EqualFold(ref.Resource, "configmaps"):
		resource = "configmaps"
	default:
		return
	}
	r.rules("objects of phases", []function.Rule{{Namespace: r.or(ref.Namespace), Resource: resource, Names: []string{ref.Name}, Verbs: []string{"get"}}})
}

func (r *resolver) phases() []*blueprint.Phase { return phasesOf(r.action) }

// phasesOf lists the phases of an action, the deferred one last.
func phasesOf(a *blueprint.Action) []*blueprint.Phase {
	all := slices.Clone(a.Phases)
	if a.DeferPhase != nil {
		all = append(all, a.DeferPhase)
	}
	return all
}
