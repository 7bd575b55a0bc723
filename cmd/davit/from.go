package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
)

// inherit makes the actions of a complete run the base: object, options, profile, secrets and config maps are kept, pod settings and
// versions are not. Its blueprints are taken too unless the flags give others.
func (o *order) inherit(ctx context.Context, s *session) error {
	id := s.flags.from
	journal, events, err := s.state.read(ctx, id)
	if err != nil {
		return err
	}
	parent, err := engine.Reduce(events)
	if err != nil {
		return fmt.Errorf("run %q: %w", id, err)
	}
	if parent.State != engine.Complete {
		return fmt.Errorf("run %q is %s: only what a complete run made can be taken over", id, parent.State)
	}
	o.parent = journal
	s.local = s.local || isLocal(events) && !s.flags.kube.named()
	for _, a := range parent.Record.Actions {
		spec := blueprint.ActionSpec{
			Name: a.Spec.Name, Blueprint: a.Spec.Blueprint, Object: a.Spec.Object,
			Profile: a.Spec.Profile, Secrets: a.Spec.Secrets, ConfigMaps: a.Spec.ConfigMaps,
		}
		if spec.Options, err = optionsOf(a); err != nil {
			return fmt.Errorf("run %q: %w", id, err)
		}
		o.base = append(o.base, spec)
	}
	if len(o.blueprints) > 0 {
		return nil
	}
	o.blueprints, _, err = recorded(parent.Record)
	if err != nil {
		return fmt.Errorf("run %q: %w", id, err)
	}
	return nil
}

// recorded returns the blueprints and the actions of a run as its journal has them. Options that contain a secret are left out.
func recorded(rec *engine.RunRecord) ([]*blueprint.Blueprint, []blueprint.ActionSpec, error) {
	var blueprints []*blueprint.Blueprint
	for _, name := range slices.Sorted(maps.Keys(rec.Blueprints)) {
		file := blueprint.Parse(name, rec.Blueprints[name])
		if err := file.Err(); err != nil {
			return nil, nil, err
		}
		blueprints = append(blueprints, file.Blueprints...)
	}
	var specs []blueprint.ActionSpec
	for _, a := range rec.Actions {
		spec := a.Spec
		spec.Options, _ = optionsOf(a)
		specs = append(specs, spec)
	}
	return blueprints, specs, nil
}

// optionsOf returns the options an action was given. One that contains a secret is not in the journal.
func optionsOf(a engine.ActionRecord) (map[string]string, error) {
	kept, _ := a.Params["options"].(map[string]any)
	options := map[string]string{}
	for key, value := range kept {
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("option %q contains a secret, which the journal does not hold: name the action anew, without --from", key)
		}
		options[key] = text
	}
	return options, nil
}

// takeArtifacts makes the output artifacts of the parent the input artifacts of the base.
func (o *order) takeArtifacts(ctx context.Context, e *engine.Engine) error {
	if o.parent == nil {
		return nil
	}
	parent, err := e.Load(ctx, o.parent)
	if err != nil {
		return err
	}
	for i := range o.base {
		if o.base[i].Artifacts, err = parent.Artifacts(i); err != nil {
			return fmt.Errorf("run %q: %w", parent.ID, err)
		}
	}
	return nil
}
