package main

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/davit-project/davit/engine/rbac"
	"github.com/davit-project/davit/template"
)

// grant is a service account with the roles it is given.
type grant struct {
	name    string
	account template.ObjectReference
	roles   []rbac.Role
	unknown []string
}

// warnings say what is wider than needed, and what is missing.
func (g *grant) warnings() []string {
	var all []string
	for _, role := range g.roles {
		for _, rule := range role.Rules {
			for _, note := range rule.Notes {
				all = append(all, fmt.Sprintf("%s %s in %s: %s", strings.Join(rule.Verbs, ", "), strings.Join(rule.Resources, ", "), where(role.Namespace), note))
			}
		}
	}
	for _, unknown := range g.unknown {
		all = append(all, "not in the roles: "+unknown)
	}
	return all
}

func where(namespace string) string {
	if namespace == "" {
		return "the whole cluster"
	}
	return "namespace " + namespace
}

// rbacObject is a role or a binding; the fields that do not belong to its kind are empty.
type rbacObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   rbacMeta      `json:"metadata"`
	Rules      []rbacRule    `json:"rules,omitempty"`
	RoleRef    *rbacRef      `json:"roleRef,omitempty"`
	Subjects   []rbacSubject `json:"subjects,omitempty"`
}

type rbacMeta struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

type rbacRule struct {
	APIGroups     []string `json:"apiGroups"`
	Resources     []string `json:"resources"`
	ResourceNames []string `json:"resourceNames,omitempty"`
	Verbs         []string `json:"verbs"`
	// comments are for YAML.
	comments []string
}

type rbacRef struct {
	APIGroup string `json:"apiGroup"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
}

type rbacSubject struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// list is the List of all objects.
func (g *grant) list() any {
	items := g.objects()
	if items == nil {
		items = []rbacObject{}
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
}

// objects are a role and its binding for each namespace. Names of cluster roles are the cluster's, so the account's namespace is part of them.
func (g *grant) objects() []rbacObject {
	const group = "rbac.authorization.k8s.io"
	var all []rbacObject
	for _, role := range g.roles {
		kind, m := "Role", rbacMeta{g.name, role.Namespace}
		if role.Namespace == "" {
			kind, m.Name = "ClusterRole", g.name+"-"+g.account.Namespace
		}
		r := rbacObject{APIVersion: group + "/v1", Kind: kind, Metadata: m}
		for _, from := range role.Rules {
			r.Rules = append(r.Rules, rbacRule{APIGroups: []string{from.Group}, Resources: from.Resources, ResourceNames: from.Names, Verbs: from.Verbs,
				comments: append([]string{"for " + strings.Join(from.For, ", ")}, from.Notes...)})
		}
		all = append(all, r, rbacObject{APIVersion: group + "/v1", Kind: kind + "Binding", Metadata: m,
			RoleRef: &rbacRef{group, kind, m.Name}, Subjects: []rbacSubject{{"ServiceAccount", g.account.Name, g.account.Namespace}}})
	}
	return all
}

// yaml is the objects as documents, with a comment at each rule.
func (g *grant) yaml() ([]byte, error) {
	var b bytes.Buffer
	for _, unknown := range g.unknown {
		fmt.Fprintf(&b, "# not in here: %s\n", printable(unknown))
	}
	objects := g.objects()
	if len(objects) == 0 {
		b.WriteString("# no permission is needed\n")
		return b.Bytes(), nil
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	for _, o := range objects {
		if err := enc.Encode(o.node()); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), enc.Close()
}

// node is the object in YAML, its fields in the usual order.
func (o rbacObject) node() *yaml.Node {
	m := []*yaml.Node{scalar("name"), scalar(o.Metadata.Name)}
	if o.Metadata.Namespace != "" {
		m = append(m, scalar("namespace"), scalar(o.Metadata.Namespace))
	}
	fields := []*yaml.Node{scalar("apiVersion"), scalar(o.APIVersion), scalar("kind"), scalar(o.Kind), scalar("metadata"), mapping(m...)}
	if o.RoleRef != nil {
		fields = append(fields, scalar("roleRef"), mapping(
			scalar("apiGroup"), scalar(o.RoleRef.APIGroup), scalar("kind"), scalar(o.RoleRef.Kind), scalar("name"), scalar(o.RoleRef.Name)))
	}
	if len(o.Rules) > 0 {
		rules := &yaml.Node{Kind: yaml.SequenceNode}
		for _, r := range o.Rules {
			rules.Content = append(rules.Content, r.node())
		}
		fields = append(fields, scalar("rules"), rules)
	}
	if len(o.Subjects) > 0 {
		subjects := &yaml.Node{Kind: yaml.SequenceNode}
		for _, s := range o.Subjects {
			subjects.Content = append(subjects.Content, mapping(
				scalar("kind"), scalar(s.Kind), scalar("name"), scalar(s.Name), scalar("namespace"), scalar(s.Namespace)))
		}
		fields = append(fields, scalar("subjects"), subjects)
	}
	return mapping(fields...)
}

func (r rbacRule) node() *yaml.Node {
	fields := []*yaml.Node{scalar("apiGroups"), flow(r.APIGroups), scalar("resources"), flow(r.Resources)}
	if len(r.ResourceNames) > 0 {
		fields = append(fields, scalar("resourceNames"), flow(r.ResourceNames))
	}
	n := mapping(append(fields, scalar("verbs"), flow(r.Verbs))...)
	var comments []string
	for _, c := range r.comments {
		comments = append(comments, "# "+printable(c))
	}
	n.HeadComment = strings.Join(comments, "\n")
	return n
}

// scalar is a text; one that YAML, or YAML as Kubernetes reads it, takes for something else gets quotes.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(text); err != nil { // a text always can be
		n.SetString(text)
	}
	return n
}

func mapping(content ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Content: content}
}

func flow(texts []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, text := range texts {
		n.Content = append(n.Content, scalar(text))
	}
	return n
}
