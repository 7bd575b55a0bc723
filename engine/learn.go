package engine

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
)

// A container gets secrets that no template reads: by the environment or the volumes of the subject's pods, or of a phase's podOverride. What it writes may
// hold them, so the run learns their values too.

// secretsNamed lists the secrets that an object, or a fragment of one, refers to.
func secretsNamed(tree any) []string {
	names := map[string]bool{}
	collectSecrets(tree, names)
	return slices.Sorted(maps.Keys(names))
}

func collectSecrets(tree any, names map[string]bool) {
	switch t := tree.(type) {
	case []any:
		for _, e := range t {
			collectSecrets(e, names)
		}
	case map[string]any:
		for key, e := range t {
			field := map[string]string{"secretKeyRef": "name", "secretRef": "name", "secret": "secretName"}[key]
			if m, ok := e.(map[string]any); ok && field != "" {
				if name, ok := m[field].(string); ok && name != "" {
					names[name] = true
				}
			}
			collectSecrets(e, names)
		}
	}
}

// learn reads the secrets that a tree refers to. One that cannot be read is no fault of the run: it may be optional, or out of its reach.
func (e *Engine) learn(ctx context.Context, v *vault, namespace string, tree any) {
	for _, name := range secretsNamed(tree) {
		if v.knows("secret", namespace, name) {
			continue
		}
		s, err := e.source.Secret(ctx, namespace, name)
		if err != nil {
			e.opts.Logger.WarnContext(ctx, "a secret that a pod uses cannot be read, and is not masked", "namespace", namespace, "secret", name, "error", err)
			continue
		}
		v.addSecret(namespace, name, s)
	}
}

// learnPhase learns what the pods of a phase are given: by its arguments, by the run's podOverride.
func (r *run) learnPhase(ctx context.Context, i int, args map[string]any) {
	namespace, _ := args["namespace"].(string)
	namespace = cmp.Or(namespace, r.program.actions[i].spec.Object.Namespace)
	r.engine.learn(ctx, r.vault, namespace, args)
	r.engine.learn(ctx, r.vault, namespace, r.params[i].PodOverride)
}

// recall reads again every secret that the journal refers to. One that is gone is reported by whoever needs it; one that cannot be read at the moment is an
// error.
func (e *Engine) recall(ctx context.Context, v *vault, state *State) error {
	refs := map[secretRef]bool{}
	collect := func(values Values) {
		_, _ = mapTree(map[string]any(values), func(t secretText) (any, error) {
			for _, p := range t {
				if p.Ref != nil {
					refs[secretRef{Kind: p.Ref.Kind, Namespace: p.Ref.Namespace, Name: p.Ref.Name}] = true
				}
			}
			return nil, nil
		})
	}
	for i := range state.Actions {
		a := &state.Actions[i]
		collect(state.Record.Actions[i].Params)
		collect(state.Record.Actions[i].Objects)
		collect(a.Artifacts)
		for k := range a.Phases {
			collect(a.Phases[k].Outputs)
		}
		if a.Defer != nil {
			collect(a.Defer.Outputs)
		}
	}
	var errs []error
	for ref := range refs {
		if v.knows(ref.Kind, ref.Namespace, ref.Name) {
			continue
		}
		if err := e.reread(ctx, v, ref); err != nil && !isAbsent(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) reread(ctx context.Context, v *vault, ref secretRef) error {
	if ref.Kind == "profile" {
		p, err := e.source.Profile(ctx, ref.Namespace, ref.Name)
		if err == nil {
			v.addProfile(ref.Namespace, ref.Name, p)
		}
		return err
	}
	s, err := e.source.Secret(ctx, ref.Namespace, ref.Name)
	if err == nil {
		v.addSecret(ref.Namespace, ref.Name, s)
	}
	return err
}
