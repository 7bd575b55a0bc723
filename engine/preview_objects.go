package engine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// objects reads the secrets and config maps of a phase. One that is absent is a problem, unless an earlier phase may make it.
func (w *view) objects(ctx context.Context, ph *phase, r *rendering, out *PreviewPhase) {
	r.certain = true // references are rendered at the start of the run, whatever becomes of the phase
	known := w.references(ctx, ph, r, out)
	r.certain = out.certain()
	if out.Runs == RunsFalse {
		return
	}
	tp, err := w.engine.readRefs(ctx, w.vault, known, func(name, field string, err error) {
		w.miss(ph, field, name)
		if isAbsent(err) && w.made(field) {
			r.open = append(r.open, "objects."+name)
			return
		}
		r.fail("object "+name, err)
	})
	r.fail("objects", err)
	if err != nil {
		tp = newPhase()
	}
	if ph.index == deferIndex {
		w.params.DeferPhase = tp
	} else {
		w.params.Phases[ph.name] = tp
	}
}

// references renders the references of a phase and returns those that are known.
func (w *view) references(ctx context.Context, ph *phase, r *rendering, out *PreviewPhase) map[string]template.ObjectReference {
	known := map[string]template.ObjectReference{}
	for _, name := range slices.Sorted(maps.Keys(ph.src.Objects)) {
		before := len(r.open) + len(r.problems)
		ref := ph.src.Objects[name]
		for field, text := range map[string]*string{
			"apiVersion": &ref.APIVersion, "group": &ref.Group, "resource": &ref.Resource, "kind": &ref.Kind, "name": &ref.Name, "namespace": &ref.Namespace,
		} {
			*text = r.text(ctx, "objects."+name+"."+field, *text)
		}
		if out.Objects == nil {
			out.Objects = map[string]template.ObjectReference{}
		}
		out.Objects[name] = ref
		if len(r.open)+len(r.problems) == before {
			known[name] = ref
			continue
		}
		w.miss(ph, "Secrets", name)
		w.miss(ph, "ConfigMaps", name)
	}
	slices.Sort(r.open)
	slices.Sort(r.problems)
	return known
}

// miss marks an object of a phase as one that could not be read.
func (w *view) miss(ph *phase, field, name string) {
	path := []string{"Phases", ph.name, field, name}
	if ph.index == deferIndex {
		path = []string{"DeferPhase", field, name}
	}
	w.missing = append(w.missing, path)
}

// made tells whether a phase so far may create an object of that field's kind.
func (w *view) made(field string) bool {
	resource, kind := "secrets", "Secret"
	if field == "ConfigMaps" {
		resource, kind = "configmaps", "ConfigMap"
	}
	return slices.ContainsFunc(w.rules, func(rule function.Rule) bool {
		return slices.Contains(rule.Verbs, "create") &&
			(rule.Resource == resource || rule.Resource == "" && rule.Kind == kind || strings.Contains(rule.Resource+rule.Kind, "{{"))
	})
}
