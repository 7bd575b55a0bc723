package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine/rbac"
	"github.com/davit-project/davit/template"
)

// permission is one verb on one kind of objects, and whether the server allows it.
type permission struct {
	Verb string `json:"verb"`
	// Group of the API, empty for the core group; Resource in the plural, with the subresource after a slash.
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource"`
	// Namespace is empty for objects of the cluster, Name for objects of any name.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Allowed is false for a denied permission, and for one that could not be asked for: Error says why then.
	Allowed bool   `json:"allowed"`
	Error   string `json:"error,omitempty"`
}

// States of a permission as they are shown.
const (
	allowed  = "allowed"
	denied   = "DENIED"
	notAsked = "unknown"
)

func (p permission) state() string {
	switch {
	case p.Allowed:
		return allowed
	case p.Error != "":
		return notAsked
	default:
		return denied
	}
}

// access asks the API server what this client may do. Each question is asked once.
type access struct {
	from      cluster.Getter
	clients   kubecluster.Clients
	namespace string
	seen      map[permission]permission
}

// check fills in the permissions of an action and of its phases.
func (a *access) check(ctx context.Context, action *plannedAction, bp *blueprint.Blueprint, spec blueprint.ActionSpec) error {
	opts := &rbac.Options{Namespace: a.namespace, Kinds: a.resource}
	bp = rendered(bp, spec.Name, action)
	spec.Options, spec.Artifacts = nil, nil // may hold secrets, and what they become is in the preview, masked
	if spec.Profile != nil {
		opts.ProfileSecrets = a.profileSecrets(ctx, *spec.Profile)
	}
	needs, err := rbac.OfParameters(bp, spec, opts)
	if err != nil {
		return err
	}
	action.Unknown = needs.Unknown
	if action.Permissions, err = a.review(ctx, needs); err != nil {
		return err
	}
	for i := range action.Phases {
		ph := &action.Phases[i]
		needs, err := rbac.OfRules(ph.Func, ph.Rules, bp, spec, opts)
		if err != nil {
			return err
		}
		ph.Unknown = needs.Unknown
		for _, need := range needs.Needs {
			for _, note := range need.Notes {
				if !slices.Contains(ph.Unknown, note) {
					ph.Unknown = append(ph.Unknown, note)
				}
			}
		}
		if ph.Permissions, err = a.review(ctx, needs); err != nil {
			return err
		}
	}
	return nil
}

// rendered is a copy of the blueprint in which the phases of one action have the references of the preview.
func rendered(bp *blueprint.Blueprint, name string, shown *plannedAction) *blueprint.Blueprint {
	out, action := *bp, *bp.Actions[name]
	out.Actions = maps.Clone(bp.Actions)
	out.Actions[name] = &action
	action.Phases = slices.Clone(action.Phases)
	for i := range shown.Phases {
		ph := &shown.Phases[i]
		at := &action.DeferPhase
		if !ph.Deferred {
			at = &action.Phases[i]
		}
		src := **at
		src.Objects = ph.Objects
		*at = &src
	}
	return &out
}

// review asks for every verb of every need.
func (a *access) review(ctx context.Context, needs *rbac.Permissions) ([]permission, error) {
	var all []permission
	for _, role := range needs.Roles() {
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				names := rule.Names
				if len(names) == 0 {
					names = []string{""}
				}
				for _, name := range names {
					for _, verb := range rule.Verbs {
						p, err := a.ask(ctx, permission{Verb: verb, Group: rule.Group, Resource: resource, Namespace: role.Namespace, Name: name})
						if err != nil {
							return nil, err
						}
						all = append(all, p)
					}
				}
			}
		}
	}
	return all, nil
}

// ask asks for one permission. A server that does not answer is an error; one that refuses to be asked is part of the permission.
func (a *access) ask(ctx context.Context, p permission) (permission, error) {
	if known, ok := a.seen[p]; ok {
		return known, nil
	}
	asked := p
	resource, sub, _ := strings.Cut(p.Resource, "/")
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: p.Namespace, Verb: p.Verb, Group: p.Group, Resource: resource, Subresource: sub, Name: p.Name},
	}}
	answer, err := a.clients.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	switch {
	case ctx.Err() != nil:
		return p, context.Cause(ctx)
	case err != nil && !apierrors.IsForbidden(err):
		return p, fmt.Errorf("ask for permissions: %w", err)
	case err != nil:
		p.Error = fmt.Sprintf("the server was not to be asked: %v", err)
	default:
		p.Allowed, p.Error = answer.Status.Allowed, ""
		if !p.Allowed && answer.Status.EvaluationError != "" {
			p.Error = answer.Status.EvaluationError
		}
	}
	a.seen[asked] = p
	return p, nil
}

// profileSecrets are the secrets that a profile's credential names; nil where the profile cannot be read.
func (a *access) profileSecrets(ctx context.Context, ref template.ObjectReference) []template.ObjectReference {
	object, err := a.from.Get(ctx, cluster.Ref{APIVersion: "v1alpha1", Group: "cr.kanister.io", Resource: "profiles", Kind: "Profile", Namespace: ref.Namespace, Name: ref.Name})
	if err != nil {
		return nil
	}
	credential, _ := object["credential"].(map[string]any)
	keyPair, _ := credential["keyPair"].(map[string]any)
	kopia, _ := credential["kopiaServerSecret"].(map[string]any)
	passphrase, _ := kopia["userPassphrase"].(map[string]any)
	certificate, _ := kopia["tlsCert"].(map[string]any)
	secrets := []template.ObjectReference{}
	for _, in := range []map[string]any{credential, keyPair, passphrase, certificate} {
		secret, _ := in["secret"].(map[string]any)
		namespace, _ := secret["namespace"].(string)
		if name, ok := secret["name"].(string); ok && name != "" {
			secrets = append(secrets, template.ObjectReference{Namespace: namespace, Name: name})
		}
	}
	return secrets
}

// resource finds the resource of a kind as the server has it.
func (a *access) resource(group, version, kind string) (resource string, namespaced, ok bool) {
	var versions []string
	if version != "" {
		versions = []string{version}
	}
	m, err := a.clients.Mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind}, versions...)
	if err != nil {
		return "", false, false
	}
	return m.Resource.Resource, m.Scope.Name() == meta.RESTScopeNameNamespace, true
}

// summaryLine is some permissions that differ only in their verbs.
type summaryLine struct{ state, text string }

// summary puts verbs together: "get, list pods in shop".
func summary(permissions []permission) []summaryLine {
	var lines []summaryLine
	for i := 0; i < len(permissions); {
		p := permissions[i]
		verbs := []string{p.Verb}
		for i++; i < len(permissions); i++ {
			next := permissions[i]
			next.Verb = p.Verb
			if next != p {
				break
			}
			verbs = append(verbs, permissions[i].Verb)
		}
		text := strings.Join(verbs, ", ") + " " + p.where()
		if p.Error != "" {
			text += ": " + p.Error
		}
		lines = append(lines, summaryLine{p.state(), text})
	}
	return lines
}

// where names the objects: "statefulsets.apps shop/db", "pods in shop".
func (p permission) where() string {
	resource, sub, _ := strings.Cut(p.Resource, "/")
	what := resource
	if p.Group != "" {
		what += "." + p.Group
	}
	if sub != "" {
		what += "/" + sub
	}
	switch {
	case p.Namespace == "":
		return strings.TrimSpace(what + " " + p.Name)
	case p.Name == "":
		return what + " in " + p.Namespace
	default:
		return what + " " + p.Namespace + "/" + p.Name
	}
}
