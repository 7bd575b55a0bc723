package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// order is what a run shall do.
type order struct {
	id string
	// resume is true for a run that its journal describes; base holds its actions, and the rest is empty.
	resume     bool
	request    *request
	labels     map[string]string
	blueprints []*blueprint.Blueprint
	// base are the actions that the request changes; empty when the request says it all.
	base []blueprint.ActionSpec
	// parent is the run that base comes from; nil without one.
	parent engine.Journal
}

// newOrder reads the documents and the parent that the flags name, lints the blueprints and checks the request. It touches nothing.
func (s *session) newOrder(ctx context.Context, req *request) (*order, error) {
	o := &order{id: s.flags.run, request: req, labels: map[string]string{}}
	given, sets, err := s.documents()
	if err != nil {
		return nil, err
	}
	o.blueprints = given
	switch {
	case s.manifest != nil:
		err = o.takeManifest(s, given)
	case s.flags.from != "":
		err = o.inherit(ctx, s)
	case s.flags.actionSet != "":
		err = o.take(s.flags.actionSet, sets)
	case len(given) > 1:
		err = errors.New("several blueprints are given and none is chosen: give one, or an action set that names them")
	}
	if err != nil {
		return nil, err
	}
	if len(given) == 1 && s.flags.actionSet == "" {
		req.blueprint = given[0].Name
	}
	if err := s.locate(); err != nil {
		return nil, err
	}
	req.inNamespace(s.namespace)
	specs, err := req.apply(o.base)
	if err != nil {
		return nil, err
	}
	if err := o.known(specs); err != nil {
		return nil, err
	}
	if o.id == "" {
		o.id = newID(specs[0].Name)
	}
	reg, err := registryFor(s.namespace, s.flags.kube.moverImage)
	if err != nil {
		return nil, err
	}
	if err := o.lint(reg, specs); err != nil {
		return nil, err
	}
	o.labels[clusterLabel], o.labels[namespaceLabel] = s.place(), s.namespace
	if err := o.keepCatalog(s, specs); err != nil {
		return nil, err
	}
	_, err = engine.New(reg, unreachable{}, nil).Plan(&engine.Spec{ID: o.id, Blueprints: o.blueprints, Actions: specs})
	return o, err
}

// known refuses actions of blueprints that no file holds.
func (o *order) known(specs []blueprint.ActionSpec) error {
	var errs []error
	for _, spec := range specs {
		_, err := o.blueprint(spec)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// blueprint returns the blueprint of an action.
func (o *order) blueprint(spec blueprint.ActionSpec) (*blueprint.Blueprint, error) {
	i := slices.IndexFunc(o.blueprints, func(bp *blueprint.Blueprint) bool { return bp.Name == spec.Blueprint })
	if i < 0 {
		return nil, fmt.Errorf("action %q is of blueprint %q, which no file holds: name its file with --blueprint", spec.Name, spec.Blueprint)
	}
	return o.blueprints[i], nil
}

// take makes an action set the base.
func (o *order) take(file string, sets []*blueprint.ActionSet) error {
	if len(sets) != 1 {
		return fmt.Errorf("%q holds %d action sets, want one", file, len(sets))
	}
	o.base = sets[0].Actions
	maps.Copy(o.labels, sets[0].Labels)
	if len(o.base) == 0 {
		return fmt.Errorf("%q asks for no action", file)
	}
	return nil
}

// spec is the request that the engine takes. The artifacts of a parent are read here: they may contain secrets.
func (o *order) spec(ctx context.Context, e *engine.Engine) (*engine.Spec, error) {
	if o.resume {
		return &engine.Spec{ID: o.id}, nil
	}
	if err := o.takeArtifacts(ctx, e); err != nil {
		return nil, err
	}
	specs, err := o.request.apply(o.base)
	return &engine.Spec{ID: o.id, Labels: o.labels, Blueprints: o.blueprints, Actions: specs}, err
}

// subjects are the objects that actions are performed on.
func (o *order) subjects() []template.ObjectReference {
	var refs []template.ObjectReference
	if o.request != nil {
		refs = slices.Clone(o.request.objects)
	}
	for _, spec := range o.base {
		refs = append(refs, spec.Object)
	}
	return refs
}

// lint refuses blueprints with errors.
func (o *order) lint(reg *function.Registry, specs []blueprint.ActionSpec) error {
	var errs []error
	for _, bp := range o.blueprints {
		opts := &blueprint.LintOptions{}
		for _, spec := range specs {
			if spec.Blueprint == bp.Name {
				opts.Version = spec.PreferredVersion
			}
		}
		for _, d := range blueprint.Lint(bp, reg, opts) {
			if d.Severity == blueprint.Error {
				errs = append(errs, errors.New(d.String()))
			}
		}
	}
	return errors.Join(errs...)
}

// documents reads the files of blueprints, and the action set's, which may hold blueprints too.
func (s *session) documents() ([]*blueprint.Blueprint, []*blueprint.ActionSet, error) {
	files := s.flags.blueprints
	if s.flags.actionSet != "" {
		files = append(slices.Clone(files), s.flags.actionSet)
	}
	var blueprints []*blueprint.Blueprint
	var sets []*blueprint.ActionSet
	var errs []error
	for _, name := range files {
		what := "a blueprint (--blueprint)"
		if name == s.flags.actionSet {
			what = "the action set (--filename)"
		}
		file, err := s.parseFile(what, name)
		if err == nil {
			err = file.Err()
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if name == s.flags.actionSet {
			sets = append(sets, file.ActionSets...)
		} else if len(file.Blueprints) == 0 {
			errs = append(errs, fmt.Errorf("%q holds no blueprint", name))
		}
		blueprints = append(blueprints, named(file, name)...)
	}
	return blueprints, sets, errors.Join(errs...)
}

// named returns the blueprints of a file; one without a name has the file's.
func named(file *blueprint.File, name string) []*blueprint.Blueprint {
	for _, bp := range file.Blueprints {
		if bp.Name == "" {
			bp.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		}
	}
	return file.Blueprints
}
