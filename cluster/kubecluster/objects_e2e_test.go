//go:build e2e

package kubecluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/apifault"
	"github.com/davit-project/davit/internal/testcluster"
)

// bind makes a Cluster of a configuration.
func bind(t *testing.T, config *rest.Config) *Cluster {
	t.Helper()
	clients, err := ForConfig(config)
	require.NoError(t, err)
	c, err := New(clients, nil)
	require.NoError(t, err)
	return c
}

func rule(group, resources, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
}

// unique is a name nobody else has.
func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:8]) }

func configMap(name string, data map[string]any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": data}
}

func configMapRef(ns, name string) cluster.Ref {
	return cluster.Ref{APIVersion: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: ns, Name: name}
}

// gadgets is a custom resource of the test's own: its kind is Gadget, its plural that of the group.
func gadgets(t *testing.T, c *Cluster, scope string, status bool) schema.GroupVersionResource {
	t.Helper()
	gvr := schema.GroupVersionResource{Group: unique("g") + ".example.org", Version: "v1beta1", Resource: "gadgets"}
	version := map[string]any{"name": gvr.Version, "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{
		"type": "object", "properties": map[string]any{
			"spec":   map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": map[string]any{"size": map[string]any{"type": "integer"}}},
			"status": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true},
		}}}}
	if status {
		version["subresources"] = map[string]any{"status": map[string]any{}}
	}
	ref, err := c.Create(t.Context(), map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": gvr.Resource + "." + gvr.Group},
		"spec": map[string]any{"group": gvr.Group, "scope": scope, "versions": []any{version},
			"names": map[string]any{"plural": gvr.Resource, "singular": "gadget", "kind": "Gadget"}}}, "", "test")
	require.NoError(t, err)
	require.Equal(t, cluster.Ref{APIVersion: "v1", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Kind: "CustomResourceDefinition", Name: gvr.Resource + "." + gvr.Group}, ref)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.Background(), ref)) })
	require.Eventually(t, func() bool {
		_, err := c.clients.Dynamic.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		return err == nil
	}, 30*time.Second, 50*time.Millisecond, "the custom resource is served")
	return gvr
}

func TestObjectsLiveAndDie(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.As(t, ns, []rbacv1.PolicyRule{rule("", "configmaps", "get create patch delete")})), t.Context()

	ref, err := c.Create(ctx, configMap("conf", map[string]any{"a": "1"}), ns, "run-1.phase-0")
	require.NoError(t, err)
	require.Equal(t, configMapRef(ns, "conf"), ref)
	again, err := c.Create(ctx, configMap("conf", map[string]any{"a": "2"}), ns, "run-1.phase-0")
	require.NoError(t, err, "an earlier call created it")
	require.Equal(t, ref, again)
	_, err = c.Create(ctx, configMap("conf", nil), ns, "run-2.phase-0")
	require.ErrorIs(t, err, cluster.ErrExists)
	require.ErrorContains(t, err, "run-1.phase-0")
	_, err = c.Create(ctx, configMap("kube-root-ca.crt", nil), ns, "run-2.phase-0")
	require.ErrorIs(t, err, cluster.ErrExists)

	for _, by := range []cluster.Ref{ref, {Kind: "ConfigMap"}, {Kind: "configmap"}, {Resource: "configmaps"}, {Resource: "ConfigMaps", APIVersion: "v1"}, {Kind: "ConfigMap", APIVersion: "v1"}} {
		by.Namespace, by.Name = ns, "conf"
		obj, err := c.Get(ctx, by)
		require.NoError(t, err, "%+v", by)
		require.Equal(t, map[string]any{"a": "1"}, obj["data"])
		m := obj["metadata"].(map[string]any)
		require.Equal(t, map[string]any{"davit.io/created-by": "run-1.phase-0"}, m["annotations"])
		require.Equal(t, "davit", m["managedFields"].([]any)[0].(map[string]any)["manager"])
	}
	obj, err := c.Patch(ctx, ref, []byte(`{"data":{"b":"2","a":null}}`))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"b": "2"}, obj["data"])

	require.NoError(t, c.Delete(ctx, ref))
	require.ErrorIs(t, c.Delete(ctx, ref), cluster.ErrNotFound)
	_, err = c.Get(ctx, ref)
	require.ErrorIs(t, err, cluster.ErrNotFound)
	_, err = c.Patch(ctx, ref, []byte(`{}`))
	require.ErrorIs(t, err, cluster.ErrNotFound)

	generated := configMap("", nil)
	generated["metadata"] = map[string]any{"generateName": "conf-"}
	ref, err = c.Create(ctx, generated, ns, "run-1.phase-1")
	require.NoError(t, err)
	require.Regexp(t, `^conf-[a-z2-7]{10}$`, ref.Name)
	again, err = c.Create(ctx, generated, ns, "run-1.phase-1")
	require.NoError(t, err)
	require.Equal(t, ref, again)
	other, err := c.Create(ctx, generated, ns, "run-1.phase-2")
	require.NoError(t, err)
	require.NotEqual(t, ref.Name, other.Name)
	require.Equal(t, map[string]any{"generateName": "conf-"}, generated["metadata"], "the manifest is not changed")
}

// Of callers with one token all succeed, of others one.
func TestCreateAtTheSameTime(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c := bind(t, tc.Config)
	for name, tokens := range map[string][]string{"same": {"a", "a", "a", "a"}, "others": {"a", "b", "c", "d"}} {
		errs := make([]error, len(tokens))
		var wg sync.WaitGroup
		for i, token := range tokens {
			wg.Go(func() { _, errs[i] = c.Create(t.Context(), configMap(name, nil), ns, token) })
		}
		wg.Wait()
		failed := 0
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, cluster.ErrExists)
				failed++
			}
		}
		require.Equal(t, map[string]int{"same": 0, "others": 3}[name], failed, name)
	}
}

func TestNamespaces(t *testing.T) {
	tc := testcluster.Open(t)
	ns, elsewhere := tc.Namespace(t, nil), tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), t.Context()

	named := configMap("conf", nil)
	named["metadata"] = map[string]any{"name": "conf", "namespace": elsewhere}
	ref, err := c.Create(ctx, named, ns, "t")
	require.NoError(t, err)
	require.Equal(t, elsewhere, ref.Namespace, "the manifest's own wins")
	_, err = c.Create(ctx, configMap("conf", nil), "", "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, "needs a namespace")
	_, err = c.Create(ctx, configMap("conf", nil), unique("absent-"), "t")
	require.ErrorIs(t, err, cluster.ErrNotFound)

	class := unique("class-")
	manifest := map[string]any{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": map[string]any{"name": class}, "value": 7}
	ref, err = c.Create(ctx, manifest, ns, "t")
	require.NoError(t, err)
	require.Equal(t, cluster.Ref{APIVersion: "v1", Group: "scheduling.k8s.io", Resource: "priorityclasses", Kind: "PriorityClass", Name: class}, ref)
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), ref); !errors.Is(err, cluster.ErrNotFound) {
			require.NoError(t, err)
		}
	})
	for _, by := range []cluster.Ref{ref, {Kind: "priorityclass", Name: class}, {Resource: "priorityclasses", APIVersion: "v1", Name: class},
		{APIVersion: "v1", Group: "scheduling.k8s.io", Resource: "priorityclasses", Namespace: ns, Name: class}} {
		obj, err := c.Get(ctx, by)
		require.NoError(t, err, "%+v", by)
		require.EqualValues(t, 7, obj["value"])
	}
	_, err = c.Get(ctx, cluster.Ref{APIVersion: "v1", Resource: "configmaps", Name: "conf"})
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, "needs a namespace")
	_, err = c.Get(ctx, cluster.Ref{Kind: "ConfigMap", Name: "conf"})
	require.ErrorIs(t, err, cluster.ErrInvalid)
	ref.Namespace = ns
	require.NoError(t, c.Delete(ctx, ref), "a cluster-scoped object, by a reference that has a namespace")
}

func TestUnknownResources(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), t.Context()
	for _, ref := range []cluster.Ref{
		{Kind: "Gizmo"}, {Resource: "gizmos"}, {APIVersion: "v1", Resource: "gizmos"}, {APIVersion: "v1", Group: "gizmo.example.org", Resource: "gizmos"},
		{APIVersion: "v9", Group: "apps", Resource: "deployments"}, {APIVersion: "v9", Group: "apps", Kind: "Deployment"},
	} {
		ref.Namespace, ref.Name = ns, "x"
		_, err := c.Get(ctx, ref)
		require.ErrorIs(t, err, cluster.ErrInvalid, "%+v", ref)
		require.ErrorContains(t, err, "check apiVersion (the version alone), group, and resource")
		require.NotErrorIs(t, err, cluster.ErrNotFound)
		require.ErrorIs(t, c.Delete(ctx, ref), cluster.ErrInvalid)
	}
	_, err := c.Create(ctx, map[string]any{"apiVersion": "example.org/v1", "kind": "Gizmo", "metadata": map[string]any{"name": "x"}}, ns, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = c.Create(ctx, map[string]any{"apiVersion": "v1", "kind": "Deployment", "metadata": map[string]any{"name": "x"}}, ns, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, `it knows apiVersion "apps/v1", kind "Deployment"`)

	obj, err := c.Get(ctx, cluster.Ref{APIVersion: "v1", Resource: "deployments", Namespace: ns, Name: "x"})
	require.ErrorIs(t, err, cluster.ErrNotFound, "a group that was left out is found: %v", obj)
	for _, kind := range []string{"pvc", "PVC", "persistentvolumeclaim", "PersistentVolumeClaim", "statefulset", "Deployment"} {
		_, err := c.Get(ctx, cluster.Ref{Kind: kind, Namespace: ns, Name: "x"})
		require.ErrorIs(t, err, cluster.ErrNotFound, kind)
	}
}

func TestCustomResources(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), t.Context()
	_, err := c.Get(ctx, cluster.Ref{Kind: "ConfigMap", Namespace: ns, Name: "x"}) // the mapper knows the server now
	require.ErrorIs(t, err, cluster.ErrNotFound)

	for _, status := range []bool{true, false} {
		gvr := gadgets(t, c, "Namespaced", status)
		manifest := map[string]any{"apiVersion": gvr.Group + "/" + gvr.Version, "kind": "Gadget", "metadata": map[string]any{"name": "g"},
			"spec": map[string]any{"size": 3, "list": []any{"a", "b"}}, "status": map[string]any{"phase": "Ready"}}
		ref, err := c.Create(ctx, manifest, ns, "t")
		require.NoError(t, err, "a kind made a moment ago is found")
		require.Equal(t, cluster.Ref{APIVersion: gvr.Version, Group: gvr.Group, Resource: "gadgets", Kind: "Gadget", Namespace: ns, Name: "g"}, ref)
		obj, err := c.Patch(ctx, cluster.Ref{Group: gvr.Group, Kind: "Gadget", Namespace: ns, Name: "g"}, []byte(`{"spec":{"list":["c"]},"status":{"phase":"Done"}}`))
		require.NoError(t, err, "a JSON merge patch")
		require.Equal(t, map[string]any{"size": int64(3), "list": []any{"c"}}, obj["spec"])
		want := map[string]any{"phase": "Done"}
		if status {
			want = nil // only /status changes it
		}
		got, _ := obj["status"].(map[string]any)
		require.Equal(t, want, got)
		obj, err = c.Get(ctx, ref)
		require.NoError(t, err)
		require.Equal(t, int64(3), obj["spec"].(map[string]any)["size"])
		_, err = c.Patch(ctx, ref, []byte(`{"spec":{"size":"big"}}`))
		require.ErrorIs(t, err, cluster.ErrInvalid)
		require.ErrorContains(t, err, "spec.size")
		require.NoError(t, c.Delete(ctx, ref))
	}

	// Two groups have gadgets now, and a third kind is clusterwide: without a group none is meant.
	gvr := gadgets(t, c, "Cluster", false)
	for _, ref := range []cluster.Ref{{Resource: "gadgets"}, {Kind: "gadget"}} {
		ref.Namespace, ref.Name = ns, "g"
		require.ErrorIs(t, c.Delete(ctx, ref), cluster.ErrInvalid)
		require.ErrorContains(t, c.Delete(ctx, ref), "name the group")
	}
	ref, err := c.Create(ctx, map[string]any{"apiVersion": gvr.Group + "/" + gvr.Version, "kind": "Gadget", "metadata": map[string]any{"name": "g"}}, ns, "t")
	require.NoError(t, err)
	require.Empty(t, ref.Namespace)
	require.NoError(t, c.Delete(ctx, ref))
}

// A kind that comes back in another version is found: what the mapper remembers may be old.
func TestCustomResourceOfAnotherVersion(t *testing.T) {
	tc := testcluster.Open(t)
	c, ctx := bind(t, tc.Config), t.Context()
	gvr := gadgets(t, c, "Cluster", false)
	ref := cluster.Ref{Group: gvr.Group, Kind: "Gadget", Name: "g"}
	_, err := c.Get(ctx, ref)
	require.ErrorIs(t, err, cluster.ErrNotFound)
	definition := cluster.Ref{APIVersion: "v1", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Name: "gadgets." + gvr.Group}
	_, err = c.Patch(ctx, definition, []byte(`{"spec":{"versions":[
		{"name":"v1beta1","served":false,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}},
		{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}`))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := c.clients.Dynamic.Resource(gvr).Get(ctx, "g", metav1.GetOptions{})
		_, errNew := c.clients.Dynamic.Resource(gvr.GroupResource().WithVersion("v1")).List(ctx, metav1.ListOptions{})
		return apifault.Of(err) == apifault.UnknownPath && errNew == nil
	}, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		_, err = c.Get(ctx, ref)
		return errors.Is(err, cluster.ErrNotFound)
	}, 30*time.Second, 50*time.Millisecond, "discovery follows: %v", err)
	ref.APIVersion = "v1beta1"
	_, err = c.Get(ctx, ref)
	require.ErrorIs(t, err, cluster.ErrInvalid)
}

func TestDeleteWaitsForFinalizers(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.As(t, ns, []rbacv1.PolicyRule{rule("", "configmaps", "get delete")})), t.Context()
	admin := bind(t, tc.Config)
	held := configMap("held", nil)
	held["metadata"] = map[string]any{"name": "held", "finalizers": []any{"example.org/hold"}}
	ref, err := admin.Create(ctx, held, ns, "t")
	require.NoError(t, err)

	err = tooShort(t, "held by its finalizers example.org/hold", func(ctx context.Context) error { return c.Delete(ctx, ref) })
	require.ErrorIs(t, err, errTooLong)

	done := make(chan error, 1)
	go func() { done <- c.Delete(ctx, ref) }()
	select {
	case err := <-done:
		t.Fatalf("it came back while the object was there: %v", err)
	case <-time.After(700 * time.Millisecond):
	}
	_, err = admin.Patch(ctx, ref, []byte(`{"metadata":{"$deleteFromPrimitiveList/finalizers":["example.org/hold"]}}`))
	require.NoError(t, err, "a strategic merge patch")
	require.NoError(t, <-done)
	_, err = admin.Get(ctx, ref)
	require.ErrorIs(t, err, cluster.ErrNotFound)
}

// An object that somebody makes anew while the wait lasts is another one.
func TestDeleteAndSomebodyElseCreates(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), t.Context()
	held := configMap("held", nil)
	held["metadata"] = map[string]any{"name": "held", "finalizers": []any{"example.org/hold"}}
	ref, err := c.Create(ctx, held, ns, "t")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- c.Delete(ctx, ref) }()
	require.Eventually(t, func() bool {
		obj, err := c.Get(ctx, ref)
		require.NoError(t, err)
		return obj["metadata"].(map[string]any)["deletionTimestamp"] != nil
	}, time.Minute, 10*time.Millisecond)
	_, err = c.clients.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(ns).
		Patch(ctx, "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := c.clients.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(ns).
			Create(ctx, &unstructured.Unstructured{Object: configMap("held", nil)}, metav1.CreateOptions{})
		return !apierrors.IsAlreadyExists(err)
	}, time.Minute, time.Millisecond)
	require.NoError(t, <-done)
	_, err = c.Get(ctx, ref)
	require.NoError(t, err, "the new one stays")
}

func TestDeleteTakesWhatIsOwned(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), t.Context()
	ref, err := c.Create(ctx, configMap("owner", nil), ns, "t")
	require.NoError(t, err)
	owner, err := c.Get(ctx, ref)
	require.NoError(t, err)
	owned := configMap("owned", nil)
	owned["metadata"] = map[string]any{"name": "owned", "ownerReferences": []any{map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"].(map[string]any)["uid"]}}}
	_, err = c.Create(ctx, owned, ns, "t")
	require.NoError(t, err)
	require.NoError(t, c.Delete(ctx, ref))
	require.Eventually(t, func() bool {
		_, err := c.Get(ctx, configMapRef(ns, "owned"))
		return errors.Is(err, cluster.ErrNotFound)
	}, 30*time.Second, 50*time.Millisecond)
}

func TestRefusals(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	ctx := t.Context()
	nobody := bind(t, tc.As(t, ns, nil))
	for verb, do := range map[string]func() error{
		"get":    func() error { _, err := nobody.Get(ctx, configMapRef(ns, "x")); return err },
		"patch":  func() error { _, err := nobody.Patch(ctx, configMapRef(ns, "x"), []byte(`{}`)); return err },
		"create": func() error { _, err := nobody.Create(ctx, configMap("x", nil), ns, "t"); return err },
		"delete": func() error {
			return bind(t, tc.As(t, ns, []rbacv1.PolicyRule{rule("", "configmaps", "get")})).Delete(ctx, configMapRef(ns, "kube-root-ca.crt"))
		},
	} {
		err := do()
		require.ErrorIs(t, err, cluster.ErrDenied, verb)
		require.ErrorContains(t, err, fmt.Sprintf(`cannot %s resource "configmaps" in API group "" in the namespace %q`, verb, ns))
	}
	c := bind(t, tc.Config)
	pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p"}, "spec": map[string]any{
		"containers": []any{map[string]any{"name": "c", "image": testcluster.BusyboxImage, "securityContext": map[string]any{"privileged": true}}}}}
	_, err := c.Create(ctx, pod, ns, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid, "admission refuses for good")
	require.NotErrorIs(t, err, cluster.ErrDenied)
	require.ErrorContains(t, err, "violates PodSecurity")

	_, err = c.Create(ctx, map[string]any{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": map[string]any{"name": "q"},
		"spec": map[string]any{"hard": map[string]any{"count/configmaps": "1"}}}, ns, "t")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = c.Create(ctx, configMap(unique("x-"), nil), ns, "t")
		return err != nil
	}, 30*time.Second, 100*time.Millisecond)
	require.ErrorContains(t, err, "exceeded quota")
	require.NotErrorIs(t, err, cluster.ErrInvalid, "it fits once something else is gone")
	require.NotErrorIs(t, err, cluster.ErrDenied)

	_, err = c.Create(ctx, configMap("x", map[string]any{"a": 1}), ns, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = c.Create(ctx, configMap("Not_A_Name", nil), ns, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorContains(t, err, "metadata.name")

	expired := rest.AnonymousClientConfig(tc.Config)
	expired.BearerToken = "nonsense"
	_, err = bind(t, expired).Get(ctx, configMapRef(ns, "x"))
	require.ErrorIs(t, err, cluster.ErrDenied)
}
