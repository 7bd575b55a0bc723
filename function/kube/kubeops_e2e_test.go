//go:build e2e

package kube_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/internal/testcluster"
)

func (p place) ops(id string, args map[string]any, edit func(*function.Call)) ran {
	p.t.Helper()
	args["namespace"] = p.ns
	return p.run(phase{function: "KubeOps", id: id, args: args, call: edit})
}

func reference(group, resource, name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "group": group, "resource": resource, "name": name}
}

func TestKubeOpsOnACluster(t *testing.T) {
	p := newPlace(t)
	spec := `
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {mode: slow, keep: it}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: ` + testcluster.BusyboxImage + `, command: [sleep, "3600"]}
---
apiVersion: v1
kind: Secret
metadata: {generateName: key-}
stringData: {a: b}
`
	create := map[string]any{"operation": "create", "spec": spec}
	first := p.ops("create", create, nil)
	require.NoError(t, first.err)
	again := p.ops("create", create, resumed)
	require.NoError(t, again.err, "the objects are those of the attempt that was resumed")
	require.Equal(t, first.out, again.out)
	third := p.ops("create", create, func(c *function.Call) { c.Attempt = 2 })
	require.NoError(t, third.err)
	name := first.out["name"].(string)
	require.Equal(t, function.Outputs{"apiVersion": "v1", "group": "", "resource": "secrets", "kind": "", "name": name, "namespace": p.ns}, first.out)
	secret, err := p.CoreV1().Secrets(p.ns).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "b", string(secret.Data["a"]))

	other := p.ops("another phase", create, nil)
	require.ErrorIs(t, other.err, cluster.ErrExists)
	require.True(t, function.IsPermanent(other.err))
	require.ErrorContains(t, other.err, "document 1 (ConfigMap conf), after 0 of 3 objects were created")

	patch := p.ops("patch", map[string]any{"operation": "patch", "objectReference": reference("", "configmaps", "conf"), "spec": "data:\n  mode: fast\n"}, nil)
	require.NoError(t, patch.err)
	require.Equal(t, function.Outputs{"apiVersion": "v1", "group": "", "resource": "configmaps", "kind": "", "name": "conf", "namespace": p.ns}, patch.out)
	conf, err := p.CoreV1().ConfigMaps(p.ns).Get(t.Context(), "conf", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"mode": "fast", "keep": "it"}, conf.Data)

	byKind := map[string]any{"apiVersion": "v1", "group": "apps", "kind": "Deployment", "name": "web"}
	patch = p.ops("patch deployment", map[string]any{"operation": "patch", "objectReference": byKind,
		"spec": `{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"b"}]}]}}}}`}, nil)
	require.NoError(t, patch.err)
	web, err := p.AppsV1().Deployments(p.ns).Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, web.Spec.Template.Spec.Containers, 1)
	require.Equal(t, []string{"sleep", "3600"}, web.Spec.Template.Spec.Containers[0].Command, "a strategic merge patch keeps the rest of the container")

	remove := map[string]any{"operation": "delete", "objectReference": byKind}
	gone := p.ops("delete", remove, nil)
	require.NoError(t, gone.err)
	require.Equal(t, function.Outputs{"apiVersion": "v1", "group": "apps", "resource": "", "kind": "Deployment", "name": "web", "namespace": p.ns}, gone.out)
	require.NoError(t, p.ops("delete", remove, resumed).err)
	absent := p.ops("delete again", remove, nil)
	require.ErrorIs(t, absent.err, cluster.ErrNotFound)
	require.True(t, function.IsPermanent(absent.err))
}

func TestKubeOpsOnAClusterFails(t *testing.T) {
	p := newPlace(t)
	for name, c := range map[string]struct {
		args map[string]any
		want error
		text string
	}{
		"unknown resource": {map[string]any{"operation": "delete", "objectReference": reference("nowhere.example.org", "gadgets", "x")}, cluster.ErrInvalid, "gadgets"},
		"patch of nothing": {map[string]any{"operation": "patch", "objectReference": reference("", "configmaps", "absent"), "spec": "a: b"}, cluster.ErrNotFound, "absent"},
		"a bad patch":      {map[string]any{"operation": "patch", "objectReference": reference("", "configmaps", "kube-root-ca.crt"), "spec": "data: [1]"}, cluster.ErrInvalid, ""},
		"a bad object":     {map[string]any{"operation": "create", "spec": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name}"}, cluster.ErrInvalid, "document 1 (ConfigMap Bad_Name)"},
	} {
		r := p.ops(name, c.args, nil)
		require.ErrorIs(t, r.err, c.want, name)
		require.ErrorContains(t, r.err, c.text, name)
		require.Equal(t, errors.Is(c.want, cluster.ErrInvalid), function.IsPermanent(r.err), name)
	}
	// one document in a namespace of its own does not take the next one with it
	elsewhere := newPlace(t)
	host := p.host(p.Config, nil)
	r := p.run(phase{function: "KubeOps", id: "two namespaces", host: host, args: map[string]any{"operation": "create", "namespace": p.ns, "spec": `
{apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: ` + elsewhere.ns + `}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: two}}
`}})
	require.NoError(t, r.err)
	require.Equal(t, p.ns, r.out["namespace"])
	_, err := p.CoreV1().ConfigMaps(elsewhere.ns).Get(t.Context(), "one", metav1.GetOptions{})
	require.NoError(t, err)

	// who may do nothing is told so
	denied := p.run(phase{function: "KubeOps", id: "denied", host: p.host(p.As(t, p.ns, nil), nil), args: map[string]any{
		"operation": "delete", "namespace": p.ns, "objectReference": reference("", "configmaps", "one")}})
	require.ErrorIs(t, denied.err, cluster.ErrDenied)
	require.ErrorContains(t, denied.err, "configmaps")
}

// Deletion is done when the object is gone, which finalizers delay; a cancelled one says what it waited for.
func TestKubeOpsWaitsForDeletion(t *testing.T) {
	p := newPlace(t)
	_, err := p.CoreV1().ConfigMaps(p.ns).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.org/test"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	free := func() {
		_, err := p.CoreV1().ConfigMaps(p.ns).Patch(context.Background(), "held", "application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	args := map[string]any{"operation": "delete", "namespace": p.ns, "objectReference": reference("", "configmaps", "held")}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	waits := function.Progress{Note: "waiting until configmaps " + p.ns + "/held is gone"}
	r := p.run(phase{function: "KubeOps", id: "delete", args: args, ctx: ctx, call: once(func(p function.Progress) bool { return p == waits }, func() {
		time.AfterFunc(3*time.Second, func() { cancel(stop) })
	})})
	require.ErrorIs(t, r.err, stop)
	require.ErrorContains(t, r.err, "example.org/test")
	require.Contains(t, r.Progress(), waits)

	began := time.Now()
	time.AfterFunc(2*time.Second, free)
	r = p.run(phase{function: "KubeOps", id: "delete", args: args, call: resumed})
	require.NoError(t, r.err)
	require.Greater(t, time.Since(began), 2*time.Second)
	_, err = p.CoreV1().ConfigMaps(p.ns).Get(t.Context(), "held", metav1.GetOptions{})
	require.Error(t, err)
}

// Kanister cannot delete what belongs to no namespace.
func TestKubeOpsOnObjectsOfTheCluster(t *testing.T) {
	p := newPlace(t)
	name := unique("class-")
	host := p.clusterHost(rbacv1.PolicyRule{APIGroups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses"}, Verbs: []string{"create", "get", "delete", "patch"}})
	_, err := p.StorageV1().StorageClasses().Create(t.Context(), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "example.org/none"}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.StorageV1().StorageClasses().Delete(context.Background(), name, metav1.DeleteOptions{}) })
	class := reference("storage.k8s.io", "storageclasses", name)
	for _, args := range []map[string]any{
		{"operation": "patch", "objectReference": class, "spec": "metadata: {labels: {a: b}}"},
		{"operation": "delete", "objectReference": class},
		{"operation": "create", "spec": "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: " + name + "}\nprovisioner: example.org/none\n"},
		{"operation": "delete", "objectReference": map[string]any{"apiVersion": "v1", "group": "storage.k8s.io", "kind": "StorageClass", "name": name}},
	} {
		r := p.run(phase{function: "KubeOps", id: name, args: args, host: host})
		require.NoError(t, r.err, "%v", args)
		require.Equal(t, name, r.out["name"])
	}
	_, err = p.StorageV1().StorageClasses().Get(t.Context(), name, metav1.GetOptions{})
	require.Error(t, err)
}

// A definition, the wait for it, and an object of it: patched with a JSON merge patch, for it has no other.
func TestKubeOpsOnCustomResources(t *testing.T) {
	p := newPlace(t)
	group := unique("g") + ".example.org"
	definition := "gadgets." + group
	host := p.clusterHost(
		rbacv1.PolicyRule{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"create", "get", "delete"}},
		rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{"gadgets"}, Verbs: []string{"create", "get", "delete", "patch"}},
	)
	do := func(name string, args map[string]any) function.Outputs {
		r := p.run(phase{function: name, id: unique("p"), args: args, host: host})
		require.NoError(t, r.err)
		return r.out
	}
	crd := reference("apiextensions.k8s.io", "customresourcedefinitions", definition)
	do("KubeOps", map[string]any{"operation": "create", "spec": `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ` + definition + `}
spec:
  group: ` + group + `
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`})
	do("WaitV2", map[string]any{"timeout": "30s", "conditions": map[string]any{"allOf": []any{map[string]any{
		"condition":       `{{ range .status.conditions }}{{ if eq .type "Established" }}{{ eq .status "True" }}{{ end }}{{ end }}`,
		"objectReference": crd,
	}}}})
	out := do("KubeOps", map[string]any{"operation": "create", "namespace": p.ns, "spec": `{"apiVersion":"` + group + `/v1","kind":"Gadget","metadata":{"name":"g"},"spec":{"list":["a"],"keep":1}}`})
	require.Equal(t, function.Outputs{"apiVersion": "v1", "group": group, "resource": "gadgets", "kind": "", "name": "g", "namespace": p.ns}, out)
	gadget := reference(group, "gadgets", "g")
	do("KubeOps", map[string]any{"operation": "patch", "namespace": p.ns, "objectReference": gadget, "spec": "spec: {list: [b]}"})
	gadget["namespace"] = p.ns
	do("Wait", map[string]any{"timeout": "10s", "conditions": map[string]any{"allOf": []any{map[string]any{
		"condition": `{{ if and (eq "{$.spec.list[*]}" "b") (eq "{$.spec.keep}" "1") }}true{{ end }}`, "objectReference": gadget,
	}}}})
	do("KubeOps", map[string]any{"operation": "delete", "objectReference": gadget})
	do("KubeOps", map[string]any{"operation": "delete", "objectReference": crd})
}
