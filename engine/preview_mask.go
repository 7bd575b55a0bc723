package engine

import (
	"encoding/json"

	"github.com/davit-project/davit/template"
)

// masked is what may be shown of the view.
func (w *view) masked() PreviewAction {
	v := w.vault
	out := w.out
	out.Action, out.Blueprint, out.Object = v.mask(out.Action), v.mask(out.Blueprint), v.maskRef(out.Object)
	out.Open, out.Problems = v.maskAll(out.Open), v.maskAll(out.Problems)
	out.Artifacts = nil
	for name, art := range w.out.Artifacts {
		if out.Artifacts == nil {
			out.Artifacts = map[string]template.Artifact{}
		}
		shown := template.Artifact{KopiaSnapshot: v.mask(art.KopiaSnapshot)}
		for key, text := range art.KeyValue {
			if shown.KeyValue == nil {
				shown.KeyValue = map[string]string{}
			}
			shown.KeyValue[v.mask(key)] = v.mask(text)
		}
		out.Artifacts[v.mask(name)] = shown
	}
	out.Phases = nil
	for _, ph := range w.out.Phases {
		out.Phases = append(out.Phases, v.maskPreview(ph))
	}
	return out
}

func (v *vault) maskPreview(ph PreviewPhase) PreviewPhase {
	ph.Name, ph.If = v.mask(ph.Name), v.mask(ph.If)
	ph.Args, _ = v.maskTree(ph.Args).(map[string]any)
	ph.Open, ph.Images, ph.Problems = v.maskAll(ph.Open), v.maskAll(ph.Images), v.maskAll(ph.Problems)
	objects := ph.Objects
	ph.Objects = nil
	for name, ref := range objects {
		if ph.Objects == nil {
			ph.Objects = map[string]template.ObjectReference{}
		}
		ph.Objects[v.mask(name)] = v.maskRef(ref)
	}
	rules := ph.Rules
	ph.Rules = nil
	for _, r := range rules {
		r.Subject, r.Namespace, r.Group, r.Version = v.mask(r.Subject), v.mask(r.Namespace), v.mask(r.Group), v.mask(r.Version)
		r.Kind, r.Resource, r.Names, r.Verbs = v.mask(r.Kind), v.mask(r.Resource), v.maskAll(r.Names), v.maskAll(r.Verbs)
		ph.Rules = append(ph.Rules, r)
	}
	return ph
}

func (v *vault) maskAll(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, shorten(v.mask(text)))
	}
	return all
}

func (v *vault) maskRef(r template.ObjectReference) template.ObjectReference {
	return template.ObjectReference{APIVersion: v.mask(r.APIVersion), Group: v.mask(r.Group), Resource: v.mask(r.Resource), Kind: v.mask(r.Kind),
		Name: v.mask(r.Name), Namespace: v.mask(r.Namespace)}
}

// maskTree copies a tree with every secret in it masked, those in keys and numbers too.
func (v *vault) maskTree(tree any) any {
	switch t := tree.(type) {
	case nil, bool:
		return t
	case string:
		return v.mask(t)
	case []any:
		list := make([]any, len(t))
		for i, e := range t {
			list[i] = v.maskTree(e)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(t))
		for key, e := range t {
			object[v.mask(key)] = v.maskTree(e)
		}
		return object
	default: // a number
		data, err := json.Marshal(t)
		if err != nil {
			return masked
		}
		if text := string(data); len(text) >= shortSecret && v.mask(text) != text {
			return v.mask(text)
		}
		return t
	}
}
