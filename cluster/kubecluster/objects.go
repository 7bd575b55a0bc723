package kubecluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	jsonutil "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic"

	"github.com/davit-project/davit/cluster"
)

var (
	_ cluster.Getter  = (*Cluster)(nil)
	_ cluster.Objects = (*Cluster)(nil)
)

const (
	// createdBy is the annotation that holds the token of the call that created an object.
	createdBy = "davit.io/created-by"
	// fieldManager is who changed what, in metadata.managedFields.
	fieldManager = "davit"
	// maxName is how long a generated name may be: that of a DNS label, so that it can be a label's value too.
	maxName = 63
)

// Get returns the object; its numbers are int64 or float64. A reference with version and resource is asked for at once; for the others, the server
// is asked which resource the kind has. Kinds that exist in no namespace are found with and without one. The verb is get.
func (c *Cluster) Get(ctx context.Context, ref cluster.Ref) (map[string]any, error) {
	obj, _, err := c.get(ctx, ref)
	if err != nil {
		return nil, err
	}
	return obj.Object, nil
}

// get returns the object and the reference under which it was found.
func (c *Cluster) get(ctx context.Context, ref cluster.Ref) (obj *unstructured.Unstructured, at cluster.Ref, err error) {
	at, err = c.request(ref, func(client dynamic.ResourceInterface, at cluster.Ref) (err error) {
		obj, err = client.Get(ctx, at.Name, metav1.GetOptions{})
		return err
	})
	return obj, at, requestError(ctx, "get", at, err)
}

// Patch changes an object as its type allows: types of the Kubernetes API have a strategic merge patch, all others, custom resources among them, a JSON merge
// patch. The verb is patch.
func (c *Cluster) Patch(ctx context.Context, ref cluster.Ref, patch []byte) (map[string]any, error) {
	if trimmed := bytes.TrimSpace(patch); !json.Valid(patch) || trimmed[0] != '{' {
		return nil, fmt.Errorf("%w: patch of %s is no JSON object", cluster.ErrInvalid, ref)
	}
	var obj *unstructured.Unstructured
	at, err := c.request(ref, func(client dynamic.ResourceInterface, at cluster.Ref) (err error) {
		kind := types.MergePatchType
		if hasStrategicMerge(at) {
			kind = types.StrategicMergePatchType
		}
		obj, err = client.Patch(ctx, at.Name, kind, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
	if err != nil {
		return nil, requestError(ctx, "patch", at, err)
	}
	return obj.Object, nil
}

// Delete deletes an object, and in the background what it owns, and returns when it is gone or another one has its name. Finalizers may take their time: what
// holds the object is in the error when ctx ends first. The verbs are get and delete.
func (c *Cluster) Delete(ctx context.Context, ref cluster.Ref) error {
	obj, at, err := c.get(ctx, ref)
	if err != nil {
		return err
	}
	uid, background := obj.GetUID(), metav1.DeletePropagationBackground
	err = c.client(at).Delete(ctx, at.Name, metav1.DeleteOptions{PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &uid}})
	switch {
	case apierrors.IsNotFound(err):
		return nil // gone since
	case apierrors.IsConflict(err): // most likely another one has the name
	case err != nil:
		return requestError(ctx, "delete", at, err)
	}
	deleted := err == nil
	for p := newPace(); ; {
		now, err := c.client(at).Get(ctx, at.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) || err == nil && now.GetUID() != uid:
			return nil
		case err == nil && !deleted:
			return fmt.Errorf("delete %s: the server reports a conflict; try again", at)
		case err == nil:
			obj = now
		}
		if err := p.again(ctx, err); err != nil {
			return fmt.Errorf("%w%s", requestError(ctx, "delete", at, err), held(obj))
		}
	}
}

// held says what keeps an object from going.
func held(obj *unstructured.Unstructured) string {
	if finalizers := obj.GetFinalizers(); len(finalizers) > 0 {
		return fmt.Sprintf("; it is still there, held by its finalizers %s", strings.Join(finalizers, ", "))
	}
	return "; it is still there"
}

// Create creates the object of a manifest. The verb is create, and get where an object of that name exists. Annotation davit.io/created-by holds the
// token. A generateName is completed with ten characters that follow from the token, and cut so that the name has 63 at most.
func (c *Cluster) Create(ctx context.Context, manifest map[string]any, namespace, token string) (cluster.Ref, error) {
	obj, err := c.prepare(manifest, token)
	if err != nil {
		return cluster.Ref{}, err
	}
	gvk := obj.GroupVersionKind()
	ref := cluster.Ref{APIVersion: gvk.Version, Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
	if ref.Namespace == "" {
		ref.Namespace = namespace
	}
	if err := checkRef(ref); err != nil {
		return cluster.Ref{}, err
	}
	r, err := c.lookUp(ref)
	if err != nil {
		return cluster.Ref{}, fmt.Errorf("create: %w", err)
	}
	if known := r.GroupVersion().WithKind(r.kind); known != gvk {
		return cluster.Ref{}, fmt.Errorf("%w: create: the server does not know apiVersion %q, kind %q; it knows apiVersion %q, kind %q",
			cluster.ErrInvalid, obj.GetAPIVersion(), gvk.Kind, known.GroupVersion(), known.Kind)
	}
	ref = r.at(ref)
	if r.scope == namespaced && ref.Namespace == "" {
		return cluster.Ref{}, needsNamespace(ref)
	}
	obj.SetNamespace(ref.Namespace)
	for range 3 {
		_, err = c.client(ref).Create(ctx, obj, metav1.CreateOptions{FieldManager: fieldManager})
		if !apierrors.IsAlreadyExists(err) {
			return ref, requestError(ctx, "create", ref, err)
		}
		if err = c.adopt(ctx, ref, token); !errors.Is(err, cluster.ErrNotFound) {
			return ref, err
		}
	}
	return ref, err // it comes and goes
}

// prepare makes the object that is sent: a copy of the manifest, with its name and its mark.
func (c *Cluster) prepare(manifest map[string]any, token string) (*unstructured.Unstructured, error) {
	if token == "" {
		return nil, fmt.Errorf("%w: create without a token", cluster.ErrInvalid)
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return nil, fmt.Errorf("%w: manifest cannot be written as JSON: %w", cluster.ErrInvalid, err)
	}
	obj := &unstructured.Unstructured{}
	if err := jsonutil.Unmarshal(data, &obj.Object); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", cluster.ErrInvalid, err)
	}
	if _, err := schema.ParseGroupVersion(obj.GetAPIVersion()); err != nil || obj.GetAPIVersion() == "" || obj.GetKind() == "" {
		return nil, fmt.Errorf("%w: manifest has apiVersion %q and kind %q: both are required", cluster.ErrInvalid, obj.GetAPIVersion(), obj.GetKind())
	}
	if obj.IsList() && strings.HasSuffix(obj.GetKind(), "List") {
		return nil, fmt.Errorf("%w: manifest is a list: create its items one by one", cluster.ErrInvalid)
	}
	annotations, _, err := unstructured.NestedStringMap(obj.Object, "metadata", "annotations")
	if err != nil {
		return nil, fmt.Errorf("%w: manifest of a %s: metadata.annotations must be a map of texts", cluster.ErrInvalid, obj.GetKind())
	}
	if obj.GetName() == "" {
		if obj.GetGenerateName() == "" {
			return nil, fmt.Errorf("%w: manifest of a %s has neither metadata.name nor metadata.generateName", cluster.ErrInvalid, obj.GetKind())
		}
		obj.SetName(generatedName(obj.GetGenerateName(), token))
	}
	obj.SetGenerateName("")
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[createdBy] = token
	obj.SetAnnotations(annotations)
	return obj, nil
}

// generatedName is the same for the same token.
func generatedName(prefix, token string) string {
	sum := sha256.Sum256([]byte(token))
	suffix := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:10])
	return prefix[:min(len(prefix), maxName-len(suffix))] + suffix
}

// adopt accepts an object that an earlier call created.
func (c *Cluster) adopt(ctx context.Context, ref cluster.Ref, token string) error {
	obj, err := c.client(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return requestError(ctx, "get", ref, err)
	}
	by, ok := obj.GetAnnotations()[createdBy]
	switch {
	case ok && by == token:
		return nil
	case ok:
		return fmt.Errorf("create %s: %w, created by %q", ref, cluster.ErrExists, by)
	}
	return fmt.Errorf("create %s: %w", ref, cluster.ErrExists)
}
