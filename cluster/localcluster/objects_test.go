//go:build unix

package localcluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
)

func configMap(name string, data map[string]any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": data}
}

func TestCreateTwiceWithOneToken(t *testing.T) {
	c := open(t)
	manifest := configMap("conf", map[string]any{"a": "b"})
	want := cluster.Ref{APIVersion: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: "app", Name: "conf"}
	for range 2 { // the second call is that of a host that took over
		ref, err := c.Create(t.Context(), manifest, "app", "run-1")
		require.NoError(t, err)
		require.Equal(t, want, ref)
	}
	require.Equal(t, configMap("conf", map[string]any{"a": "b"}), manifest, "the manifest is only read")
	obj, err := c.Get(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": "b"}, obj["data"])
	require.NotEmpty(t, metadata(obj)["uid"])

	_, err = c.Create(t.Context(), manifest, "app", "run-2")
	require.ErrorIs(t, err, cluster.ErrExists)
	require.NoError(t, c.Apply(t.Context(), "x.yaml", []byte("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: app}}")))
	_, err = c.Create(t.Context(), map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}}, "app", "run-1")
	require.ErrorIs(t, err, cluster.ErrExists)

	ref, err := c.Create(t.Context(), map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s", "namespace": "other"}}, "app", "run-1")
	require.NoError(t, err)
	require.Equal(t, "other", ref.Namespace, "the manifest's namespace wins")
	ref, err = c.Create(t.Context(), map[string]any{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": map[string]any{"name": "fast"}}, "app", "run-1")
	require.NoError(t, err)
	require.Equal(t, cluster.Ref{APIVersion: "v1", Group: "storage.k8s.io", Resource: "storageclasses", Kind: "StorageClass", Name: "fast"}, ref)
}

func TestCreateGeneratesNames(t *testing.T) {
	c := open(t)
	manifest := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"generateName": "conf-"}}
	names := map[string]bool{}
	for _, token := range []string{"a", "a", "b"} {
		ref, err := c.Create(t.Context(), manifest, "app", token)
		require.NoError(t, err)
		require.Contains(t, ref.Name, "conf-")
		names[ref.Name] = true
	}
	require.Len(t, names, 2, "one for each token")
}

func TestCreateRefuses(t *testing.T) {
	c := open(t)
	for name, manifest := range map[string]map[string]any{
		"nothing":       nil,
		"no kind":       {"apiVersion": "v1", "metadata": map[string]any{"name": "x"}},
		"no name":       {"apiVersion": "v1", "kind": "ConfigMap"},
		"a path":        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "../x"}},
		"unknown field": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"replica": 1}},
	} {
		_, err := c.Create(t.Context(), manifest, "app", "t")
		require.ErrorIs(t, err, cluster.ErrInvalid, name)
	}
	_, err := c.Create(t.Context(), configMap("x", nil), "app", "")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Create(ctx, configMap("x", nil), "app", "t")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, c.Delete(ctx, cluster.Ref{Kind: "ConfigMap", Namespace: "app", Name: "x"}), context.Canceled)
}

func sleeper(kind string, spec map[string]any) map[string]any {
	pod := map[string]any{"containers": []any{map[string]any{"name": "c", "command": []any{"sleep", "1000"}}}}
	m := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "web"}, "spec": pod}
	if kind != "Pod" {
		m["apiVersion"] = "apps/v1"
		m["spec"] = merge(map[string]any{"template": map[string]any{"spec": pod}}, spec)
	}
	return m
}

func TestCreateAndDeleteAPod(t *testing.T) {
	c := open(t)
	ref, err := c.Create(t.Context(), sleeper("Pod", nil), "app", "t")
	require.NoError(t, err)
	p, err := c.findPod("app", "web")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.status().running }, patience, time.Millisecond)
	_, err = c.Create(t.Context(), sleeper("Pod", nil), "app", "t")
	require.NoError(t, err)
	_, err = c.Create(t.Context(), sleeper("Pod", nil), "app", "other")
	require.ErrorIs(t, err, cluster.ErrExists)
	require.NoError(t, c.Delete(t.Context(), ref))
	require.ErrorIs(t, c.Delete(t.Context(), ref), cluster.ErrNotFound)
	pids, err := processes(p.session(), p.mark())
	require.NoError(t, err)
	require.Empty(t, pids)
	_, err = c.Create(t.Context(), sleeper("Pod", nil), "app", "other")
	require.NoError(t, err, "its name is free again")
}

func TestCreateAndDeleteAWorkload(t *testing.T) {
	c := open(t)
	ref, err := c.Create(t.Context(), sleeper("Deployment", map[string]any{"replicas": 2}), "app", "t")
	require.NoError(t, err)
	w := cluster.Workload{Kind: "Deployment", Namespace: "app", Name: "web"}
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))

	// a pod that is deleted comes back
	pods, err := c.WorkloadPods(t.Context(), w)
	require.NoError(t, err)
	before, err := c.findPod("app", pods[0].Name)
	require.NoError(t, err)
	require.NoError(t, c.Delete(t.Context(), cluster.Ref{Resource: "pods", Namespace: "app", Name: pods[0].Name}))
	require.NoError(t, c.AwaitScaled(t.Context(), w, 2))
	after, err := c.findPod("app", pods[0].Name)
	require.NoError(t, err)
	require.NotEqual(t, before.uid(), after.uid())

	require.NoError(t, c.Delete(t.Context(), ref))
	left, err := c.podsIn("app")
	require.NoError(t, err)
	require.Empty(t, left)
	require.ErrorIs(t, c.Delete(t.Context(), ref), cluster.ErrNotFound)
}

// A host that dies after it has stored a workload leaves one without pods.
func TestCreateTakesUpAWorkload(t *testing.T) {
	c := open(t)
	d, err := c.document(sleeper("Deployment", nil), "app", "t")
	require.NoError(t, err)
	require.NoError(t, c.store(d))
	_, err = c.Create(t.Context(), sleeper("Deployment", nil), "app", "t")
	require.NoError(t, err)
	require.NoError(t, c.AwaitScaled(t.Context(), cluster.Workload{Kind: "Deployment", Namespace: "app", Name: "web"}, 1))
}

func TestClaimsAreDeletedOnceNobodyUsesThem(t *testing.T) {
	c, w := database(t)
	ref := cluster.Ref{APIVersion: "v1", Resource: "persistentvolumeclaims", Namespace: "app", Name: "data-db-1"}
	folder := filepath.Join(c.dir, "claims", "app", "data-db-1")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := c.Delete(ctx, ref)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "pod app/db-1 mount it")
	require.DirExists(t, folder)

	done := make(chan error, 1)
	go func() { done <- c.Delete(t.Context(), ref) }()
	_, err = c.Scale(t.Context(), w, 1, "t")
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.NoDirExists(t, folder)
	_, err = c.Get(t.Context(), ref)
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.DirExists(t, filepath.Join(c.dir, "claims", "app", "data-db-0"))
}

func TestPatchMergesContainersByName(t *testing.T) {
	c := open(t)
	_, err := c.Create(t.Context(), sleeper("Deployment", nil), "app", "t")
	require.NoError(t, err)
	ref := cluster.Ref{Group: "apps", Resource: "deployments", Namespace: "app", Name: "web"}
	obj, err := c.Patch(t.Context(), ref, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"1"}]}]}}}}`))
	require.NoError(t, err)
	w, err := c.workloadOf(key{"apps", "deployments", "app", "web"}, obj)
	require.NoError(t, err)
	require.Equal(t, []string{"sleep", "1000"}, w.template.Spec.Containers[0].Command, "the rest of the container stays")
	require.Len(t, w.template.Spec.Containers[0].Env, 1)

	// other kinds have a JSON merge patch: a list is replaced
	custom := map[string]any{"apiVersion": "example.org/v1", "kind": "Database", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"list": []any{"a"}, "keep": "k"}}
	ref, err = c.Create(t.Context(), custom, "app", "t")
	require.NoError(t, err)
	obj, err = c.Patch(t.Context(), ref, []byte(`{"spec":{"list":["b"]}}`))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"list": []any{"b"}, "keep": "k"}, obj["spec"])

	_, err = c.Patch(t.Context(), cluster.Ref{Resource: "pods", Namespace: "app", Name: "web"}, []byte(`{}`))
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = c.Patch(t.Context(), ref, []byte(`null`))
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = c.Patch(t.Context(), cluster.Ref{Kind: "ConfigMap", Namespace: "app", Name: "x"}, []byte(`{}`))
	require.ErrorIs(t, err, cluster.ErrNotFound)
}

func TestCreatedObjectsStayInTheFolder(t *testing.T) {
	c := open(t)
	ref, err := c.Create(t.Context(), configMap("conf", nil), "app", "t")
	require.NoError(t, err)
	again, err := Open(t.Context(), c.dir, &c.opts)
	require.NoError(t, err)
	_, err = again.Create(t.Context(), configMap("conf", nil), "app", "t")
	require.NoError(t, err)
	require.NoError(t, again.Delete(t.Context(), ref))
	_, err = os.Stat(c.path(key{"", "configmaps", "app", "conf"}))
	require.ErrorIs(t, err, os.ErrNotExist)
}
