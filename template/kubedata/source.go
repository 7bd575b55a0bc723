// Package kubedata fills template parameters from live objects: the subject of an action, secrets, config maps and profiles. It reads through two
// small interfaces, so that it serves every binding to a cluster alike.
//
// # Errors
//
// An absent object is cluster.ErrNotFound, a reference or an object that cannot be used is [ErrInvalid]. No error holds a value of a secret.
//
// # Concurrency
//
// A Source is safe for concurrent use when what it reads through is.
package kubedata

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/template"
)

// ErrInvalid means that a reference or an object cannot be used as it is.
var ErrInvalid = errors.New("invalid object")

// Source reads objects.
type Source struct {
	get  cluster.Getter
	pods cluster.PodLister
}

// New makes a Source.
func New(get cluster.Getter, pods cluster.PodLister) *Source { return &Source{get, pods} }

// known kinds of subjects and where they live.
var known = map[string]cluster.Ref{
	"statefulset":      {APIVersion: "v1", Group: "apps", Resource: "statefulsets"},
	"deployment":       {APIVersion: "v1", Group: "apps", Resource: "deployments"},
	"deploymentconfig": {APIVersion: "v1", Group: "apps.openshift.io", Resource: "deploymentconfigs"},
	"pvc":              {APIVersion: "v1", Resource: "persistentvolumeclaims"},
	"namespace":        {APIVersion: "v1", Resource: "namespaces"},
}

// Subject fills into with the object an action is performed on: .Object always, and .StatefulSet, .Deployment, .DeploymentConfig, .PVC or
// .Namespace for these kinds, in any case. Other kinds need apiVersion and resource. A namespace is read by its name; .Namespace holds the
// reference's namespace, or its name where that is empty.
func (s *Source) Subject(ctx context.Context, ref template.ObjectReference, into *template.Params) error {
	kind := strings.ToLower(ref.Kind)
	at, ok := known[kind]
	if !ok {
		if ref.APIVersion == "" || ref.Resource == "" {
			return fmt.Errorf("%w: kind %q is none of StatefulSet, Deployment, DeploymentConfig, PVC and Namespace: apiVersion and resource are required", ErrInvalid, ref.Kind)
		}
		at = cluster.Ref{APIVersion: ref.APIVersion, Group: ref.Group, Resource: ref.Resource}
	}
	at.Kind, at.Namespace, at.Name = ref.Kind, ref.Namespace, ref.Name
	if kind == "namespace" {
		at.Namespace, at.Name = "", cmp.Or(ref.Name, ref.Namespace)
	}
	if at.Name == "" {
		return fmt.Errorf("%w: reference to a %s has no name", ErrInvalid, cmp.Or(ref.Kind, ref.Resource))
	}
	object, err := s.get.Get(ctx, at)
	if err != nil {
		return err
	}
	into.Object = object
	switch kind {
	case "statefulset":
		into.StatefulSet, err = s.workload(ctx, "StatefulSet", ref)
	case "deployment":
		into.Deployment, err = s.workload(ctx, "Deployment", ref)
	case "deploymentconfig":
		into.DeploymentConfig, err = s.workload(ctx, "DeploymentConfig", ref)
	case "pvc":
		into.PVC = &template.PVC{Name: ref.Name, Namespace: ref.Namespace}
	case "namespace":
		name := cmp.Or(ref.Namespace, ref.Name)
		into.Namespace = &template.Namespace{Name: name, Namespace: name}
	}
	return err
}

// workload captures a workload with its running pods.
func (s *Source) workload(ctx context.Context, kind string, ref template.ObjectReference) (*template.Workload, error) {
	pods, err := s.pods.WorkloadPods(ctx, cluster.Workload{Kind: kind, Namespace: ref.Namespace, Name: ref.Name})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(pods, func(a, b cluster.PodInfo) int { return strings.Compare(a.Name, b.Name) })
	w := &template.Workload{Name: ref.Name, Namespace: ref.Namespace, PersistentVolumeClaims: map[string]map[string]string{}}
	for _, p := range pods {
		w.Pods = append(w.Pods, p.Name)
		w.Containers = append(w.Containers, p.Containers)
		if len(p.Claims) > 0 {
			w.PersistentVolumeClaims[p.Name] = p.Claims
		}
	}
	return w, nil
}

// Secret reads a Secret.
func (s *Source) Secret(ctx context.Context, namespace, name string) (template.Secret, error) {
	var secret template.Secret
	err := s.read(ctx, cluster.Ref{APIVersion: "v1", Resource: "secrets", Kind: "Secret", Namespace: namespace, Name: name}, &secret)
	return secret, err
}

// ConfigMap reads a ConfigMap.
func (s *Source) ConfigMap(ctx context.Context, namespace, name string) (template.ConfigMap, error) {
	var cm template.ConfigMap
	err := s.read(ctx, cluster.Ref{APIVersion: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: namespace, Name: name}, &cm)
	return cm, err
}

func (s *Source) read(ctx context.Context, ref cluster.Ref, into any) error {
	if ref.Name == "" {
		return fmt.Errorf("%w: reference to a %s has no name", ErrInvalid, ref.Kind)
	}
	object, err := s.get.Get(ctx, ref)
	if err != nil {
		return err
	}
	data, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: its fields have other types than a %s", ErrInvalid, ref, ref.Kind)
	}
	return nil
}
