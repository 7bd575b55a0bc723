package kubecluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/apifault"
)

// shortNames are kinds that blueprints write and no server knows by that name.
var shortNames = map[string]string{"pvc": "persistentvolumeclaims"}

// endpoint is where requests for a kind of object go.
type endpoint struct {
	schema.GroupVersionResource
	// kind is empty where nobody was asked.
	kind string
	// scope is unknown where nobody was asked: requests follow the reference then.
	scope scope
}

type scope int

const (
	unknownScope scope = iota
	namespaced
	clusterScoped
)

// resolve finds the resource of a reference. One that names version and resource is taken by its word; the others are looked up.
func (c *Cluster) resolve(ref cluster.Ref) (endpoint, error) {
	if err := checkRef(ref); err != nil {
		return endpoint{}, err
	}
	if ref.Resource != "" && ref.APIVersion != "" {
		return endpoint{GroupVersionResource: schema.GroupVersionResource{Group: ref.Group, Version: ref.APIVersion, Resource: strings.ToLower(ref.Resource)}}, nil
	}
	return c.lookUp(ref)
}

// checkRef refuses what would change the path of a request.
func checkRef(ref cluster.Ref) error {
	if ref.Resource == "" && ref.Kind == "" {
		return fmt.Errorf("%w: reference to %q names neither a resource nor a kind", cluster.ErrInvalid, ref.Name)
	}
	if group, version, ok := strings.Cut(ref.APIVersion, "/"); ok {
		return fmt.Errorf("%w: reference to %s: apiVersion %q must be the version alone: write apiVersion %q and group %q", cluster.ErrInvalid, ref, ref.APIVersion, version, group)
	}
	for _, field := range []struct{ name, value string }{
		{"apiVersion", ref.APIVersion}, {"group", ref.Group}, {"resource", ref.Resource}, {"kind", ref.Kind}, {"namespace", ref.Namespace}, {"name", ref.Name},
	} {
		if faults := content.IsPathSegmentName(field.value); len(faults) > 0 {
			return fmt.Errorf("%w: reference to %s: %s %q %s", cluster.ErrInvalid, ref, field.name, field.value, strings.Join(faults, ", "))
		}
	}
	return nil
}

// lookUp asks the mapper, and once more after it has forgotten what it knew: the kind may be new.
func (c *Cluster) lookUp(ref cluster.Ref) (endpoint, error) {
	r, err := c.mapping(ref)
	if meta.IsNoMatchError(err) {
		meta.MaybeResetRESTMapper(c.clients.Mapper)
		r, err = c.mapping(ref)
	}
	if meta.IsNoMatchError(err) {
		return r, fmt.Errorf("%w: the server does not know %s: %w: check apiVersion (the version alone), group, and resource (the plural) or kind; a custom resource needs its definition installed",
			cluster.ErrInvalid, ref, err)
	}
	if ambiguous := (&meta.AmbiguousResourceError{}); errors.As(err, &ambiguous) {
		return r, fmt.Errorf("%w: %s: %w: name the group", cluster.ErrInvalid, ref, err)
	}
	return r, apiError("look up the resource of", ref, err)
}

// mapping asks the mapper: for the kind as it is written, or for the resource, whose singular is mostly the kind in lower case.
func (c *Cluster) mapping(ref cluster.Ref) (endpoint, error) {
	var versions []string
	if ref.APIVersion != "" {
		versions = []string{ref.APIVersion}
	}
	name := strings.ToLower(ref.Resource)
	if name == "" {
		m, err := c.clients.Mapper.RESTMapping(schema.GroupKind{Group: ref.Group, Kind: ref.Kind}, versions...)
		if err == nil {
			return mapped(m), nil
		}
		if !meta.IsNoMatchError(err) {
			return endpoint{}, err
		}
		name = strings.ToLower(ref.Kind)
		if long, ok := shortNames[name]; ok {
			name = long
		}
	}
	gvk, err := c.kindOf(schema.GroupVersionResource{Group: ref.Group, Version: ref.APIVersion, Resource: name})
	if err != nil {
		return endpoint{}, err
	}
	m, err := c.clients.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return endpoint{}, err
	}
	return mapped(m), nil
}

// kindOf finds the kind of a resource. Where no group is named, the core group comes first, and several others are ambiguous: an object is not to be
// deleted because its group comes first in some order.
func (c *Cluster) kindOf(partial schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	if partial.Group == "" {
		kinds, err := c.clients.Mapper.KindsFor(partial)
		if err != nil {
			return schema.GroupVersionKind{}, err
		}
		core := slices.IndexFunc(kinds, func(k schema.GroupVersionKind) bool { return k.Group == "" })
		if core >= 0 {
			return kinds[core], nil
		}
		for _, k := range kinds {
			if k.Group != kinds[0].Group {
				return schema.GroupVersionKind{}, &meta.AmbiguousResourceError{PartialResource: partial, MatchingKinds: kinds}
			}
		}
	}
	return c.clients.Mapper.KindFor(partial)
}

func mapped(m *meta.RESTMapping) endpoint {
	r := endpoint{GroupVersionResource: m.Resource, kind: m.GroupVersionKind.Kind, scope: namespaced}
	if m.Scope.Name() == meta.RESTScopeNameRoot {
		r.scope = clusterScoped
	}
	return r
}

// at completes a reference with its resource: an object of a cluster-scoped kind has no namespace.
func (r endpoint) at(ref cluster.Ref) cluster.Ref {
	ref.APIVersion, ref.Group, ref.Resource = r.Version, r.Group, r.Resource
	if r.kind != "" {
		ref.Kind = r.kind
	}
	if r.scope == clusterScoped {
		ref.Namespace = ""
	}
	return ref
}

// client sends requests for the objects of a namespace, or for those of the cluster.
func (c *Cluster) client(ref cluster.Ref) dynamic.ResourceInterface {
	r := c.clients.Dynamic.Resource(schema.GroupVersionResource{Group: ref.Group, Version: ref.APIVersion, Resource: ref.Resource})
	if ref.Namespace == "" {
		return r
	}
	return r.Namespace(ref.Namespace)
}

// request makes a request for the object of a reference. Where the server does not know the path, or refuses it, what was taken by its word or
// remembered is looked up anew, and the request made once more when that changes it.
func (c *Cluster) request(ref cluster.Ref, do func(dynamic.ResourceInterface, cluster.Ref) error) (cluster.Ref, error) {
	if ref.Name == "" {
		return ref, fmt.Errorf("%w: reference to %s has no name", cluster.ErrInvalid, ref)
	}
	r, err := c.resolve(ref)
	if err != nil {
		return ref, err
	}
	at := r.at(ref)
	if r.scope == namespaced && at.Namespace == "" {
		return at, needsNamespace(at)
	}
	err = do(c.client(at), at)
	if err == nil || apifault.Of(err) != apifault.UnknownPath && !apierrors.IsForbidden(err) {
		return at, err
	}
	if apifault.Of(err) == apifault.UnknownPath {
		meta.MaybeResetRESTMapper(c.clients.Mapper)
	}
	again, lookErr := c.lookUp(ref)
	switch fixed := again.at(ref); {
	case lookErr != nil && apifault.Of(err) == apifault.UnknownPath:
		return at, lookErr
	case lookErr != nil:
		return at, err
	case again.scope == namespaced && fixed.Namespace == "":
		return at, needsNamespace(fixed)
	case fixed.Namespace == at.Namespace && again.GroupVersionResource == r.GroupVersionResource:
		return at, err
	default:
		return fixed, do(c.client(fixed), fixed)
	}
}

func needsNamespace(ref cluster.Ref) error {
	return fmt.Errorf("%w: reference to %s needs a namespace", cluster.ErrInvalid, ref)
}

// hasStrategicMerge tells whether objects of a resource can be patched strategically: those of the Kubernetes API itself.
func hasStrategicMerge(ref cluster.Ref) bool {
	gv := schema.GroupVersion{Group: ref.Group, Version: ref.APIVersion}
	for kind := range scheme.Scheme.KnownTypes(gv) {
		if plural, _ := meta.UnsafeGuessKindToResource(gv.WithKind(kind)); plural.Resource == ref.Resource {
			return true
		}
	}
	return false
}
