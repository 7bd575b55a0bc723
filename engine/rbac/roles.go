package rbac

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Role holds the rules of one namespace.
type Role struct {
	// Namespace is empty for objects that belong to none: that is a ClusterRole.
	Namespace string
	Rules     []Rule
}

// Rule is one rule of a role, in the terms of Kubernetes' RBAC.
type Rule struct {
	// Group of the API; empty for the core group.
	Group string
	// Resources in the plural, with the subresource after a slash.
	Resources []string
	// Names restricts the rule to objects of these names; nil for all.
	Names []string
	Verbs []string
	// For says what needs the rule: functions, "the subject".
	For []string
	// Notes say where the rule is wider than what will be used, because that is not known yet.
	Notes []string
}

// Join puts the permissions of several actions together.
func Join(all ...*Permissions) *Permissions {
	out := &Permissions{}
	for _, p := range all {
		out.Needs = append(out.Needs, p.Needs...)
		out.Unknown = append(out.Unknown, p.Unknown...)
	}
	slices.Sort(out.Unknown)
	out.Unknown = slices.Compact(out.Unknown)
	return out
}

// about is what the reader of a role is told of a permission.
type about struct{ why, notes map[string]bool }

func newAbout() *about { return &about{map[string]bool{}, map[string]bool{}} }

func (a *about) add(b *about) {
	maps.Copy(a.why, b.why)
	maps.Copy(a.notes, b.notes)
}

// object is what a request is for. An empty name is any.
type object struct{ group, resource, name string }

// grants are the verbs for each object of one namespace.
type grants map[object]map[string]*about

// Roles merges the permissions: each is in one rule, rules that differ only in their resources are one, and the result is the same for the same
// permissions in any order. Roles are sorted by namespace, the one for no namespace comes last.
func (p *Permissions) Roles() []Role {
	namespaces := map[string]grants{}
	for _, n := range p.Needs {
		g := namespaces[n.Namespace]
		if g == nil {
			g = grants{}
			namespaces[n.Namespace] = g
		}
		names := n.Names
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			g.add(object{n.Group, n.Resource, name}, n)
		}
	}
	var roles []Role
	for namespace, g := range namespaces {
		roles = append(roles, Role{Namespace: namespace, Rules: g.rules()})
	}
	slices.SortFunc(roles, func(a, b Role) int {
		if (a.Namespace == "") != (b.Namespace == "") {
			return cmp.Compare(b.Namespace, a.Namespace)
		}
		return cmp.Compare(a.Namespace, b.Namespace)
	})
	return roles
}

func (g grants) add(o object, n Need) {
	if g[o] == nil {
		g[o] = map[string]*about{}
	}
	for _, verb := range n.Verbs {
		if g[o][verb] == nil {
			g[o][verb] = newAbout()
		}
		g[o][verb].why[n.For] = true
		for _, note := range n.Notes {
			g[o][verb].notes[note] = true
		}
	}
}

// rules merges what shares its verbs: the names of one resource, and resources that are not restricted to names and of which there is nothing to note.
func (g grants) rules() []Rule {
	g.cover()
	merged := map[string]*Rule{}
	tell := map[*Rule]*about{}
	for _, o := range slices.SortedFunc(maps.Keys(g), compareObjects) {
		if len(g[o]) == 0 {
			continue
		}
		verbs := slices.SortedFunc(maps.Keys(g[o]), compareVerbs)
		told := newAbout()
		for _, a := range g[o] {
			told.add(a)
		}
		key := o.group + "\x00" + strings.Join(verbs, ",")
		if o.name != "" || len(told.notes) > 0 {
			key += "\x00" + o.resource
		}
		rule := merged[key]
		if rule == nil {
			rule = &Rule{Group: o.group, Verbs: verbs}
			merged[key], tell[rule] = rule, newAbout()
		}
		if !slices.Contains(rule.Resources, o.resource) {
			rule.Resources = append(rule.Resources, o.resource)
		}
		if o.name != "" {
			rule.Names = append(rule.Names, o.name)
		}
		tell[rule].add(told)
	}
	var rules []Rule
	for rule, a := range tell {
		rule.For, rule.Notes = slices.Sorted(maps.Keys(a.why)), slices.Sorted(maps.Keys(a.notes))
		rules = append(rules, *rule)
	}
	slices.SortFunc(rules, compareRules)
	return rules
}

// cover drops verbs for a name that are there for all names.
func (g grants) cover() {
	for o, verbs := range g {
		if o.name == "" {
			continue
		}
		all := g[object{o.group, o.resource, ""}]
		for verb, a := range verbs {
			if all[verb] != nil {
				maps.Copy(all[verb].why, a.why)
				delete(verbs, verb)
			}
		}
	}
}

func compareObjects(a, b object) int {
	return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.resource, b.resource), cmp.Compare(a.name, b.name))
}

func compareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), slices.Compare(a.Resources, b.Resources), slices.Compare(a.Names, b.Names),
		slices.CompareFunc(a.Verbs, b.Verbs, compareVerbs))
}

// verbOrder is the order in which verbs are usually written.
var verbOrder = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

func compareVerbs(a, b string) int {
	i, j := slices.Index(verbOrder, a), slices.Index(verbOrder, b)
	if i < 0 {
		i = len(verbOrder)
	}
	if j < 0 {
		j = len(verbOrder)
	}
	return cmp.Or(cmp.Compare(i, j), cmp.Compare(a, b))
}
