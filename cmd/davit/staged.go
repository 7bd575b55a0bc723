package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/davit-project/davit/cluster"
)

// staged holds the objects of manifests as the local cluster would have them once all their pods run. Nothing is started.
type staged struct {
	// objects by resource in lower case, namespace and name.
	objects map[[3]string]map[string]any
}

var (
	_ cluster.Getter    = (*staged)(nil)
	_ cluster.PodLister = (*staged)(nil)
)

// stage reads manifests.
func stage(manifests []manifest) (*staged, error) {
	s := &staged{objects: map[[3]string]map[string]any{}}
	var errs []error
	for _, m := range manifests {
		if err := s.read(m.data); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.file, err))
		}
	}
	return s, errors.Join(errs...)
}

func (s *staged) read(data []byte) error {
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document map[string]any
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(document) == 0 {
			continue
		}
		text, err := json.Marshal(document)
		if err != nil {
			return err
		}
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			return err
		}
		if err := s.add(object); err != nil {
			return err
		}
	}
}

func (s *staged) add(object map[string]any) error {
	kind, _ := object["kind"].(string)
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	if kind == "" || name == "" {
		return errors.New("kind and metadata.name are required")
	}
	namespace, _ := metadata["namespace"].(string)
	if namespace == "" && kind != "Namespace" {
		namespace = "default"
		metadata["namespace"] = namespace
	}
	if values, ok := object["stringData"].(map[string]any); ok && kind == "Secret" {
		data, _ := object["data"].(map[string]any)
		if data == nil {
			data = map[string]any{}
		}
		for key, value := range values {
			data[key] = base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(value)))
		}
		object["data"] = data
		delete(object, "stringData")
	}
	s.objects[[3]string{resourceOf(kind), namespace, name}] = object
	if kind != "StatefulSet" {
		return nil
	}
	w, err := s.workload(cluster.Workload{Kind: kind, Namespace: namespace, Name: name})
	if err != nil {
		return err
	}
	for _, pod := range w.names {
		for _, claim := range w.claims {
			of := map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": claim + "-" + pod, "namespace": namespace}}
			s.objects[[3]string{"persistentvolumeclaims", namespace, claim + "-" + pod}] = of
		}
	}
	return nil
}

// resourceOf is the plural of a kind as most kinds have it.
func resourceOf(kind string) string {
	kind = strings.ToLower(kind)
	switch {
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	case strings.HasSuffix(kind, "cy"):
		return strings.TrimSuffix(kind, "y") + "ies"
	default:
		return kind + "s"
	}
}

// Get returns an object of the manifests.
func (s *staged) Get(_ context.Context, ref cluster.Ref) (map[string]any, error) {
	resource := ref.Resource
	if resource == "" {
		resource = resourceOf(ref.Kind)
	}
	object, ok := s.objects[[3]string{resource, ref.Namespace, ref.Name}]
	if !ok {
		return nil, fmt.Errorf("%s: %w in the manifests", ref, cluster.ErrNotFound)
	}
	return object, nil
}

// stagedWorkload is what the pods of a workload are made of.
type stagedWorkload struct {
	spec corev1.PodSpec
	// claims are the names of the claim templates, names those of the pods.
	claims, names []string
}

func (s *staged) workload(w cluster.Workload) (*stagedWorkload, error) {
	object, ok := s.objects[[3]string{resourceOf(w.Kind), w.Namespace, w.Name}]
	if !ok {
		return nil, fmt.Errorf("%s: %w in the manifests", w, cluster.ErrNotFound)
	}
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var read appsv1.StatefulSet // a Deployment has the fields that are read under the same names
	if err := json.Unmarshal(data, &read); err != nil {
		return nil, fmt.Errorf("%s: %w: its fields have other types", w, cluster.ErrInvalid)
	}
	prefix := w.Name
	if !strings.EqualFold(w.Kind, "StatefulSet") {
		sum := sha256.Sum256([]byte(w.Namespace + "/" + w.Name)) // as the local cluster names them
		prefix += "-" + hex.EncodeToString(sum[:])[:8]
	}
	out := &stagedWorkload{spec: read.Spec.Template.Spec}
	for i := range replicas(object) {
		out.names = append(out.names, fmt.Sprintf("%s-%d", prefix, i))
	}
	for _, claim := range read.Spec.VolumeClaimTemplates {
		out.claims = append(out.claims, claim.Name)
	}
	return out, nil
}

// WorkloadPods returns the pods that the workload will have.
func (s *staged) WorkloadPods(_ context.Context, w cluster.Workload) ([]cluster.PodInfo, error) {
	read, err := s.workload(w)
	if err != nil {
		return nil, err
	}
	var all []cluster.PodInfo
	for _, name := range read.names {
		pod := cluster.PodInfo{Name: name, Claims: map[string]string{}}
		volumes := map[string]string{}
		for _, v := range read.spec.Volumes {
			if v.PersistentVolumeClaim != nil {
				volumes[v.Name] = v.PersistentVolumeClaim.ClaimName
			}
		}
		for _, claim := range read.claims {
			volumes[claim] = claim + "-" + name
		}
		for _, ct := range read.spec.Containers {
			pod.Containers = append(pod.Containers, ct.Name)
			for _, m := range ct.VolumeMounts {
				if claim := volumes[m.Name]; claim != "" {
					pod.Claims[claim] = m.MountPath
				}
			}
		}
		all = append(all, pod)
	}
	return all, nil
}

// replicas is the number of pods a workload asks for.
func replicas(object map[string]any) int32 {
	spec, _ := object["spec"].(map[string]any)
	if n, ok := spec["replicas"].(float64); ok {
		return int32(min(max(n, 0), 1000))
	}
	return 1
}
