//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/cluster/kubecluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/builtin"
	"github.com/davit-project/davit/function/kube"
	"github.com/davit-project/davit/function/volume"
	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
	"github.com/davit-project/davit/template"
	"github.com/davit-project/davit/template/kubedata"
)

// shop is a namespace with a Deployment whose pod mounts claims, each at a folder of its name.
type shop struct {
	*testcluster.Client
	t         testing.TB
	namespace string
	cluster   *kubecluster.Cluster
	api       versioned.Interface
	runs      int
	// grace is how long a problem of the storage may last.
	grace time.Duration
}

func newShop(t testing.TB, script string, claims ...string) *shop {
	c := testcluster.Open(t)
	clients, err := kubecluster.ForConfig(c.Config)
	require.NoError(t, err)
	k, err := kubecluster.New(clients, nil)
	require.NoError(t, err)
	api, err := versioned.NewForConfig(c.Config)
	require.NoError(t, err)
	s := &shop{Client: c, t: t, namespace: c.Namespace(t, nil), cluster: k, api: api, grace: time.Minute}
	for _, claim := range claims {
		s.claim(claim)
	}
	_, err = c.AppsV1().Deployments(s.namespace).Create(t.Context(), s.deployment(script, claims), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.pod() != "" }, time.Minute, 50*time.Millisecond, "the pod of the shop")
	return s
}

func (s *shop) claim(name string) {
	s.t.Helper()
	class := testcluster.StorageClass
	_, err := s.CoreV1().PersistentVolumeClaims(s.namespace).Create(s.t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("32Mi")}},
		},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
}

func (s *shop) deployment(script string, claims []string) *appsv1.Deployment {
	labels, none, user := map[string]string{"app": "shop"}, int64(0), int64(1000)
	pod := corev1.PodSpec{TerminationGracePeriodSeconds: &none, SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user}}
	container := corev1.Container{
		Name: "server", Image: testcluster.BusyboxImage, ImagePullPolicy: corev1.PullNever, Command: []string{"sh", "-c", script},
	}
	for _, claim := range claims {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: claim, MountPath: "/" + claim})
	}
	pod.Containers = []corev1.Container{container}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "shop"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels}, Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}
}

// pod is the name of the running pod; empty while there is none.
func (s *shop) pod() string {
	pods, err := s.cluster.WorkloadPods(s.t.Context(), cluster.Workload{Kind: "Deployment", Namespace: s.namespace, Name: "shop"})
	if err != nil || len(pods) != 1 { // nobody has looked at the Deployment yet
		return ""
	}
	return pods[0].Name
}

// sh runs a script in the pod.
func (s *shop) sh(script string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	err := s.cluster.Exec(s.t.Context(), cluster.Command{Namespace: s.namespace, Pod: s.pod(), Args: []string{"sh", "-ec", script}, Stdout: &out, Stderr: &errs})
	require.NoError(s.t, err, errs.String())
	return out.String()
}

// in runs a script in a pod that mounts claims, each at a folder of its name.
func (s *shop) in(script string, claims ...string) string {
	s.t.Helper()
	var out bytes.Buffer
	pod := cluster.Pod{
		Name: "look-" + claims[0], Namespace: s.namespace, Image: testcluster.BusyboxImage, Command: []string{"sh", "-ec", script},
		Labels: map[string]string{"test": "look"}, Claims: map[string]string{}, Log: &out,
	}
	for _, claim := range claims {
		pod.Claims[claim] = "/" + claim
	}
	require.NoError(s.t, s.cluster.RunPod(s.t.Context(), pod), out.String())
	require.NoError(s.t, s.cluster.RemovePod(s.t.Context(), s.namespace, pod.Name))
	return out.String()
}

// engine is a host's, with every function.
func (s *shop) engine() *engine.Engine {
	driver, err := csi.NewForConfig(s.Config, nil)
	require.NoError(s.t, err)
	k := s.cluster
	reg, err := function.NewRegistry(builtin.All(builtin.Deps{
		Kube:   kube.Deps{Exec: k, Pods: k, Scaler: k, Objects: k, Namespace: s.namespace},
		Volume: volume.Deps{Snapshots: snapshot.New(driver, &snapshot.Options{Interval: 50 * time.Millisecond, ErrorGrace: s.grace})},
	})...)
	require.NoError(s.t, err)
	return engine.New(reg, kubedata.New(k, k), &engine.Options{Sweep: k})
}

// run performs an action on the Deployment.
func (s *shop) run(ctx context.Context, bp *blueprint.Blueprint, action string, artifacts map[string]template.Artifact) (*engine.Result, error) {
	s.runs++
	return s.engine().Run(ctx, &engine.Spec{
		ID: fmt.Sprintf("csi-%s-%d", s.namespace, s.runs), Blueprints: []*blueprint.Blueprint{bp},
		Actions: []blueprint.ActionSpec{{
			Name: action, Blueprint: bp.Name, Artifacts: artifacts,
			Object: template.ObjectReference{Kind: "Deployment", Namespace: s.namespace, Name: "shop"},
		}},
	}, &engine.MemoryJournal{})
}

// must is run where it has to succeed; it returns the artifacts.
func (s *shop) must(bp *blueprint.Blueprint, action string, artifacts map[string]template.Artifact) map[string]template.Artifact {
	s.t.Helper()
	res, err := s.run(s.t.Context(), bp, action, artifacts)
	require.NoError(s.t, err)
	require.Empty(s.t, res.Left)
	made, err := res.Artifacts(0)
	require.NoError(s.t, err)
	return made
}

// phase runs one phase and returns its outputs as the artifact "out".
func (s *shop) phase(ctx context.Context, text string, outputs ...string) (map[string]string, error) {
	var keys strings.Builder
	for _, name := range append(outputs, "none") {
		value := "x"
		if name != "none" {
			value = "{{ .Phases.one.Output." + name + " }}"
		}
		fmt.Fprintf(&keys, "          %s: '%s'\n", name, value)
	}
	bp := parseBlueprint(s.t, `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: one}
actions:
  only:
    outputArtifacts:
      out:
        keyValue:
`+keys.String()+`
    phases:
    - `+strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(text, "NS", s.namespace)), "\n", "\n      ")+`
      name: one
`)
	res, err := s.run(ctx, bp, "only", nil)
	if err != nil {
		return nil, err
	}
	made, err := res.Artifacts(0)
	require.NoError(s.t, err)
	return made["out"].KeyValue, nil
}

func parseBlueprint(t testing.TB, text string) *blueprint.Blueprint {
	t.Helper()
	f := blueprint.Parse("blueprint.yaml", []byte(text))
	require.NoError(t, f.Err())
	require.Len(t, f.Blueprints, 1)
	return f.Blueprints[0]
}

// kanisterCSI is the blueprint of the field with the names of this cluster's classes.
func kanisterCSI(t testing.TB) string {
	text := strings.ReplaceAll(string(kanisterBlueprint(t, "csi-snapshot/csi-snapshot-blueprint.yaml")), "snapshotClass: do-block-storage", "snapshotClass: "+testcluster.SnapshotClass)
	return strings.ReplaceAll(text, "storageClass: do-block-storage", "storageClass: "+testcluster.StorageClass)
}

func (s *shop) list() []snapshotv1.VolumeSnapshot {
	all, err := s.api.SnapshotV1().VolumeSnapshots(s.namespace).List(context.Background(), metav1.ListOptions{})
	require.NoError(s.t, err)
	return all.Items
}

// content returns the object behind a snapshot; nil when there is none.
func (s *shop) content(name string) *snapshotv1.VolumeSnapshotContent {
	found, err := s.api.SnapshotV1().VolumeSnapshotContents().Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(s.t, err)
	return found
}

// nothing asserts that there is neither a snapshot of this namespace nor anything behind one.
func (s *shop) nothing() {
	s.t.Helper()
	require.Empty(s.t, s.list())
	all, err := s.api.SnapshotV1().VolumeSnapshotContents().List(context.Background(), metav1.ListOptions{})
	require.NoError(s.t, err)
	for _, c := range all.Items {
		require.NotEqual(s.t, s.namespace, c.Spec.VolumeSnapshotRef.Namespace, "content %s is left", c.Name)
	}
}

const idle = "exec sleep 100000"

// fill writes half a megabyte that differs from call to call.
const fill = "i=0; while [ $i -lt 200 ]; do echo $$ $i $(cat /proc/sys/kernel/random/uuid); i=$((i+1)); done >/data/orders; sync"

// TestCSIBlueprintOfKanister runs Kanister's blueprint for CSI snapshots, as it was published but for the names of classes: backup, other data, restore, delete.
func TestCSIBlueprintOfKanister(t *testing.T) {
	t.Parallel()
	s := newShop(t, idle, "data")
	bp := parseBlueprint(t, kanisterCSI(t))
	s.sh(fill)
	before := s.sh("cat /data/orders")

	artifacts := s.must(bp, "backup", nil)
	made := artifacts["snapshotInfo"].KeyValue
	require.Regexp(t, "^data-snapshot-", made["name"])
	require.Equal(t, []string{"data", s.namespace, "32Mi"}, []string{made["pvc"], made["namespace"], made["restoreSize"]})
	require.NotNil(t, s.content(made["snapshotContent"]))
	require.Len(t, s.list(), 1)

	s.sh("echo lost >/data/orders; echo more >/data/other; sync")
	s.must(bp, "restore", artifacts)
	require.Eventually(t, func() bool { return s.pod() != "" }, time.Minute, 50*time.Millisecond)
	require.Equal(t, before, s.sh("cat /data/orders"))
	require.Equal(t, "orders\n", s.sh("ls /data"))

	s.must(bp, "delete", artifacts)
	s.nothing()
	s.must(bp, "delete", artifacts) // again: what is gone is gone
}

// TestCSIStatic keeps a snapshot in the storage alone, makes it known to the cluster again by its handle, restores it, and deletes it for good.
func TestCSIStatic(t *testing.T) {
	t.Parallel()
	s := newShop(t, idle, "data")
	s.sh(fill)
	before := s.sh("cat /data/orders")
	made, err := s.phase(t.Context(), "func: CreateCSISnapshot\nargs: {pvc: data, namespace: NS, snapshotClass: "+testcluster.RetainSnapshotClass+", name: first, labels: {app.kubernetes.io/name: Shop}}",
		"name", "snapshotContent")
	require.NoError(t, err)
	require.Equal(t, "first", made["name"])
	require.Equal(t, "shop", s.list()[0].Labels["app_kubernetes_io_name"])
	content := s.content(made["snapshotContent"])
	require.NotNil(t, content)
	handle := *content.Status.SnapshotHandle

	_, err = s.phase(t.Context(), "func: DeleteCSISnapshot\nargs: {name: first, namespace: NS}")
	require.NoError(t, err)
	require.Empty(t, s.list())
	require.NotNil(t, s.content(content.Name), "its class keeps what is behind it")
	_, err = s.phase(t.Context(), "func: DeleteCSISnapshotContent\nargs: {name: "+content.Name+"}")
	require.NoError(t, err)
	require.Nil(t, s.content(content.Name))

	static := "func: CreateCSISnapshotStatic\nargs: {name: again, namespace: NS, driver: " + testcluster.DriverName + ", snapshotHandle: '" + handle + "', snapshotClass: " + testcluster.SnapshotClass + "}"
	made, err = s.phase(t.Context(), static, "restoreSize", "snapshotContent")
	require.NoError(t, err)
	require.Equal(t, "32Mi", made["restoreSize"])
	_, err = s.phase(t.Context(), static)
	require.ErrorIs(t, err, snapshot.ErrExists, "another run's")
	require.True(t, function.IsPermanent(err))
	_, err = s.phase(t.Context(), "func: RestoreCSISnapshot\nargs: {name: again, pvc: second, namespace: NS, storageClass: "+testcluster.StorageClass+", restoreSize: 32Mi, labels: {a/b: c}}")
	require.NoError(t, err)
	require.Equal(t, before, s.in("cat /second/orders", "second"))
	_, err = s.phase(t.Context(), "func: RestoreCSISnapshot\nargs: {name: again, pvc: data, namespace: NS, storageClass: "+testcluster.StorageClass+", restoreSize: 32Mi}")
	require.ErrorIs(t, err, snapshot.ErrExists, "a claim of somebody else")

	_, err = s.phase(t.Context(), "func: DeleteCSISnapshot\nargs: {name: again, namespace: NS}")
	require.NoError(t, err)
	s.nothing()
	require.Nil(t, s.content(made["snapshotContent"]))
}

// TestCSIFaults has storage that is slow, fails for a while, and fails for good.
func TestCSIFaults(t *testing.T) {
	t.Parallel()
	s := newShop(t, idle, "data")
	slow := s.SnapshotClassWith(t, "Delete", map[string]string{"cutDelay": "1s", "readyDelay": "1s", "failCreate": "2", "deleteFails": "2"})
	begin := time.Now()
	made, err := s.phase(t.Context(), "func: CreateCSISnapshot\nargs: {pvc: data, namespace: NS, snapshotClass: "+slow+"}", "name")
	require.NoError(t, err)
	require.Greater(t, time.Since(begin), 2*time.Second)
	vs := s.list()[0]
	require.Equal(t, made["name"], vs.Name)
	require.True(t, *vs.Status.ReadyToUse)
	_, err = s.phase(t.Context(), "func: DeleteCSISnapshot\nargs: {name: "+made["name"]+", namespace: NS}")
	require.NoError(t, err)
	s.nothing()

	s.grace = 2 * time.Second
	final := s.SnapshotClassWith(t, "Delete", map[string]string{"failFinal": "true"})
	_, err = s.phase(t.Context(), "func: CreateCSISnapshot\nargs: {pvc: data, namespace: NS, snapshotClass: "+final+"}")
	require.ErrorIs(t, err, snapshot.ErrFailed)
	s.nothing()
	_, err = s.phase(t.Context(), "func: CreateCSISnapshot\nargs: {pvc: data, namespace: NS, snapshotClass: none-such}")
	require.ErrorIs(t, err, snapshot.ErrNoClass)
	s.nothing()
	_, err = s.phase(t.Context(), "func: CreateCSISnapshot\nargs: {pvc: absent, namespace: NS, snapshotClass: "+slow+"}")
	require.ErrorIs(t, err, snapshot.ErrNotFound)
}

// TestCSICancel cancels a run while the storage takes a snapshot: nothing is left of it, in the storage neither, whatever the class says.
func TestCSICancel(t *testing.T) {
	t.Parallel()
	s := newShop(t, idle, "data")
	for name, parameters := range map[string]map[string]string{
		"before the cut": {"cutDelay": "8s"},
		"after the cut":  {"readyDelay": "60s"},
	} {
		class := s.SnapshotClassWith(t, "Retain", parameters)
		ctx, cancel := context.WithCancel(t.Context())
		handle := make(chan string, 1)
		go func() {
			defer cancel()
			for ctx.Err() == nil {
				if found, ok := s.begun(ctx); ok && (name == "before the cut" || found != "") {
					handle <- found
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		_, err := s.phase(ctx, "func: CreateCSISnapshot\nargs: {pvc: data, namespace: NS, snapshotClass: "+class+"}")
		require.ErrorIs(t, err, engine.ErrCancelled, name)
		s.nothing()
		if stored := <-handle; stored != "" {
			s.grace = time.Second
			_, err = s.phase(t.Context(), "func: CreateCSISnapshotStatic\nargs: {name: again, namespace: NS, driver: "+testcluster.DriverName+", snapshotHandle: '"+stored+"', snapshotClass: "+class+"}")
			require.ErrorIs(t, err, snapshot.ErrFailed, "it is in the storage")
			s.nothing()
		}
	}
}

// begun tells whether a snapshot is asked for, and the handle of what is cut.
func (s *shop) begun(ctx context.Context) (handle string, ok bool) {
	all, err := s.api.SnapshotV1().VolumeSnapshots(s.namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(all.Items) != 1 {
		return "", false
	}
	status := all.Items[0].Status
	if status == nil || status.CreationTime == nil || status.BoundVolumeSnapshotContentName == nil {
		return "", true
	}
	content, err := s.api.SnapshotV1().VolumeSnapshotContents().Get(ctx, *status.BoundVolumeSnapshotContentName, metav1.GetOptions{})
	if err != nil || content.Status == nil || content.Status.SnapshotHandle == nil {
		return "", true
	}
	return *content.Status.SnapshotHandle, true
}
