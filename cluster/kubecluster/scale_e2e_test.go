//go:build e2e

package kubecluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/internal/testcluster"
)

// podTemplate is that of the workloads: two containers, of which the last claims to be ready after the seconds.
func podTemplate(app string, seconds int) map[string]any {
	container := func(name string, mounts ...any) map[string]any {
		return map[string]any{"name": name, "image": testcluster.BusyboxImage, "imagePullPolicy": "Never", "command": []any{"sleep", "3600"}, "volumeMounts": mounts}
	}
	late := container("late")
	late["readinessProbe"] = map[string]any{"initialDelaySeconds": seconds, "periodSeconds": 1, "exec": map[string]any{"command": []any{"true"}}}
	return map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": app}}, "spec": map[string]any{
		"terminationGracePeriodSeconds": 0, "containers": []any{container("zeta"), late}}}
}

func workloadManifest(kind, app string, replicas, seconds int) map[string]any {
	spec := map[string]any{"replicas": replicas, "selector": map[string]any{"matchLabels": map[string]any{"app": app}}, "template": podTemplate(app, seconds)}
	if kind == "StatefulSet" {
		spec["serviceName"], spec["podManagementPolicy"] = app, "Parallel"
	}
	return map[string]any{"apiVersion": "apps/v1", "kind": kind, "metadata": map[string]any{"name": app}, "spec": spec}
}

// scalerRules are all that scaling and listing needs.
func scalerRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule("apps", "statefulsets deployments", "get patch"), rule("apps.openshift.io", "deploymentconfigs", "get patch"),
		rule("", "pods replicationcontrollers", "list"), rule("apps", "replicasets", "list"),
	}
}

func names(pods []cluster.PodInfo) (list []string) {
	for _, p := range pods {
		list = append(list, p.Name)
	}
	return list
}

// errTooLong is why a tooShort time ends.
var errTooLong = errors.New("the phase took too long")

// tooShort does what cannot be done in any time, in longer and longer ones until its error says what it has seen: a busy machine may see little in the first. What it does must
// return soon after its time.
func tooShort(t *testing.T, says string, do func(context.Context) error) error {
	t.Helper()
	for d := time.Second; ; d *= 2 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), d, errTooLong)
		begin := time.Now()
		err := do(ctx)
		cancel()
		require.Error(t, err)
		require.Less(t, time.Since(begin), d+30*time.Second)
		if strings.Contains(err.Error(), says) {
			return err
		}
		require.Less(t, d, time.Minute, "it does not say %q: %v", says, err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestScaleUpAndDown(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	admin, c, ctx := bind(t, tc.Config), bind(t, tc.As(t, ns, scalerRules())), within(t, 3*time.Minute)
	for _, kind := range []string{"StatefulSet", "Deployment"} {
		t.Run(kind, func(t *testing.T) {
			w := cluster.Workload{Kind: kind, Namespace: ns, Name: "db-" + string(kind[0]+'a'-'A')}
			_, err := admin.Create(ctx, workloadManifest(kind, w.Name, 2, 1), ns, "t")
			require.NoError(t, err)
			require.NoError(t, c.AwaitScaled(ctx, w, 2))
			pods, err := c.WorkloadPods(ctx, w)
			require.NoError(t, err)
			require.Len(t, pods, 2)
			require.Equal(t, []string{"zeta", "late"}, pods[0].Containers)
			require.WithinDuration(t, time.Now(), pods[0].Started, time.Minute)

			for _, step := range []struct{ to, from int32 }{{3, 2}, {0, 3}, {1, 0}, {1, 1}, {0, 1}} {
				token := fmt.Sprintf("run.phase-%d-%d", step.from, step.to)
				for range 3 { // a host that died scales again
					original, err := c.Scale(ctx, w, step.to, token)
					require.NoError(t, err)
					require.Equal(t, step.from, original)
				}
				require.NoError(t, c.AwaitScaled(ctx, w, step.to))
				list, err := admin.clients.Kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: "app=" + w.Name})
				require.NoError(t, err)
				require.Len(t, list.Items, int(step.to), "the state of the world")
				for _, p := range list.Items {
					require.Empty(t, podState(&p))
				}
				pods, err := c.WorkloadPods(ctx, w)
				require.NoError(t, err)
				require.Len(t, pods, int(step.to))
				original, err := c.Scale(ctx, w, step.to, token)
				require.NoError(t, err)
				require.Equal(t, step.from, original, "after the wait, too")
			}
			obj, err := admin.Get(ctx, cluster.Ref{Kind: kind, Namespace: ns, Name: w.Name})
			require.NoError(t, err)
			require.JSONEq(t, `{"token":"run.phase-1-0","original":1}`, obj["metadata"].(map[string]any)["annotations"].(map[string]any)["davit.io/scale"].(string))
		})
	}
}

// Between a call that was made and the same call again, somebody else may have scaled: the count is asked for once more, and the original number stays.
func TestScaleAgainAfterSomebodyElse(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), t.Context()
	w := cluster.Workload{Kind: "sTaTeFuLsEt", Namespace: ns, Name: "db"}
	_, err := c.Create(ctx, workloadManifest("StatefulSet", "db", 1, 0), ns, "t")
	require.NoError(t, err)
	_, err = c.Scale(ctx, w, 0, "one")
	require.NoError(t, err)
	_, err = c.Patch(ctx, cluster.Ref{Kind: "StatefulSet", Namespace: ns, Name: "db"}, []byte(`{"spec":{"replicas":2}}`))
	require.NoError(t, err)
	original, err := c.Scale(ctx, w, 0, "one")
	require.NoError(t, err)
	require.Equal(t, int32(1), original)
	obj, err := c.Get(ctx, cluster.Ref{Kind: "StatefulSet", Namespace: ns, Name: "db"})
	require.NoError(t, err)
	require.EqualValues(t, 0, obj["spec"].(map[string]any)["replicas"])
}

// Of many callers with tokens of their own, each sees the number another one left: none is lost.
func TestScaleAtTheSameTime(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), t.Context()
	w := cluster.Workload{Kind: "Deployment", Namespace: ns, Name: "db"}
	manifest := workloadManifest("Deployment", "db", 0, 0)
	manifest["spec"].(map[string]any)["paused"] = true // no pods
	_, err := c.Create(ctx, manifest, ns, "t")
	require.NoError(t, err)
	seen := make([]int32, 5)
	var wg sync.WaitGroup
	for i := range seen {
		wg.Go(func() {
			original, err := c.Scale(ctx, w, int32(i+1), fmt.Sprint(i))
			if err != nil {
				t.Error(err)
			}
			seen[i] = original
		})
	}
	wg.Wait()
	obj, err := c.Get(ctx, cluster.Ref{Kind: "Deployment", Namespace: ns, Name: "db"})
	require.NoError(t, err)
	left := obj["spec"].(map[string]any)["replicas"].(int64)
	require.ElementsMatch(t, []int32{0, 1, 2, 3, 4, 5}, append(seen, int32(left)), "every number was seen once")
}

func TestScaleThatCannotBe(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	admin, c, ctx := bind(t, tc.Config), bind(t, tc.As(t, ns, scalerRules())), t.Context()
	w := cluster.Workload{Kind: "StatefulSet", Namespace: ns, Name: "db"}
	_, err := c.Scale(ctx, w, 1, "t")
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorIs(t, c.AwaitScaled(ctx, w, 1), cluster.ErrNotFound)
	_, err = c.WorkloadPods(ctx, w)
	require.ErrorIs(t, err, cluster.ErrNotFound)

	for verb, rules := range map[string][]rbacv1.PolicyRule{"get": nil, "patch": {rule("apps", "statefulsets", "get")}} {
		if verb == "patch" {
			_, err := admin.Create(ctx, workloadManifest("StatefulSet", "db", 1, 0), ns, "t")
			require.NoError(t, err)
		}
		denied := bind(t, tc.As(t, ns, rules))
		_, err = denied.Scale(ctx, w, 0, "t")
		require.ErrorIs(t, err, cluster.ErrDenied)
		require.ErrorContains(t, err, fmt.Sprintf("cannot %s resource \"statefulsets\"", verb))
	}
	denied := bind(t, tc.As(t, ns, []rbacv1.PolicyRule{rule("apps", "statefulsets deployments", "get")}))
	_, err = denied.WorkloadPods(ctx, w)
	require.ErrorIs(t, err, cluster.ErrDenied)
	require.ErrorContains(t, err, `cannot list resource "pods"`)
	require.ErrorIs(t, denied.AwaitScaled(ctx, w, 1), cluster.ErrDenied)
	_, err = admin.Create(ctx, workloadManifest("Deployment", "web", 0, 0), ns, "t")
	require.NoError(t, err)
	_, err = denied.WorkloadPods(ctx, cluster.Workload{Kind: "Deployment", Namespace: ns, Name: "web"})
	require.ErrorIs(t, err, cluster.ErrDenied)
	require.ErrorContains(t, err, `cannot list resource "replicasets"`)
}

func TestAwaitSaysWhatIsMissing(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	admin, c, ctx := bind(t, tc.Config), bind(t, tc.As(t, ns, scalerRules())), t.Context()
	manifest := workloadManifest("StatefulSet", "db", 1, 0)
	manifest["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["nodeSelector"] = map[string]any{"no": "such-node"}
	_, err := admin.Create(ctx, manifest, ns, "t")
	require.NoError(t, err)
	w := cluster.Workload{Kind: "StatefulSet", Namespace: ns, Name: "db"}
	err = tooShort(t, "pod db-0 is Pending: Unschedulable", func(ctx context.Context) error { return c.AwaitScaled(ctx, w, 1) })
	require.ErrorIs(t, err, errTooLong)
	require.ErrorContains(t, err, "waited for 1 ready pods of StatefulSet "+ns+"/db")
	t.Log(err)

	bad := workloadManifest("Deployment", "web", 1, 0)
	bad["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "localhost/absent:1"
	_, err = admin.Create(ctx, bad, ns, "t")
	require.NoError(t, err)
	web := cluster.Workload{Kind: "Deployment", Namespace: ns, Name: "web"}
	err = tooShort(t, "container zeta is waiting: ErrImageNeverPull", func(ctx context.Context) error { return c.AwaitScaled(ctx, web, 1) })
	require.ErrorIs(t, err, errTooLong)
	t.Log(err)
}

func TestAwaitAndTheWorkloadGoes(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), within(t, time.Minute)
	ref, err := c.Create(ctx, workloadManifest("StatefulSet", "db", 0, 0), ns, "t")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		done <- c.AwaitScaled(ctx, cluster.Workload{Kind: "StatefulSet", Namespace: ns, Name: "db"}, 1)
	}()
	select {
	case err := <-done:
		t.Fatalf("there is no pod: %v", err)
	case <-time.After(time.Second):
	}
	require.NoError(t, c.Delete(ctx, ref))
	require.ErrorIs(t, <-done, cluster.ErrNotFound)
}

// A rollout that is under way is waited for: its old pods are others.
func TestAwaitTheEndOfARollout(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	c, ctx := bind(t, tc.Config), within(t, 2*time.Minute)
	for _, kind := range []string{"StatefulSet", "Deployment"} {
		w := cluster.Workload{Kind: kind, Namespace: ns, Name: "db-" + string(kind[0]+'a'-'A')}
		ref, err := c.Create(ctx, workloadManifest(kind, w.Name, 2, 1), ns, "t")
		require.NoError(t, err)
		require.NoError(t, c.AwaitScaled(ctx, w, 2))
		before, err := c.WorkloadPods(ctx, w)
		require.NoError(t, err)
		_, err = c.Patch(ctx, ref, []byte(`{"spec":{"template":{"metadata":{"annotations":{"change":"1"}}}}}`))
		require.NoError(t, err)
		require.NoError(t, c.AwaitScaled(ctx, w, 2))
		list, err := c.clients.Kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: "app=" + w.Name})
		require.NoError(t, err)
		require.Len(t, list.Items, 2)
		for _, p := range list.Items {
			require.Equal(t, "1", p.Annotations["change"], "%s: only pods of the new revision are left", kind)
		}
		after, err := c.WorkloadPods(ctx, w)
		require.NoError(t, err)
		if kind == "Deployment" {
			require.NotEqual(t, names(before), names(after))
		}
	}
}

// deploymentConfigs installs the kind where the cluster has none.
func deploymentConfigs(t *testing.T, c *Cluster) {
	t.Helper()
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	ref, err := c.Create(t.Context(), map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "deploymentconfigs.apps.openshift.io", "annotations": map[string]any{"api-approved.kubernetes.io": "unapproved, for a test"}},
		"spec": map[string]any{"group": "apps.openshift.io", "scope": "Namespaced",
			"names": map[string]any{"plural": "deploymentconfigs", "singular": "deploymentconfig", "kind": "DeploymentConfig"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": map[string]any{"spec": open, "status": open}}}}}}}, "", unique("dc-"))
	if errors.Is(err, cluster.ErrExists) {
		return // somebody else's, who removes it
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.Background(), ref)) })
	require.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), cluster.Ref{APIVersion: "v1", Group: "apps.openshift.io", Resource: "deploymentconfigs", Namespace: "default", Name: "x"})
		return errors.Is(err, cluster.ErrNotFound)
	}, 30*time.Second, 50*time.Millisecond)
}

// controller plays the controller of a DeploymentConfig: one ReplicationController per version, which Kubernetes runs.
type controller struct {
	t   *testing.T
	c   *Cluster
	ref cluster.Ref
}

// deploy makes the replication controller of a version.
func (d controller) deploy(version int) {
	d.t.Helper()
	obj, err := d.c.Get(d.t.Context(), d.ref)
	require.NoError(d.t, err)
	template := podTemplate(d.ref.Name, 0)
	template["metadata"].(map[string]any)["labels"].(map[string]any)["deployment"] = fmt.Sprint(version)
	_, err = d.c.Create(d.t.Context(), map[string]any{"apiVersion": "v1", "kind": "ReplicationController",
		"metadata": map[string]any{"name": fmt.Sprintf("%s-%d", d.ref.Name, version), "annotations": map[string]any{configVersion: fmt.Sprint(version)},
			"ownerReferences": []any{map[string]any{"apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig", "name": d.ref.Name, "controller": true,
				"uid": obj["metadata"].(map[string]any)["uid"]}}},
		"spec": map[string]any{"replicas": 0, "selector": map[string]any{"app": d.ref.Name, "deployment": fmt.Sprint(version)}, "template": template}}, d.ref.Namespace, "t")
	require.NoError(d.t, err)
	d.status(map[string]any{"latestVersion": version})
}

func (d controller) status(status map[string]any) {
	patch, _ := json.Marshal(map[string]any{"status": status})
	_, err := d.c.client(d.ref).Patch(context.Background(), d.ref.Name, "application/merge-patch+json", patch, metav1.PatchOptions{}, "status")
	if err != nil {
		d.t.Error(err)
	}
}

// run scales the replication controllers of all versions up to the latest until ctx ends.
func (d controller) run(ctx context.Context) {
	kube := d.c.clients.Kube.CoreV1().ReplicationControllers(d.ref.Namespace)
	for p := newPace(); p.again(ctx, nil) == nil; p.next = 100 * time.Millisecond {
		w, err := d.c.workload(ctx, d.ref)
		if err != nil {
			continue
		}
		list, err := kube.List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		var at corev1.ReplicationControllerStatus
		for _, rc := range list.Items {
			want := int32(0)
			if rc.Annotations[configVersion] == fmt.Sprint(w.Status.LatestVersion) {
				want, at = w.replicas(), rc.Status
			}
			if *rc.Spec.Replicas != want {
				rc.Spec.Replicas = &want
				_, _ = kube.Update(ctx, &rc, metav1.UpdateOptions{})
			}
		}
		d.status(map[string]any{"observedGeneration": w.Metadata.Generation, "replicas": at.Replicas, "updatedReplicas": at.Replicas,
			"readyReplicas": at.ReadyReplicas, "availableReplicas": at.AvailableReplicas})
	}
}

func TestDeploymentConfigs(t *testing.T) {
	tc := testcluster.Open(t)
	ns := tc.Namespace(t, nil)
	admin, ctx := bind(t, tc.Config), within(t, 2*time.Minute)
	deploymentConfigs(t, admin)
	c := bind(t, tc.As(t, ns, scalerRules()))
	ref, err := admin.Create(ctx, map[string]any{"apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig", "metadata": map[string]any{"name": "db"},
		"spec": map[string]any{"replicas": 1, "selector": map[string]any{"app": "db"}}}, ns, "t")
	require.NoError(t, err)
	w := cluster.Workload{Kind: "deploymentCONFIG", Namespace: ns, Name: "db"}
	_, err = c.WorkloadPods(ctx, w)
	require.ErrorIs(t, err, cluster.ErrNotFound)
	require.ErrorContains(t, err, "ReplicationController of version 0")

	d := controller{t, admin, ref}
	d.deploy(1)
	playing, stop := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() { defer close(over); d.run(playing) }()
	defer func() { stop(); <-over }()
	require.NoError(t, c.AwaitScaled(ctx, w, 1))
	first, err := c.WorkloadPods(ctx, w)
	require.NoError(t, err)
	require.Len(t, first, 1)
	require.Regexp(t, `^db-1-`, first[0].Name)

	for range 2 {
		original, err := c.Scale(ctx, w, 2, "up")
		require.NoError(t, err)
		require.Equal(t, int32(1), original)
	}
	require.NoError(t, c.AwaitScaled(ctx, w, 2))
	d.deploy(2)
	require.NoError(t, c.AwaitScaled(ctx, w, 2))
	pods, err := c.WorkloadPods(ctx, w)
	require.NoError(t, err)
	require.Len(t, pods, 2)
	for _, p := range pods {
		require.Regexp(t, `^db-2-`, p.Name, "only the latest version's")
	}
	original, err := c.Scale(ctx, w, 0, "down")
	require.NoError(t, err)
	require.Equal(t, int32(2), original)
	require.NoError(t, c.AwaitScaled(ctx, w, 0))
	list, err := admin.clients.Kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, list.Items)
}
