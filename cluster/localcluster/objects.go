//go:build unix

package localcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/davit-project/davit/cluster"
)

// createdBy is the annotation that remembers the token of Create.
const createdBy = "davit.io/created-by"

// Create stores the object of a manifest and starts what it lacks; see cluster.Objects. A pod is started once and then stays as it is.
func (c *Cluster) Create(ctx context.Context, manifest map[string]any, namespace, token string) (cluster.Ref, error) {
	if ctx.Err() != nil {
		return cluster.Ref{}, context.Cause(ctx)
	}
	d, err := c.document(manifest, namespace, token)
	if err != nil {
		return cluster.Ref{}, err
	}
	err = c.withLock(ctx, "objects", func() error {
		if isPod(d.key) {
			return c.createPod(ctx, d, token)
		}
		old, err := c.load(d.key)
		if errors.Is(err, cluster.ErrNotFound) {
			return c.store(d)
		}
		if err == nil {
			annotations, _ := metadata(old)["annotations"].(map[string]any)
			err = created(d.key, annotations[createdBy], token)
		}
		return err
	})
	if err == nil && isWorkload(d.key) { // also when an earlier host stored it: it may have died before it started the pods
		err = c.reconcile(ctx, d.key)
	}
	if err != nil {
		return cluster.Ref{}, fmt.Errorf("create %s: %w", d.key, err)
	}
	apiVersion, _ := d.obj["apiVersion"].(string)
	kind, _ := d.obj["kind"].(string)
	return cluster.Ref{
		APIVersion: apiVersion[strings.LastIndexByte(apiVersion, '/')+1:], Group: d.key.group, Resource: d.key.resource, Kind: kind,
		Namespace: d.key.namespace, Name: d.key.name,
	}, nil
}

// document makes a document of a manifest, which stays as it is.
func (c *Cluster) document(manifest map[string]any, namespace, token string) (document, error) {
	if token == "" || len(manifest) == 0 {
		return document{}, fmt.Errorf("%w: create without a token or without a manifest", cluster.ErrInvalid)
	}
	var obj map[string]any
	if err := convert(manifest, &obj); err != nil {
		return document{}, err
	}
	m := metadata(obj)
	if base, _ := m["generateName"].(string); base != "" && m["name"] == nil {
		m["name"] = base[:min(len(base), 53)] + digest([]byte(token))[:10]
	}
	if m["namespace"] == nil && namespace != "" {
		m["namespace"] = namespace
	}
	annotations, _ := m["annotations"].(map[string]any)
	m["annotations"] = merge(annotations, map[string]any{createdBy: token})
	d, err := readDocument(obj)
	if err != nil {
		return document{}, fmt.Errorf("%w: manifest: %w", cluster.ErrInvalid, err)
	}
	if d.key.namespace == "" {
		delete(m, "namespace")
	}
	if err := c.check(&d); err != nil {
		return document{}, fmt.Errorf("%s: %w", d.key, err)
	}
	return d, nil
}

// createPod starts a pod unless one of its name is there.
func (c *Cluster) createPod(ctx context.Context, d document, token string) error {
	old, err := c.findPod(d.key.namespace, d.key.name)
	if err == nil {
		return created(d.key, old.pod.Annotations[createdBy], token)
	}
	if !errors.Is(err, cluster.ErrNotFound) {
		return err
	}
	return c.startBarePod(ctx, d.obj)
}

// created tells whether an object that is there was created with the token.
func created(k key, by any, token string) error {
	if by == token {
		return nil
	}
	return fmt.Errorf("%w: %s is somebody else's; remove it or choose another name", cluster.ErrExists, k)
}

// patched has a type for each resource that a strategic merge patch is applied to.
var patched = map[string]any{
	"apps.statefulsets": appsv1.StatefulSet{}, "apps.deployments": appsv1.Deployment{}, "apps.daemonsets": appsv1.DaemonSet{},
	".services": corev1.Service{}, ".serviceaccounts": corev1.ServiceAccount{}, ".persistentvolumeclaims": corev1.PersistentVolumeClaim{},
	".configmaps": corev1.ConfigMap{}, ".secrets": corev1.Secret{}, ".namespaces": corev1.Namespace{},
}

// Patch applies a strategic merge patch to workloads, services, service accounts, claims, config maps, secrets and namespaces, and a JSON merge
// patch (RFC 7386) to the rest. A workload's pods follow. Pods themselves cannot be patched here.
func (c *Cluster) Patch(ctx context.Context, ref cluster.Ref, patch []byte) (map[string]any, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	k, err := keyOf(ref)
	if err != nil {
		return nil, err
	}
	if isPod(k) {
		return nil, fmt.Errorf("%w: %s: a pod cannot be patched here; patch its workload", cluster.ErrInvalid, k)
	}
	var fields map[string]any
	if err := json.Unmarshal(patch, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf("%w: patch of %s is no JSON object", cluster.ErrInvalid, k)
	}
	err = c.withLock(ctx, "objects", func() error {
		obj, err := c.load(k)
		if err != nil {
			return err
		}
		before := identity(obj)
		if obj, err = patchObject(k, obj, fields); err != nil {
			return fmt.Errorf("%w: patch of %s: %w", cluster.ErrInvalid, k, err)
		}
		if identity(obj) != before {
			return fmt.Errorf("%w: patch of %s changes its apiVersion, kind, name, namespace or uid", cluster.ErrInvalid, k)
		}
		if err := c.check(&document{key: k, obj: obj}); err != nil {
			return fmt.Errorf("patch of %s: %w", k, err)
		}
		return c.save(k, obj)
	})
	if err != nil {
		return nil, err
	}
	if isWorkload(k) {
		if err := c.reconcile(ctx, k); err != nil {
			return nil, err
		}
	}
	return c.Get(ctx, ref)
}

// patchObject applies a patch as the object's type has it.
func patchObject(k key, obj, fields map[string]any) (map[string]any, error) {
	kind, ok := patched[k.group+"."+k.resource]
	if !ok {
		return merge(obj, fields), nil
	}
	return strategicpatch.StrategicMergeMapPatch(obj, fields, kind)
}

// Delete removes an object and ends what belongs to it; see cluster.Objects. The pod of a workload comes back. A claim is removed with its
// data, once no pod that runs mounts it. What is in a namespace stays.
func (c *Cluster) Delete(ctx context.Context, ref cluster.Ref) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	k, err := keyOf(ref)
	if err != nil {
		return err
	}
	switch {
	case isPod(k):
		err = c.deletePod(ctx, k)
	case isWorkload(k):
		err = c.withLock(ctx, workloadLock(k), func() error { return c.deleteWorkload(ctx, k) })
	case isClaim(k):
		err = c.deleteClaim(ctx, k)
	default:
		err = c.discardObject(ctx, k)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", k, err)
	}
	return nil
}

// discardObject removes an object from the store.
func (c *Cluster) discardObject(ctx context.Context, k key) error {
	return c.withLock(ctx, "objects", func() error {
		err := os.Remove(c.path(k))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", k, cluster.ErrNotFound)
		}
		return err
	})
}

// deletePod removes a pod. When it was applied by itself, its manifest goes too.
func (c *Cluster) deletePod(ctx context.Context, k key) error {
	p, err := c.findPod(k.namespace, k.name)
	if err != nil {
		return err
	}
	if err := c.remove(ctx, p); err != nil {
		return err
	}
	if len(p.pod.OwnerReferences) > 0 {
		owner := p.pod.OwnerReferences[0]
		err = c.reconcile(ctx, key{"apps", resourceOf(owner.Kind), k.namespace, owner.Name})
	} else {
		err = c.discardObject(ctx, k)
	}
	if errors.Is(err, cluster.ErrNotFound) { // it was never applied, or its workload is being deleted
		return nil
	}
	return err
}

// deleteWorkload ends the pods first: a host that dies meanwhile leaves a workload that can be deleted again.
func (c *Cluster) deleteWorkload(ctx context.Context, k key) error {
	if _, err := c.load(k); err != nil {
		return err
	}
	pods, err := c.podsIn(k.namespace)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pods {
		if owns(&workload{key: k}, p) {
			errs = append(errs, c.remove(ctx, p))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.discardObject(ctx, k)
}

// deleteClaim waits until nobody uses the claim, as Kubernetes does.
func (c *Cluster) deleteClaim(ctx context.Context, k key) error {
	if _, err := c.load(k); err != nil {
		return err
	}
	for wait := newPoll(); ; {
		users, err := c.users(k)
		if err != nil {
			return err
		}
		if len(users) == 0 {
			break
		}
		if err := wait.wait(ctx); err != nil {
			return fmt.Errorf("%s mount it: %w", strings.Join(users, ", "), err)
		}
	}
	if err := c.trash(filepath.Join(c.dir, "claims", k.namespace, k.name)); err != nil {
		return err
	}
	return c.discardObject(ctx, k)
}

// users names the pods that live and mount the claim.
func (c *Cluster) users(k key) ([]string, error) {
	pods, err := c.podsIn(k.namespace)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, p := range pods {
		mounts := slices.ContainsFunc(p.pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == k.name
		})
		if mounts && p.status().alive {
			users = append(users, p.String())
		}
	}
	return users, nil
}
