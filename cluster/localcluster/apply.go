//go:build unix

package localcluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"go.yaml.in/yaml/v3"

	"github.com/davit-project/davit/cluster"
)

// maxManifest bounds one file of manifests, in bytes.
const maxManifest = 16 << 20

// document is one document of a file.
type document struct {
	key  key
	obj  map[string]any
	line int
}

// name of an object or a namespace, as Kubernetes has them: it becomes part of a path.
var validName = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?$`)

// Apply stores the objects of a YAML or JSON file with any number of documents and starts what workloads and pods lack, without waiting for
// them to be ready (see AwaitScaled). File is only a
// name, for errors. All faults are reported at once, and nothing is stored then. An object that exists is replaced; its uid stays.
func (c *Cluster) Apply(ctx context.Context, file string, manifests []byte) error {
	docs, err := c.parse(file, manifests)
	if err != nil {
		return err
	}
	err = c.withLock(ctx, "objects", func() error {
		for _, d := range docs {
			if err := c.store(d); err != nil {
				return fmt.Errorf("%s:%d: %s: %w", file, d.line, d.key, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range docs {
		switch {
		case isWorkload(d.key):
			errs = append(errs, c.reconcile(ctx, d.key))
		case isPod(d.key):
			errs = append(errs, c.startBarePod(ctx, d.obj))
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) parse(file string, manifests []byte) ([]document, error) {
	if len(manifests) > maxManifest {
		return nil, fmt.Errorf("%w: %s: %d bytes, at most %d are read", cluster.ErrInvalid, file, len(manifests), maxManifest)
	}
	var docs []document
	var errs []error
	d := yaml.NewDecoder(bytes.NewReader(manifests))
	for {
		var node yaml.Node
		err := d.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			break // the reader cannot go on after a syntax error
		}
		var obj map[string]any
		line := node.Line
		if len(node.Content) > 0 {
			line = node.Content[0].Line
		}
		plainText(&node)
		err = node.Decode(&obj)
		if err == nil && len(obj) == 0 {
			continue
		}
		var doc document
		if err == nil {
			doc, err = readDocument(obj)
		}
		if err == nil {
			doc.line = line
			err = c.check(&doc)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, line, err))
			continue
		}
		docs = append(docs, doc)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: %w", cluster.ErrInvalid, err)
	}
	return docs, nil
}

// plainText makes texts of what YAML takes for more than JSON has, as kubectl does: dates are not rewritten, and keys are texts.
func plainText(n *yaml.Node) {
	for i, child := range n.Content {
		plainText(child)
		if child.Kind == yaml.ScalarNode && (child.ShortTag() == "!!timestamp" || n.Kind == yaml.MappingNode && i%2 == 0 && child.ShortTag() != "!!merge") {
			child.Tag = "!!str"
		}
	}
}

// readDocument turns what YAML gave into what JSON would give.
func readDocument(yamlObj map[string]any) (document, error) {
	data, err := json.Marshal(yamlObj)
	if err != nil {
		return document{}, err
	}
	var obj map[string]any
	if err := json.Unmarshal(data, &obj); err != nil {
		return document{}, err
	}
	apiVersion, _ := obj["apiVersion"].(string)
	kind, _ := obj["kind"].(string)
	if apiVersion == "" || kind == "" {
		return document{}, errors.New("apiVersion and kind are required")
	}
	m, _ := obj["metadata"].(map[string]any)
	name, _ := m["name"].(string)
	namespace, _ := m["namespace"].(string)
	group := ""
	if i := bytes.LastIndexByte([]byte(apiVersion), '/'); i >= 0 {
		group = apiVersion[:i]
	}
	k, err := keyOf(cluster.Ref{Group: group, Kind: kind, Namespace: namespace, Name: name})
	if err != nil {
		return document{}, fmt.Errorf("%s: metadata.name is required", kind)
	}
	if k.namespace == "" && !clusterScoped[k.resource] {
		k.namespace = "default"
		m["namespace"] = k.namespace
	}
	if !validName.MatchString(k.name) || k.namespace != "" && !validName.MatchString(k.namespace) {
		return document{}, fmt.Errorf("%s %q in namespace %q: names are letters, digits, hyphens and dots", kind, k.name, k.namespace)
	}
	return document{key: k, obj: obj}, nil
}

// check looks for what would fail later.
func (c *Cluster) check(d *document) error {
	switch {
	case isWorkload(d.key):
		if err := known(d.obj, workloadType(d.key)); err != nil {
			return err
		}
		w, err := c.workloadOf(d.key, d.obj)
		if err != nil {
			return err
		}
		return checkSpec(&podOfWorkload(w, w.podName(0)).Spec)
	case isPod(d.key):
		var p corev1.Pod
		if err := known(d.obj, &p); err != nil {
			return err
		}
		return checkSpec(&p.Spec)
	case d.key.resource == "secrets" && d.key.group == "":
		return mergeStringData(d.obj)
	}
	return nil
}

// mergeStringData moves stringData into data, as a server does.
func mergeStringData(obj map[string]any) error {
	var s corev1.Secret
	if err := known(obj, &s); err != nil {
		return err
	}
	data := map[string]any{}
	for k, v := range s.Data {
		data[k] = base64.StdEncoding.EncodeToString(v)
	}
	for k, v := range s.StringData {
		data[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	delete(obj, "stringData")
	obj["data"] = data
	return nil
}

// store keeps a document. What exists keeps its identity, and what Scale and Patch made of it when it is applied unchanged.
func (c *Cluster) store(d document) error {
	const applied = "davit.io/applied"
	data, err := json.Marshal(d.obj)
	if err != nil {
		return err
	}
	fingerprint := digest(data)
	old, err := c.load(d.key)
	switch {
	case err == nil:
		annotations, _ := metadata(old)["annotations"].(map[string]any)
		if annotations[applied] == fingerprint {
			return nil
		}
		m := metadata(d.obj)
		m["uid"], m["creationTimestamp"] = metadata(old)["uid"], metadata(old)["creationTimestamp"]
	case !errors.Is(err, cluster.ErrNotFound):
		return err
	}
	stamp(d.obj)
	m := metadata(d.obj)
	annotations, _ := m["annotations"].(map[string]any)
	m["annotations"] = merge(annotations, map[string]any{applied: fingerprint})
	if d.key.resource == "persistentvolumeclaims" {
		d.obj["status"] = map[string]any{"phase": "Bound"}
	}
	return c.save(d.key, d.obj)
}

// known is convert that refuses fields the type does not have.
func known(from map[string]any, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("%w: %w", cluster.ErrInvalid, err)
	}
	return nil
}

func workloadType(k key) any {
	if k.resource == "statefulsets" {
		return &appsv1.StatefulSet{}
	}
	return &appsv1.Deployment{}
}

// convert goes from one form of an object to another by way of JSON.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%w: %w", cluster.ErrInvalid, err)
	}
	return nil
}
