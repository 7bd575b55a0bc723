//go:build unix

package localcluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-project/davit/cluster"
)

// plurals of kinds that are not the kind with an s.
var plurals = map[string]string{
	"ingress": "ingresses", "networkpolicy": "networkpolicies", "storageclass": "storageclasses",
	"volumesnapshotclass": "volumesnapshotclasses", "priorityclass": "priorityclasses", "endpoints": "endpoints",
}

// clusterScoped kinds have no namespace.
var clusterScoped = map[string]bool{
	"namespaces": true, "nodes": true, "persistentvolumes": true, "storageclasses": true, "volumesnapshotclasses": true,
	"clusterroles": true, "clusterrolebindings": true, "customresourcedefinitions": true, "priorityclasses": true,
}

// groups of resources that references may name without one.
var groups = map[string]string{
	"statefulsets": "apps", "deployments": "apps", "replicasets": "apps", "daemonsets": "apps",
	"deploymentconfigs": "apps.openshift.io", "profiles": "cr.kanister.io", "jobs": "batch", "cronjobs": "batch",
}

// resourceOf is the plural of a kind.
func resourceOf(kind string) string {
	k := strings.ToLower(kind)
	if p, ok := plurals[k]; ok {
		return p
	}
	switch {
	case k == "pvc":
		return "persistentvolumeclaims"
	case strings.HasSuffix(k, "y") && !strings.HasSuffix(k, "ey") && !strings.HasSuffix(k, "ay"):
		return strings.TrimSuffix(k, "y") + "ies"
	case strings.HasSuffix(k, "s"), strings.HasSuffix(k, "x"):
		return k + "es"
	}
	return k + "s"
}

// key names an object in the store.
type key struct{ group, resource, namespace, name string }

func keyOf(ref cluster.Ref) (key, error) {
	resource := strings.ToLower(ref.Resource)
	if resource == "" {
		if ref.Kind == "" {
			return key{}, fmt.Errorf("%w: reference %q names neither a resource nor a kind", cluster.ErrInvalid, ref.Name)
		}
		resource = resourceOf(ref.Kind)
	}
	k := key{ref.Group, resource, ref.Namespace, ref.Name}
	if k.group == "" {
		k.group = groups[resource]
	}
	if clusterScoped[resource] {
		k.namespace = ""
	}
	if k.name == "" {
		return key{}, fmt.Errorf("%w: reference to %s has no name", cluster.ErrInvalid, resource)
	}
	return k, nil
}

func isPod(k key) bool { return k.group == "" && k.resource == "pods" }

func isClaim(k key) bool { return k.group == "" && k.resource == "persistentvolumeclaims" }

func (k key) String() string {
	return cluster.Ref{Group: k.group, Resource: k.resource, Namespace: k.namespace, Name: k.name}.String()
}

func (c *Cluster) path(k key) string {
	esc := func(s string) string {
		if s == "" {
			return "_"
		}
		return strings.ReplaceAll(url.PathEscape(s), ".", "%2E")
	}
	return filepath.Join(c.dir, "objects", esc(k.group)+"."+esc(k.resource), esc(k.namespace), esc(k.name)+".json")
}

// load returns a stored object.
func (c *Cluster) load(k key) (map[string]any, error) {
	data, err := os.ReadFile(c.path(k))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", k, cluster.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	var obj map[string]any
	if err := json.Unmarshal(data, &obj); err != nil {
		return nil, fmt.Errorf("%s: stored object is damaged: %w", k, err)
	}
	return obj, nil
}

// save stores an object, all or nothing.
func (c *Cluster) save(k key, obj map[string]any) error {
	path := c.path(k)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeJSON(path, obj)
}

// writeJSON replaces a file.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, data)
}

// writeFile replaces a file, all or nothing; only its owner can read it.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// each calls f with every stored object of a resource.
func (c *Cluster) each(group, resource string, f func(map[string]any) error) error {
	root := filepath.Dir(filepath.Dir(c.path(key{group, resource, "x", "x"})))
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var obj map[string]any
		if err := json.Unmarshal(data, &obj); err != nil {
			return fmt.Errorf("stored object %q is damaged: %w", path, err)
		}
		return f(obj)
	})
}

// Get returns an object; workloads and pods with a status that is true at the moment.
func (c *Cluster) Get(_ context.Context, ref cluster.Ref) (map[string]any, error) {
	k, err := keyOf(ref)
	if err != nil {
		return nil, err
	}
	if isPod(k) {
		return c.getPod(k.namespace, k.name)
	}
	obj, err := c.load(k)
	if err != nil {
		return nil, err
	}
	if isWorkload(k) {
		return obj, c.fillStatus(k, obj)
	}
	return obj, nil
}

// identity is what an object keeps as long as it lives.
func identity(obj map[string]any) string {
	m, _ := obj["metadata"].(map[string]any)
	return fmt.Sprintf("%#v", []any{obj["apiVersion"], obj["kind"], m["name"], m["namespace"], m["uid"]})
}

func merge(into, patch map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for name, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(into, name)
		case map[string]any:
			old, _ := into[name].(map[string]any)
			into[name] = merge(old, v)
		default:
			into[name] = v
		}
	}
	return into
}

// metadata returns the object's metadata, made when absent.
func metadata(obj map[string]any) map[string]any {
	m, ok := obj["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		obj["metadata"] = m
	}
	return m
}

// stamp gives a new object what a server would give it.
func stamp(obj map[string]any) {
	m := metadata(obj)
	if m["uid"] == nil {
		m["uid"] = newUID()
	}
	if m["creationTimestamp"] == nil {
		m["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	}
}

func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
