package rbac

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// resolver collects the permissions of one action.
type resolver struct {
	action *blueprint.Action
	spec   blueprint.ActionSpec
	opts   Options
	// namespace of the subject, and kinds it may be of; none where it is of another kind, or where nothing tells.
	namespace string
	kinds     []string
	// paths that the action's templates read.
	paths [][]string
	// params hold what is known of the parameters, known its paths, joined with a zero byte.
	params *template.Params
	known  map[string]bool
	out    *Permissions
}

func newResolver(bp *blueprint.Blueprint, spec blueprint.ActionSpec, opts *Options) (*resolver, error) {
	r := &resolver{action: bp.Actions[spec.Name], spec: spec, out: &Permissions{}}
	if r.action == nil {
		return nil, fmt.Errorf("blueprint %q has no action %q; it has %s", bp.Name, spec.Name, strings.Join(bp.ActionNames, ", "))
	}
	if opts != nil {
		r.opts = *opts
	}
	r.opts.Namespace = cmp.Or(r.opts.Namespace, "default")
	r.paths = r.opts.read(r.action)
	r.findKinds(bp)
	r.namespace = cmp.Or(spec.Object.Namespace, r.opts.Namespace)
	if canonical(spec.Object.Kind) == "Namespace" {
		r.namespace = cmp.Or(spec.Object.Name, spec.Object.Namespace, r.opts.Namespace)
	}
	r.learn()
	return r, nil
}

// findKinds finds the kinds the subject may be of: the one that the request names, the action's own, those its templates read, or those of the
// blueprint's other actions.
func (r *resolver) findKinds(bp *blueprint.Blueprint) {
	ref := r.spec.Object
	switch {
	case canonical(ref.Kind) != "":
		r.kinds = []string{canonical(ref.Kind)}
	case ref.Resource != "":
	case canonical(r.action.Kind) != "":
		r.kinds = []string{canonical(r.action.Kind)}
	case len(rootsOf(r.paths)) > 0:
		r.kinds = rootsOf(r.paths)
	default:
		var all [][]string
		for _, other := range bp.Actions {
			if other == nil {
				continue // a fault, which Parse reports
			}
			if kind := canonical(other.Kind); kind != "" {
				all = append(all, []string{kind})
				continue
			}
			all = append(all, r.opts.read(other)...)
		}
		r.kinds = rootsOf(all)
	}
}

// rootsOf lists the kinds of subjects that paths begin with.
func rootsOf(paths [][]string) []string {
	var kinds []string
	for _, kind := range subjectKinds {
		if slices.ContainsFunc(paths, func(path []string) bool { return path[0] == kind }) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// read lists the paths that the templates of an action read. A text that is no template reads nothing.
func (o *Options) read(a *blueprint.Action) [][]string {
	var paths [][]string
	text := func(text string) bool {
		t, err := o.Env.Compile("", text)
		if err != nil {
			return false
		}
		for _, ref := range t.References() {
			if len(ref.Path) > 0 {
				paths = append(paths, ref.Path)
			}
		}
		return false // go on
	}
	for _, ph := range phasesOf(a) {
		for _, ref := range ph.Objects {
			for _, field := range []string{ref.APIVersion, ref.Group, ref.Resource, ref.Kind, ref.Namespace, ref.Name} {
				text(field)
			}
		}
		anyText(ph.Args, text)
		text(ph.If)
	}
	for _, art := range a.OutputArtifacts {
		for _, value := range art.KeyValue {
			text(value)
		}
		text(art.KopiaSnapshot)
	}
	return paths
}

// learn fills the parameters with what is known of them.
func (r *resolver) learn() {
	r.known = map[string]bool{}
	note := func(path ...string) { r.known[strings.Join(path, "\x00")] = true }
	name := r.spec.Object.Name
	w := &template.Workload{Name: name, Namespace: r.namespace}
	r.params = &template.Params{
		StatefulSet: w, Deployment: w, DeploymentConfig: w,
		PVC:       &template.PVC{Name: name, Namespace: r.namespace},
		Namespace: &template.Namespace{Name: r.namespace, Namespace: r.namespace},
		Object:    map[string]any{"metadata": map[string]any{"name": name, "namespace": r.namespace}},
		Options:   r.spec.Options, ArtifactsIn: r.spec.Artifacts,
	}
	for _, kind := range subjectKinds {
		note(kind, "Namespace")
		if name != "" {
			note(kind, "Name")
		}
	}
	note("Namespace", "Name")
	note("Object", "metadata", "namespace")
	if name != "" {
		note("Object", "metadata", "name")
	}
	for key := range r.spec.Options {
		note("Options", key)
	}
	for artifact, a := range r.spec.Artifacts {
		for key := range a.KeyValue {
			note("ArtifactsIn", artifact, "KeyValue", key)
		}
	}
}

// text renders a template text of which everything is known. It is false for any other, and for one that is empty.
func (r *resolver) text(text string) (string, bool) {
	t, err := r.opts.Env.Compile("", text)
	if err != nil {
		return "", false
	}
	for _, ref := range t.References() {
		if !ref.Exact || !r.known[strings.Join(ref.Path, "\x00")] {
			return "", false
		}
	}
	out, err := t.Render(r.params)
	return out, err == nil && out != ""
}

// or is a namespace, or that of the request where it is empty.
func (r *resolver) or(namespace string) string { return cmp.Or(namespace, r.opts.Namespace) }

func (r *resolver) unknown(format string, args ...any) {
	r.out.Unknown = append(r.out.Unknown, fmt.Sprintf("action %q: ", r.spec.Name)+oneLine(fmt.Sprintf(format, args...)))
}

// oneLine keeps a text of a blueprint on one line and short.
func oneLine(s string) string {
	const limit = 200
	s = strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x2028 || c == 0x2029 }), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// rules adds the rules of a function: what their templates become where that is known, and else something wider with a note.
func (r *resolver) rules(why string, rules []function.Rule) {
	for _, rule := range rules {
		if rule.Profile && r.spec.Profile == nil && !r.usesProfile() {
			continue
		}
		if rule.Subject != "" && len(r.kinds) > 0 && !slices.Contains(r.kinds, canonical(rule.Subject)) {
			continue
		}
		var notes []string
		if rule.Subject != "" && len(r.kinds) != 1 {
			notes = append(notes, "only for a subject of kind "+rule.Subject)
		}
		if rule.Namespace != "" {
			namespace, ok := r.text(rule.Namespace)
			if !ok {
				namespace = r.namespace
				notes = append(notes, oneLine("in the subject's namespace, if "+rule.Namespace+" is that"))
			}
			rule.Namespace = namespace
		}
		if !r.fields(why, &rule) {
			continue
		}
		var names []string
		for _, name := range rule.Names {
			text, ok := r.text(name)
			if !ok {
				names = nil
				notes = append(notes, oneLine("any name: "+name+" is not known yet"))
				break
			}
			names = append(names, text)
		}
		rule.Names, rule.Subject, rule.Profile = names, "", false
		r.add(why, rule, notes...)
	}
}

// fields renders what cannot be left out. It is false, and says so, where that is not known.
func (r *resolver) fields(why string, rule *function.Rule) bool {
	what := cmp.Or(rule.Resource, rule.Kind)
	fields := []*string{&rule.Group, &rule.Version, &rule.Kind, &rule.Resource}
	rule.Verbs = slices.Clone(rule.Verbs)
	for i := range rule.Verbs {
		fields = append(fields, &rule.Verbs[i])
	}
	for _, field := range fields {
		text, ok := r.text(*field)
		if !ok && *field != "" {
			r.unknown("what %s does with %s: %s is not known yet", why, what, *field)
			return false
		}
		*field = text
	}
	return true
}

// add adds a rule without templates.
func (r *resolver) add(why string, rule function.Rule, notes ...string) {
	namespaced := rule.Namespace != ""
	if rule.Resource == "" {
		resource, inNamespace, sure := r.resource(rule)
		if !sure {
			notes = append(notes, fmt.Sprintf("the resource of kind %s is a guess", rule.Kind))
		}
		rule.Resource, namespaced = resource, namespaced && inNamespace
	}
	base, _, _ := strings.Cut(rule.Resource, "/")
	if !namespaced || slices.Contains(clusterScoped[rule.Group], base) {
		rule.Namespace = ""
	}
	rule.Version, rule.Kind = "", ""
	if err := valid(rule); err != nil {
		r.unknown("what %s does: %v", why, err)
		return
	}
	for _, part := range parts(rule) {
		r.out.Needs = append(r.out.Needs, Need{Rule: part, For: why, Notes: notes})
	}
}

// resource finds the resource of a rule's kind.
func (r *resolver) resource(rule function.Rule) (resource string, namespaced, sure bool) {
	if r.opts.Kinds != nil {
		if resource, namespaced, ok := r.opts.Kinds(rule.Group, rule.Version, rule.Kind); ok {
			return resource, namespaced, true
		}
	}
	resource = guess(rule.Kind)
	return resource, !slices.Contains(clusterScoped[rule.Group], resource), slices.Contains(own, rule.Group)
}

// parts splits a rule as Kubernetes checks it: a request that creates an object names none, and one for a namespace is checked in that namespace.
func parts(rule function.Rule) []function.Rule {
	if len(rule.Names) == 0 || strings.Contains(rule.Resource, "/") {
		return []function.Rule{rule}
	}
	unnamed := func(verb string) bool { return verb == "create" || verb == "deletecollection" }
	var all []function.Rule
	if verbs := slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return !unnamed(v) }); len(verbs) > 0 {
		all = append(all, function.Rule{Namespace: rule.Namespace, Group: rule.Group, Resource: rule.Resource, Verbs: verbs})
	}
	rule.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), unnamed)
	switch {
	case len(rule.Verbs) == 0:
	case rule.Group == "" && rule.Resource == "namespaces":
		for _, name := range rule.Names {
			rule.Namespace, rule.Names = name, []string{name}
			all = append(all, rule)
		}
	default:
		all = append(all, rule)
	}
	return all
}

var (
	dnsName      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	resourceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[a-z0-9]+)?$`)
	verbName     = regexp.MustCompile(`^[a-z]+$`)
	objectName   = regexp.MustCompile(`^[^/%\s\pC]+$`)
)

// valid refuses what Kubernetes has no such name for, and "*", which would give everything away.
func valid(rule function.Rule) error {
	switch {
	case rule.Namespace != "" && !dnsName.MatchString(rule.Namespace):
		return fmt.Errorf("%q is no namespace", rule.Namespace)
	case rule.Group != "" && !dnsName.MatchString(rule.Group):
		return fmt.Errorf("%q is no API group", rule.Group)
	case !resourceName.MatchString(rule.Resource):
		return fmt.Errorf("%q is no resource", rule.Resource)
	}
	for _, verb := range rule.Verbs {
		if !verbName.MatchString(verb) {
			return fmt.Errorf("%q is no verb", verb)
		}
	}
	for _, name := range rule.Names {
		if !objectName.MatchString(name) || name == "." || name == ".." {
			return fmt.Errorf("%q is no name of an object", name)
		}
	}
	return nil
}
