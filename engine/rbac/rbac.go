// Package rbac tells which permissions of a Kubernetes cluster the engine needs to perform the actions of a blueprint, and nothing more: what the functions of
// the phases say they need, and what filling the parameters reads. It looks at documents alone; no cluster is asked.
//
// What a run reads at its start is known to the engine and is not in any function's rules; that is why the package is a part of the engine's folder. It is not
// part of package engine: who only executes runs does not need it.
//
// # Left out
//
// A run also reads the secrets that the subject's pods and podOverrides refer to, to mask them in what commands print. It goes on without the permission to,
// and warns; the permission is not in here.
//
// # Errors
//
// A function that the registry does not have and an action that the blueprint does not have are errors. What cannot be known before a run is none: see
// [Need.Notes] and [Permissions.Unknown]. Blueprints should lint clean: a text that is no template reads nothing.
//
// # Concurrency
//
// The functions keep no state.
package rbac

import (
	"errors"
	"fmt"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// Options say what the documents leave open. Nil and zero are ready to use.
type Options struct {
	// Namespace of the subject, and of the profile, where the action does not name one. Default "default".
	Namespace string
	// ProfileSecrets are the secrets that the profile's credential refers to; empty for a location that needs none. Default (nil): any secret in the
	// profile's namespace, with a note.
	ProfileSecrets []template.ObjectReference
	// Kinds finds the resource of a kind, and tells whether its objects belong to namespaces. Default: the kinds of Kubernetes itself; others are
	// guessed, with a note.
	Kinds func(group, version, kind string) (resource string, namespaced, ok bool)
	// Env is what the blueprint's templates can call. Default the built-in functions.
	Env *template.Env
}

// Need is one permission with what it is for. Its rule holds no template text, names a resource, and its Subject and Profile are unset.
type Need struct {
	function.Rule
	// For says what needs it: "the subject", "KubeExec".
	For string
	// Notes say where it is wider than what will be used, because that is not known yet.
	Notes []string
}

// Permissions are what actions need.
type Permissions struct {
	// Needs in the order they were found; the same may be there more than once.
	Needs []Need
	// Unknown says what is needed but cannot be told yet, and so is not in Needs.
	Unknown []string
}

// Of tells what performing an action needs. The object, secrets, config maps and profile of the spec may be left out: what the blueprint tells of them is
// taken then, with notes where that is not enough.
func Of(reg *function.Registry, bp *blueprint.Blueprint, spec blueprint.ActionSpec, opts *Options) (*Permissions, error) {
	r, err := newResolver(bp, spec, opts)
	if err != nil {
		return nil, err
	}
	r.parameters()
	var errs []error
	for _, ph := range r.phases() {
		fn, err := reg.Lookup(ph.Func, spec.PreferredVersion)
		if err != nil {
			errs = append(errs, fmt.Errorf("blueprint %q, action %q, phase %q: %w", bp.Name, spec.Name, ph.Name, err))
			continue
		}
		if !fn.Runnable() {
			r.unknown("phase %q: function %s is not built in", ph.Name, ph.Func)
			continue
		}
		r.rules(fn.Name(), fn.Rules(ph.Args))
	}
	return r.out, errors.Join(errs...)
}

// OfParameters tells what filling the parameters of an action needs: the part of Of that is not the functions'.
func OfParameters(bp *blueprint.Blueprint, spec blueprint.ActionSpec, opts *Options) (*Permissions, error) {
	r, err := newResolver(bp, spec, opts)
	if err != nil {
		return nil, err
	}
	r.parameters()
	return r.out, nil
}

// OfRules resolves the rules of one function, such as those in a preview of the engine.
func OfRules(name string, rules []function.Rule, bp *blueprint.Blueprint, spec blueprint.ActionSpec, opts *Options) (*Permissions, error) {
	r, err := newResolver(bp, spec, opts)
	if err != nil {
		return nil, err
	}
	r.rules(name, rules)
	return r.out, nil
}
