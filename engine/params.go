package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/template"
)

// fault is a part of the parameters that could not be read. Roots are the fields, or entries of maps, that are missing for it.
type fault struct {
	roots [][]string
	err   error
}

// faults of one action, in the order they were met.
type faults []fault

func (f *faults) add(err error, roots ...[]string) { *f = append(*f, fault{roots, err}) }

func (f faults) err() error {
	errs := make([]error, len(f))
	for i := range f {
		errs[i] = f[i].err
	}
	return errors.Join(errs...)
}

// subjectRoots are the parameters that are filled from the subject.
var subjectRoots = [][]string{{"StatefulSet"}, {"Deployment"}, {"DeploymentConfig"}, {"PVC"}, {"Namespace"}, {"Object"}}

// capture reads what an action's templates see, once. What is secret goes into the vault; the rest is journalled.
func (e *Engine) capture(ctx context.Context, v *vault, as blueprint.ActionSpec) (*template.Params, faults) {
	p := &template.Params{
		Time:        e.opts.Now().UTC().Format(time.RFC3339Nano),
		Options:     as.Options,
		ArtifactsIn: as.Artifacts, PodOverride: as.PodOverride, PodLabels: as.PodLabels, PodAnnotations: as.PodAnnotations,
		ConfigMaps: map[string]template.ConfigMap{},
		Phases:     map[string]*template.Phase{},
	}
	var missing faults
	if err := e.source.Subject(ctx, as.Object, p); err != nil {
		missing.add(fmt.Errorf("subject: %w", err), subjectRoots...)
	}
	for _, name := range slices.Sorted(maps.Keys(as.ConfigMaps)) {
		ref := as.ConfigMaps[name]
		cm, err := e.source.ConfigMap(ctx, ref.Namespace, ref.Name)
		if err != nil {
			missing.add(fmt.Errorf("config map %q: %w", name, err), []string{"ConfigMaps", name})
		}
		p.ConfigMaps[name] = cm
	}
	missing = append(missing, e.readSecrets(ctx, v, as, p)...)
	e.learn(ctx, v, as.Object.Namespace, p.Object)
	return p, missing
}

// readSecrets fills in what is never journalled.
func (e *Engine) readSecrets(ctx context.Context, v *vault, as blueprint.ActionSpec, p *template.Params) faults {
	var missing faults
	p.Secrets = map[string]template.Secret{}
	for _, name := range slices.Sorted(maps.Keys(as.Secrets)) {
		ref := as.Secrets[name]
		s, err := e.source.Secret(ctx, ref.Namespace, ref.Name)
		if err != nil {
			missing.add(fmt.Errorf("secret %q: %w", name, err), []string{"Secrets", name})
			continue
		}
		v.addSecret(ref.Namespace, ref.Name, s)
		p.Secrets[name] = s
	}
	if ref := as.Profile; ref != nil {
		profile, err := e.source.Profile(ctx, ref.Namespace, ref.Name)
		if err != nil {
			missing.add(fmt.Errorf("profile: %w", err), []string{"Profile"})
		} else {
			v.addProfile(ref.Namespace, ref.Name, profile)
			p.Profile = profile
		}
	}
	if isSecret(as.Object) {
		s, err := e.source.Secret(ctx, as.Object.Namespace, as.Object.Name)
		if err != nil {
			missing.add(fmt.Errorf("subject: %w", err), subjectRoots...)
		} else {
			v.addSecret(as.Object.Namespace, as.Object.Name, s)
		}
	}
	return missing
}

func isSecret(ref template.ObjectReference) bool {
	return strings.EqualFold(ref.Kind, "secret") || strings.EqualFold(ref.Resource, "secrets")
}

func isConfigMap(ref template.ObjectReference) bool {
	return strings.EqualFold(ref.Kind, "configmap") || strings.EqualFold(ref.Resource, "configmaps")
}

// snapshot is the part of Params that is journalled.
type snapshot struct {
	StatefulSet      *template.Workload            `json:"statefulSet,omitempty"`
	Deployment       *template.Workload            `json:"deployment,omitempty"`
	DeploymentConfig *template.Workload            `json:"deploymentConfig,omitempty"`
	PVC              *template.PVC                 `json:"pvc,omitempty"`
	Namespace        *template.Namespace           `json:"namespace,omitempty"`
	ArtifactsIn      map[string]template.Artifact  `json:"artifactsIn,omitempty"`
	ConfigMaps       map[string]template.ConfigMap `json:"configMaps,omitempty"`
	Time             string                        `json:"time"`
	Options          template.Options              `json:"options,omitempty"`
	Object           map[string]any                `json:"object,omitempty"`
	PodOverride      map[string]any                `json:"podOverride,omitempty"`
	PodAnnotations   map[string]string             `json:"podAnnotations,omitempty"`
	PodLabels        map[string]string             `json:"podLabels,omitempty"`
}

// freeze encodes the parameters for the journal.
func (v *vault) freeze(p *template.Params) (Values, error) {
	tree, err := v.encode(snapshot{p.StatefulSet, p.Deployment, p.DeploymentConfig, p.PVC, p.Namespace, p.ArtifactsIn, p.ConfigMaps,
		p.Time, p.Options, p.Object, p.PodOverride, p.PodAnnotations, p.PodLabels})
	if err != nil {
		return nil, err
	}
	return tree.(map[string]any), nil
}

// thaw turns journalled parameters back. Both a first and a resumed run use it, so that they see the same values.
func (v *vault) thaw(frozen Values) (*template.Params, error) {
	tree, err := v.expand(map[string]any(frozen))
	if err != nil {
		return nil, err
	}
	object := tree.(map[string]any)
	free := func(key string) map[string]any {
		m, _ := object[key].(map[string]any)
		delete(object, key)
		return m
	}
	p := &template.Params{Object: free("object"), PodOverride: free("podOverride"), Phases: map[string]*template.Phase{}}
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	p.StatefulSet, p.Deployment, p.DeploymentConfig, p.PVC, p.Namespace = s.StatefulSet, s.Deployment, s.DeploymentConfig, s.PVC, s.Namespace
	p.ArtifactsIn, p.ConfigMaps, p.Time, p.Options = s.ArtifactsIn, s.ConfigMaps, s.Time, s.Options
	p.PodAnnotations, p.PodLabels = s.PodAnnotations, s.PodLabels
	return p, nil
}
