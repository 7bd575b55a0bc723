package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/location/catalog"
	"github.com/davit-project/davit/template"
)

// keepCatalog notes that the run keeps manifests, which needs a profile.
func (o *order) keepCatalog(s *session, specs []blueprint.ActionSpec) error {
	if !s.catalog {
		return nil
	}
	for _, spec := range specs {
		if spec.Profile == nil {
			return fmt.Errorf("--catalog: action %q has no profile, so there is no location to keep its manifest in: name one with --profile", spec.Name)
		}
	}
	o.labels[catalogLabel] = keeps
	return nil
}

// keepManifest stores what an action has done in the location of its profile.
func keepManifest(ctx context.Context, m *engine.Manifest) (err error) {
	if !m.Profile.IsSet() {
		return errors.New("the action has no profile")
	}
	b, err := openBucket(ctx, []byte(m.Profile.Reveal()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	entry := manifestOf(m)
	if err := entry.Describe(ctx, b); err != nil {
		return err
	}
	return catalog.Save(ctx, b, entry)
}

// manifestOf turns the engine's words into the catalogue's.
func manifestOf(m *engine.Manifest) *catalog.Manifest {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	out := &catalog.Manifest{
		Davit: versionLine(info), Run: m.Run, Index: m.Action, Action: m.Spec.Name, Started: m.Started, Ended: m.Ended,
		Subject: catalog.Object(m.Spec.Object), Secrets: objectsOf(m.Spec.Secrets), ConfigMaps: objectsOf(m.Spec.ConfigMaps),
		Options: m.Spec.Options, FunctionVersion: m.Spec.PreferredVersion, Artifacts: map[string]catalog.Artifact{}, Withheld: m.Withheld,
		Blueprint: catalog.Blueprint{Name: m.Spec.Blueprint, Document: m.Blueprint},
	}
	if m.Spec.Profile != nil {
		ref := catalog.Object(*m.Spec.Profile)
		out.Profile = &ref
	}
	for _, ph := range m.Phases {
		out.Phases = append(out.Phases, catalog.Phase{Name: ph.Name, Func: ph.Func, Version: ph.Version, State: string(ph.State)})
	}
	for name, a := range m.Artifacts {
		out.Artifacts[name] = catalog.Artifact(a)
	}
	return out
}

func objectsOf(refs map[string]template.ObjectReference) map[string]catalog.Object {
	all := make(map[string]catalog.Object, len(refs))
	for name, ref := range refs {
		all[name] = catalog.Object(ref)
	}
	return all
}

func refsOf(objects map[string]catalog.Object) map[string]template.ObjectReference {
	all := make(map[string]template.ObjectReference, len(objects))
	for name, o := range objects {
		all[name] = template.ObjectReference(o)
	}
	return all
}

// takeManifest makes the action of a manifest the base, as inherit does with a run of this machine: with its artifacts, and its blueprint unless another is given.
func (o *order) takeManifest(s *session, given []*blueprint.Blueprint) error {
	m := s.manifest
	if len(given) > 1 {
		return errors.New("several blueprints are given: give the one to restore with")
	}
	if len(given) == 0 {
		file := blueprint.Parse(m.Blueprint.Name, m.Blueprint.Document)
		if err := file.Err(); err != nil {
			return fmt.Errorf("the blueprint of manifest %q: %w", m.ID(), err)
		}
		if len(file.Blueprints) != 1 || file.Blueprints[0].Name != m.Blueprint.Name {
			return fmt.Errorf("%w %q: its blueprint is not the one %q that it names", catalog.ErrInvalid, m.ID(), m.Blueprint.Name)
		}
		o.blueprints = file.Blueprints
	}
	spec := blueprint.ActionSpec{
		Name: m.Action, Blueprint: o.blueprints[0].Name, Object: template.ObjectReference(m.Subject), Profile: placeRef(s.flags.namespace),
		Secrets: refsOf(m.Secrets), ConfigMaps: refsOf(m.ConfigMaps), Options: maps.Clone(m.Options), Artifacts: map[string]template.Artifact{},
	}
	for name, a := range m.Artifacts {
		spec.Artifacts[name] = template.Artifact(a)
	}
	o.base = []blueprint.ActionSpec{spec}
	if err := o.withheld(m); err != nil {
		return err
	}
	for name, a := range o.request.artifacts {
		kept := spec.Artifacts[name]
		o.request.artifacts[name] = template.Artifact{KeyValue: merge(kept.KeyValue, a.KeyValue), KopiaSnapshot: kept.KopiaSnapshot}
	}
	return nil
}

// withheld refuses a restore that lacks what the manifest does not hold.
func (o *order) withheld(m *catalog.Manifest) error {
	given := map[string]bool{}
	for key := range o.request.options {
		given["options."+key] = true
	}
	for name, a := range o.request.artifacts {
		for key := range a.KeyValue {
			given["artifacts."+name+"."+key] = true
		}
	}
	missing := slices.DeleteFunc(slices.Clone(m.Withheld), func(what string) bool { return given[what] })
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("manifest %q lacks %q, which contain secrets: give them with --option KEY=VALUE or --artifact NAME.KEY=VALUE", m.ID(), missing)
}

// placeName names the location that the flags of davit catalog give; no cluster has it.
const placeName = "davit-catalog-location"

func placeRef(namespace string) *template.ObjectReference {
	if namespace == "" {
		namespace = "default"
	}
	return &template.ObjectReference{APIVersion: "v1alpha1", Group: "cr.kanister.io", Resource: "profiles", Kind: "Profile", Name: placeName, Namespace: namespace}
}

// placed is a source whose profile of that name is the location of the flags.
type placed struct {
	engine.Source
	profile *template.Profile
}

func (p placed) Profile(ctx context.Context, namespace, name string) (*template.Profile, error) {
	if name == placeName {
		return p.profile, nil
	}
	return p.Source.Profile(ctx, namespace, name)
}

// source is what the engine reads objects from.
func (s *session) source(from engine.Source) engine.Source {
	if s.profile == nil {
		return from
	}
	return placed{from, s.profile}
}
