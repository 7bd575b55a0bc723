//go:build e2e

package kubecluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// volume makes a volume that is a folder of the node, and a claim bound to it.
func volume(t *testing.T, tc *testcluster.Client, c *Cluster, ns, claim string) {
	t.Helper()
	name := unique("v-")
	folder := filepath.Join(tc.Dir, "volumes", name)
	require.NoError(t, os.MkdirAll(folder, 0o777))
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	size := map[string]any{"storage": "1Mi"}
	ref, err := c.Create(t.Context(), map[string]any{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"capacity": size, "accessModes": []any{"ReadWriteMany"}, "storageClassName": "", "hostPath": map[string]any{"path": folder},
			"claimRef": map[string]any{"namespace": ns, "name": claim}}}, "", "t")
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.clients.Kube.CoreV1().PersistentVolumes().Delete(context.Background(), ref.Name, metav1.DeleteOptions{})
	})
	_, err = c.Create(t.Context(), map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": claim},
		"spec": map[string]any{"accessModes": []any{"ReadWriteMany"}, "storageClassName": "", "volumeName": name, "resources": map[string]any{"requests": size}}}, ns, "t")
	require.NoError(t, err)
}

// A StatefulSet with a claim template and a claim that all its pods share: the names are those of the claims there are.
func TestWorkloadPodsAndTheirClaims(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	admin, c, ctx := bind(t, tc.Config), bind(t, tc.As(t, ns, scalerRules())), within(t, 2*time.Minute)
	for _, claim := range []string{"data-db-0", "data-db-1", "shared", "unmounted"} {
		volume(t, tc, admin, ns, claim)
	}
	manifest := workloadManifest("StatefulSet", "db", 2, 0)
	spec := manifest["spec"].(map[string]any)
	spec["volumeClaimTemplates"] = []any{map[string]any{"metadata": map[string]any{"name": "data"},
		"spec": map[string]any{"accessModes": []any{"ReadWriteMany"}, "storageClassName": "", "resources": map[string]any{"requests": map[string]any{"storage": "1Mi"}}}}}
	pod := spec["template"].(map[string]any)["spec"].(map[string]any)
	pod["volumes"] = []any{
		map[string]any{"name": "fixed", "persistentVolumeClaim": map[string]any{"claimName": "shared"}},
		map[string]any{"name": "not-mounted", "persistentVolumeClaim": map[string]any{"claimName": "unmounted"}},
		map[string]any{"name": "scratch", "emptyDir": map[string]any{}},
	}
	containers := pod["containers"].([]any)
	containers[0].(map[string]any)["volumeMounts"] = []any{map[string]any{"name": "data", "mountPath": "/data"}, map[string]any{"name": "scratch", "mountPath": "/scratch"},
		map[string]any{"name": "fixed", "mountPath": "/shared"}}
	containers[1].(map[string]any)["volumeMounts"] = []any{map[string]any{"name": "fixed", "mountPath": "/seen-last"}}
	_, err := admin.Create(ctx, manifest, ns, "t")
	require.NoError(t, err)
	w := cluster.Workload{Kind: "statefulset", Namespace: ns, Name: "db"}
	require.NoError(t, c.AwaitScaled(ctx, w, 2))

	// Neither a pod with the same labels nor one that another workload owns is one of it.
	stray := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "db-9", "labels": map[string]any{"app": "db"}},
		"spec": podTemplate("db", 0)["spec"]}
	_, err = admin.Create(ctx, stray, ns, "t")
	require.NoError(t, err)
	pods, err := c.WorkloadPods(ctx, w)
	require.NoError(t, err)
	require.Equal(t, []string{"db-0", "db-1"}, names(pods))
	for _, p := range pods {
		require.Equal(t, []string{"zeta", "late"}, p.Containers, "in the order of the spec")
		require.Equal(t, map[string]string{"data-" + p.Name: "/data", "shared": "/seen-last"}, p.Claims)
	}
	for claim := range pods[0].Claims {
		_, err := admin.Get(ctx, cluster.Ref{Kind: "pvc", Namespace: ns, Name: claim})
		require.NoError(t, err, "the claim exists")
	}
}

func TestWorkloadPodsOfARevision(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), within(t, 2*time.Minute)
	w := cluster.Workload{Kind: "Deployment", Namespace: ns, Name: "web"}
	paused := workloadManifest("Deployment", "web", 1, 0)
	paused["spec"].(map[string]any)["paused"] = true
	ref, err := c.Create(ctx, paused, ns, "t")
	require.NoError(t, err)
	_, err = c.WorkloadPods(ctx, w)
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorContains(t, err, "paused")

	_, err = c.Patch(ctx, ref, []byte(`{"spec":{"paused":false}}`))
	require.NoError(t, err)
	require.NoError(t, c.AwaitScaled(ctx, w, 1))
	first, err := c.WorkloadPods(ctx, w)
	require.NoError(t, err)
	require.Len(t, first, 1)

	// A revision that never gets ready leaves the old pod running: it is of an earlier revision.
	_, err = c.Patch(ctx, ref, []byte(`{"spec":{"template":{"spec":{"nodeSelector":{"no":"such-node"}}}}}`))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		pods, err := c.WorkloadPods(ctx, w)
		return err == nil && len(pods) == 0
	}, 30*time.Second, 100*time.Millisecond)
	_, err = c.clients.Kube.CoreV1().Pods(ns).Get(ctx, first[0].Name, metav1.GetOptions{})
	require.NoError(t, err)
}
