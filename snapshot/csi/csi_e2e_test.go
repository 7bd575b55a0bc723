//go:build e2e

package csi_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
	"github.com/davit-project/davit/snapshot/snapshottest"
)

// bench is a namespace of the test cluster with a driver, and a Snapshotter that is quick to look and soon gives up.
type bench struct {
	*testcluster.Client
	*snapshot.Snapshotter
	driver    *csi.Driver
	snapshots versioned.Interface
	namespace string
}

const patience = 2 * time.Minute

func newBench(t *testing.T, opts *snapshot.Options) *bench {
	t.Helper()
	c := testcluster.Open(t)
	d, err := csi.NewForConfig(c.Config, nil)
	require.NoError(t, err)
	snapshots, err := versioned.NewForConfig(c.Config)
	require.NoError(t, err)
	if opts == nil {
		opts = &snapshot.Options{}
	}
	opts.Interval, opts.Timeout = 50*time.Millisecond, patience
	return &bench{Client: c, Snapshotter: snapshot.New(d, opts), driver: d, snapshots: snapshots, namespace: c.Namespace(t, nil)}
}

func (b *bench) ref(name string) snapshot.Ref {
	return snapshot.Ref{Namespace: b.namespace, Name: name}
}

// claim makes one and waits until it is bound.
func (b *bench) claim(t *testing.T, name, class string) {
	t.Helper()
	_, err := b.CoreV1().PersistentVolumeClaims(b.namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("16Mi")}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		pvc, err := b.CoreV1().PersistentVolumeClaims(b.namespace).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && pvc.Status.Phase == corev1.ClaimBound
	}, patience, 50*time.Millisecond, "claim %s is bound", name)
}

// take makes a snapshot of claim "data"; "" is the default class.
func (b *bench) take(t *testing.T, name, class string) snapshot.Status {
	t.Helper()
	st, err := b.Create(t.Context(), snapshot.Request{Ref: b.ref(name), Volume: "data", Class: class, Token: "t-" + name})
	require.NoError(t, err)
	return st
}

// run runs a script as user 1000 with the claim at /data, and returns what it wrote to its termination log and whether it succeeded. The pod is gone when it returns.
func (b *bench) run(t *testing.T, claim, script string) (string, bool) {
	t.Helper()
	grace := int64(0)
	pods := b.CoreV1().Pods(b.namespace)
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
			}}},
			Containers: []corev1.Container{{
				Name: "c", Image: testcluster.BusyboxImage, ImagePullPolicy: corev1.PullNever, Command: []string{"sh", "-ec", script},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	name := pod.Name
	require.Eventually(t, func() bool {
		pod, err = pods.Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
	}, patience, 50*time.Millisecond, "a pod with claim %s", claim)
	require.NoError(t, pods.Delete(t.Context(), name, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		_, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, patience, 50*time.Millisecond, "the pod with claim %s is gone", claim)
	message := ""
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Terminated != nil {
			message = c.State.Terminated.Message
		}
	}
	return message, pod.Status.Phase == corev1.PodSucceeded
}

// write and read are the content of a claim.
func (b *bench) write(t *testing.T, claim, content string) {
	t.Helper()
	_, ok := b.run(t, claim, "printf %s '"+content+"' >/data/note")
	require.True(t, ok)
}

func (b *bench) read(t *testing.T, claim string) string {
	t.Helper()
	content, ok := b.run(t, claim, "cat /data/note >/dev/termination-log")
	require.True(t, ok)
	return content
}

// impatient gives up after a second of errors.
func (b *bench) impatient() *snapshot.Snapshotter {
	return snapshot.New(b.driver, &snapshot.Options{Interval: 50 * time.Millisecond, ErrorGrace: time.Second, Timeout: patience})
}

// stored tells whether the storage has a snapshot: then, and only then, an object made for its handle becomes ready.
func (b *bench) stored(t *testing.T, handle, name string) bool {
	t.Helper()
	st, err := b.impatient().Import(t.Context(), snapshot.ImportRequest{Ref: b.ref(name), Driver: testcluster.DriverName, Handle: handle, Policy: snapshot.Retain, Token: "look"})
	if err != nil {
		require.ErrorIs(t, err, snapshot.ErrFailed)
		require.ErrorContains(t, err, handle)
		b.nothing(t, name, st.Content)
		return false
	}
	require.NoError(t, b.Delete(t.Context(), st.Ref, ""))
	require.NoError(t, b.DeleteContent(t.Context(), st.Content))
	return true
}

// inStorage counts the snapshots of a claim's volume in the folder of the storage itself.
func (b *bench) inStorage(t *testing.T, claim string) (count int) {
	t.Helper()
	pvc, err := b.CoreV1().PersistentVolumeClaims(b.namespace).Get(t.Context(), claim, metav1.GetOptions{})
	require.NoError(t, err)
	pv, err := b.CoreV1().PersistentVolumes().Get(t.Context(), pvc.Spec.VolumeName, metav1.GetOptions{})
	require.NoError(t, err)
	dir := filepath.Join(b.pool(t), testcluster.DriverName, "snapshots")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // a folder, or gone since
		}
		var record struct{ Source string }
		require.NoError(t, json.Unmarshal(data, &record))
		if record.Source == pv.Spec.CSI.VolumeHandle {
			count++
		}
	}
	return count
}

// pool is the file system of the storage, which only the node sees.
func (b *bench) pool(t *testing.T) string {
	t.Helper()
	own := filepath.Join(b.Dir, "csi")
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, name := range commands {
		command, err := os.ReadFile(name)
		if err == nil && slices.Contains(strings.Split(string(command), "\x00"), "--dir="+own) {
			return filepath.Join(filepath.Dir(name), "root", own, "pool")
		}
	}
	require.Fail(t, "the storage does not run")
	return ""
}

// nothing makes sure that neither a snapshot nor any content for it is left.
func (b *bench) nothing(t *testing.T, name, content string) {
	t.Helper()
	_, err := b.driver.Get(t.Context(), b.ref(name))
	require.ErrorIs(t, err, snapshot.ErrNotFound)
	list, err := b.snapshots.SnapshotV1().VolumeSnapshotContents().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, c := range list.Items {
		at := c.Spec.VolumeSnapshotRef
		require.False(t, c.Name == content || at.Namespace == b.namespace && at.Name == name, "content %s is left", c.Name)
	}
}

func TestTheDriverPassesTheSuite(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	checks := snapshottest.Checks(snapshottest.Harness{
		Driver: b.driver, Volume: b.ref("data"), OtherNamespace: b.Namespace(t, nil), Interval: 50 * time.Millisecond,
		Write: func(_ context.Context, content string) error { b.write(t, "data", content); return nil },
		Read:  func(_ context.Context, volume snapshot.Ref) (string, error) { return b.read(t, volume.Name), nil },
	})
	for _, check := range checks {
		t.Run(check.Name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, check.Run(t.Context()))
		})
	}
}

// A snapshot of the default class has what was there at its cut, and so has what is restored from it, at once or when a pod first uses it.
func TestRestoredIsWhatWasCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	b.write(t, "data", "before")
	st := b.take(t, "s", "")
	require.Equal(t, testcluster.SnapshotClass, st.Class)
	require.Equal(t, testcluster.DriverName, st.Driver)
	require.Equal(t, "16Mi", st.RestoreSize)
	require.WithinDuration(t, time.Now(), st.CutAt, time.Minute)
	require.NotEmpty(t, st.Handle)
	require.Equal(t, st, b.take(t, "s", ""), "the same token finds it")
	_, err := b.Create(t.Context(), snapshot.Request{Ref: b.ref("s"), Volume: "data", Token: "other"})
	require.ErrorIs(t, err, snapshot.ErrExists)
	b.write(t, "data", "after")

	for _, late := range []bool{false, true} {
		req := snapshot.RestoreRequest{Ref: b.ref("new"), Snapshot: "s", Size: "16Mi", Token: "r"}
		if late {
			req.Name, req.StorageClass = "late", testcluster.LateStorageClass
		}
		vol, err := b.Restore(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, late, vol.Waiting)
		require.Equal(t, !late, vol.Bound)
		require.Equal(t, "before", b.read(t, req.Name))
		vol, err = b.driver.Volume(t.Context(), req.Ref)
		require.NoError(t, err)
		require.Equal(t, snapshot.VolumeStatus{Ref: req.Ref, Snapshot: "s", Bound: true, Size: "16Mi", Token: "r"}, vol)
	}
	larger, err := b.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("larger"), Snapshot: "s", Size: "64Mi", Token: "r"})
	require.NoError(t, err)
	require.Equal(t, snapshot.VolumeStatus{Ref: b.ref("larger"), Snapshot: "s", Bound: true, Size: "64Mi", Token: "r"}, larger)
	require.Equal(t, "before", b.read(t, "larger"))
	_, err = b.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("raw"), Snapshot: "s", Size: "16Mi", Token: "r", Block: true})
	require.ErrorIs(t, err, snapshot.ErrInvalid)
	require.ErrorContains(t, err, "is of a volume of mode Filesystem")
	_, err = b.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("small"), Snapshot: "s", Size: "15Mi", Token: "r"})
	require.ErrorIs(t, err, snapshot.ErrInvalid)
	_, err = b.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("else"), Snapshot: "s", Size: "16Mi", Token: "r", StorageClass: testcluster.OtherStorageClass})
	require.ErrorContains(t, err, "is of provisioner")
}

// The snapshot-controller never takes a snapshot of a claim that is being deleted, so none is asked for.
func TestAClaimOnItsWayOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	claims := b.CoreV1().PersistentVolumeClaims(b.namespace)
	finalizers := func(list string) {
		_, err := claims.Patch(context.Background(), "data", types.MergePatchType, []byte(`{"metadata":{"finalizers":`+list+`}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	finalizers(`["davit.io/test"]`)
	defer finalizers("[]")
	require.NoError(t, claims.Delete(t.Context(), "data", metav1.DeleteOptions{}))
	_, err := b.Create(t.Context(), snapshot.Request{Ref: b.ref("s"), Volume: "data", Token: "t"})
	require.ErrorIs(t, err, snapshot.ErrInvalid)
	require.ErrorContains(t, err, "is being deleted")
	b.nothing(t, "s", "")

	data, class := "data", testcluster.SnapshotClass
	_, err = b.snapshots.SnapshotV1().VolumeSnapshots(b.namespace).Create(t.Context(), &v1.VolumeSnapshot{ObjectMeta: metav1.ObjectMeta{Name: "byhand"},
		Spec: v1.VolumeSnapshotSpec{Source: v1.VolumeSnapshotSource{PersistentVolumeClaimName: &data}, VolumeSnapshotClassName: &class}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = b.impatient().Wait(t.Context(), b.ref("byhand"))
	require.ErrorIs(t, err, snapshot.ErrFailed)
	require.ErrorContains(t, err, "being deleted")
	require.NoError(t, b.Delete(t.Context(), b.ref("byhand"), snapshot.Delete))
}

func TestNoClassFits(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.OtherStorageClass)
	for class, says := range map[string]string{"": testcluster.SnapshotClass, testcluster.SnapshotClass: testcluster.OtherDriverName, "none": `no snapshot class "none"`} {
		_, err := b.Create(t.Context(), snapshot.Request{Ref: b.ref("s"), Volume: "data", Class: class, Token: "t"})
		require.ErrorIs(t, err, snapshot.ErrNoClass)
		require.ErrorContains(t, err, says)
	}
	_, err := b.Create(t.Context(), snapshot.Request{Ref: b.ref("s"), Volume: "absent", Token: "t"})
	require.ErrorIs(t, err, snapshot.ErrNotFound)
	b.nothing(t, "s", "")
}

// Ten snapshots are looked at ten times a second without waiting for the client's own limits.
func TestAGroupOfTenIsHeldShortly(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	group := snapshot.GroupRequest{}
	b.claim(t, "data", testcluster.StorageClass)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		group.Requests = append(group.Requests, snapshot.Request{Ref: b.ref(name), Volume: "data", Token: "g", Labels: map[string]string{"group": "g"}})
	}
	nothing := func(context.Context) error { return nil }
	result, err := b.CreateGroup(t.Context(), group, &snapshot.Hooks{Quiesce: nothing, Unquiesce: nothing})
	require.NoError(t, err)
	t.Logf("ten snapshots: held for %s, cut within %s", result.Held, result.LastCut.Sub(result.FirstCut))
	begin := time.Now()
	for range 200 {
		_, err := b.driver.Get(t.Context(), b.ref("a"))
		require.NoError(t, err)
	}
	require.Less(t, time.Since(begin), 30*time.Second, "at the default limits of client-go it takes 38")
	again, err := b.CreateGroup(t.Context(), group, &snapshot.Hooks{Quiesce: nothing, Unquiesce: nothing})
	require.NoError(t, err)
	require.True(t, again.Adopted)
	require.Equal(t, len(group.Requests), b.inStorage(t, "data"))
	list, err := b.List(t.Context(), b.namespace, map[string]string{"group": "g"})
	require.NoError(t, err)
	require.Equal(t, result.Snapshots, list)
}
