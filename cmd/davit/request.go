package main

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/template"
)

// request is what the flags of davit run ask for.
type request struct {
	action, version     string
	objects             []template.ObjectReference
	options             map[string]string
	artifacts           map[string]template.Artifact
	profile             *template.ObjectReference
	secrets, configMaps map[string]template.ObjectReference
	blueprint           string
}

// apply returns the actions of base as the request changes them: what it names is put in the place of what is there,
// maps are merged, and several objects multiply the actions. Without a base there is one empty action.
func (r *request) apply(base []blueprint.ActionSpec) ([]blueprint.ActionSpec, error) {
	if len(base) == 0 {
		base = []blueprint.ActionSpec{{}}
	}
	var specs []blueprint.ActionSpec
	for _, spec := range base {
		r.override(&spec)
		if len(r.objects) == 0 {
			specs = append(specs, spec)
		}
		for _, object := range r.objects {
			spec.Object = object
			specs = append(specs, spec)
		}
	}
	var errs []error
	for _, spec := range specs {
		errs = append(errs, complete(spec))
	}
	return specs, errors.Join(errs...)
}

func (r *request) override(spec *blueprint.ActionSpec) {
	if r.action != "" {
		spec.Name = r.action
	}
	if r.blueprint != "" {
		spec.Blueprint = r.blueprint
	}
	if r.version != "" {
		spec.PreferredVersion = r.version
	}
	if r.profile != nil {
		spec.Profile = r.profile
	}
	spec.Options = merge(spec.Options, r.options)
	spec.Artifacts = merge(spec.Artifacts, r.artifacts)
	spec.Secrets = merge(spec.Secrets, r.secrets)
	spec.ConfigMaps = merge(spec.ConfigMaps, r.configMaps)
}

func merge[V any](under, over map[string]V) map[string]V {
	if len(over) == 0 {
		return under
	}
	all := maps.Clone(under)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, over)
	return all
}

// complete reports what an action lacks.
func complete(spec blueprint.ActionSpec) error {
	switch {
	case spec.Name == "":
		return errors.New("no action is named: say which one with --action")
	case spec.Blueprint == "":
		return errors.New("no blueprint is named: give its file with --blueprint")
	case spec.Object.Name == "":
		return fmt.Errorf("action %q has no object: name it with --object, --deployment, --statefulset, --pvc, --namespacetargets or --objects", spec.Name)
	}
	return nil
}

// kinds that need no more than a name, in the spelling of action sets.
var kinds = map[string]string{
	"deployment":       "Deployment",
	"statefulset":      "StatefulSet",
	"deploymentconfig": "DeploymentConfig",
	"pvc":              "PVC",
	"namespace":        "Namespace",
}

// parseObject reads KIND/NAMESPACE/NAME, and namespace/NAME.
func parseObject(text string) (template.ObjectReference, error) {
	kind, rest, _ := strings.Cut(text, "/")
	known := kinds[strings.ToLower(kind)]
	switch known {
	case "":
		return template.ObjectReference{}, fmt.Errorf(
			"object %q: unknown kind %q: want deployment, statefulset, deploymentconfig, pvc or namespace; --objects takes any other", text, kind)
	case "Namespace":
		return namespaceRef(rest)
	default:
		return namespaced(known, rest)
	}
}

func namespaceRef(name string) (template.ObjectReference, error) {
	if name == "" || strings.Contains(name, "/") {
		return template.ObjectReference{}, fmt.Errorf("namespace %q: want NAME", name)
	}
	return template.ObjectReference{Kind: "Namespace", Name: name, Namespace: name}, nil
}

// namespaced reads NAMESPACE/NAME.
func namespaced(kind, text string) (template.ObjectReference, error) {
	namespace, name, _ := strings.Cut(text, "/")
	if namespace == "" || name == "" || strings.Contains(name, "/") {
		return template.ObjectReference{}, fmt.Errorf("%s %q: want NAMESPACE/NAME", strings.ToLower(kind), text)
	}
	return template.ObjectReference{Kind: kind, Name: name, Namespace: namespace}, nil
}

// parseResource reads GROUP/VERSION/RESOURCE/NAMESPACE/NAME, without the group for the core group.
func parseResource(text string) (template.ObjectReference, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 4 {
		parts = append([]string{""}, parts...)
	}
	if len(parts) != 5 || parts[1] == "" || parts[2] == "" || parts[4] == "" {
		return template.ObjectReference{}, fmt.Errorf(
			"object %q: want GROUP/VERSION/RESOURCE/NAMESPACE/NAME, or VERSION/RESOURCE/NAMESPACE/NAME for the core group", text)
	}
	return template.ObjectReference{Group: parts[0], APIVersion: parts[1], Resource: parts[2], Namespace: parts[3], Name: parts[4]}, nil
}

// parseProfile reads NAME and NAMESPACE/NAME. Without a namespace there is none yet: see inNamespace.
func parseProfile(text string) (*template.ObjectReference, error) {
	if text != "" && !strings.Contains(text, "/") {
		return &template.ObjectReference{Kind: "Profile", Name: text}, nil
	}
	ref, err := namespaced("Profile", text)
	return &ref, err
}

// inNamespace puts what was named without a namespace into one.
func (r *request) inNamespace(namespace string) {
	if r.profile != nil && r.profile.Namespace == "" {
		r.profile.Namespace = namespace
	}
}

// parseRefs reads REF=NAMESPACE/NAME, each.
func parseRefs(kind string, texts []string) (map[string]template.ObjectReference, error) {
	refs := map[string]template.ObjectReference{}
	var errs []error
	for _, text := range texts {
		key, value, _ := strings.Cut(text, "=")
		ref, err := namespaced(kind, value)
		if key == "" || err != nil {
			errs = append(errs, fmt.Errorf("%s %q: want REF=NAMESPACE/NAME", strings.ToLower(kind), text))
		}
		refs[key] = ref
	}
	return refs, errors.Join(errs...)
}

// parsePairs reads KEY=VALUE, each. A value may contain anything.
func parsePairs(what string, texts []string) (map[string]string, error) {
	pairs := map[string]string{}
	var errs []error
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			errs = append(errs, fmt.Errorf("%s %q: want KEY=VALUE", what, text))
		}
		pairs[key] = value
	}
	return pairs, errors.Join(errs...)
}

// parseArtifacts reads NAME.KEY=VALUE, each.
func parseArtifacts(texts []string) (map[string]template.Artifact, error) {
	artifacts := map[string]template.Artifact{}
	var errs []error
	for _, text := range texts {
		path, value, ok := strings.Cut(text, "=")
		name, key, dotted := strings.Cut(path, ".")
		if !ok || !dotted || name == "" || key == "" {
			errs = append(errs, fmt.Errorf("artifact %q: want NAME.KEY=VALUE", text))
			continue
		}
		if artifacts[name].KeyValue == nil {
			artifacts[name] = template.Artifact{KeyValue: map[string]string{}}
		}
		artifacts[name].KeyValue[key] = value
	}
	return artifacts, errors.Join(errs...)
}
