package csi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/davit-project/davit/snapshot"
)

func restoreRequest() snapshot.RestoreRequest {
	return snapshot.RestoreRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "new"}, Snapshot: "s", Size: "1Gi", Token: "t", Labels: map[string]string{"a": "b"}}
}

// storage is a snapshot and storage classes, of which fast is the younger default.
func storage() []runtime.Object {
	vs, content := taken()
	early := storageClass("old", driverName, defaultStorageBeta, "true")
	early.CreationTimestamp = metav1.NewTime(cutAt)
	fast := storageClass("fast", driverName, defaultStorage, "true")
	fast.CreationTimestamp = metav1.NewTime(cutAt.Add(time.Hour))
	return []runtime.Object{vs, content, early, fast, storageClass("other", otherDriver)}
}

func (w *world) claim(t *testing.T) *corev1.PersistentVolumeClaim {
	t.Helper()
	pvc, err := w.kube.CoreV1().PersistentVolumeClaims("ns").Get(t.Context(), "new", metav1.GetOptions{})
	require.NoError(t, err)
	return pvc
}

func TestRestoreMakesAClaim(t *testing.T) {
	w := newWorld(t, nil, storage()...)
	require.NoError(t, w.Restore(t.Context(), restoreRequest()))
	pvc := w.claim(t)
	require.Equal(t, corev1.PersistentVolumeClaimSpec{
		AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		StorageClassName: ptr("fast"), VolumeMode: ptr(corev1.PersistentVolumeFilesystem),
		DataSource: &corev1.TypedLocalObjectReference{APIGroup: ptr("snapshot.storage.k8s.io"), Kind: "VolumeSnapshot", Name: "s"},
	}, pvc.Spec)
	require.Equal(t, "t", pvc.Annotations[createdBy])
	require.Equal(t, "b", pvc.Labels["a"])
	st, err := w.Volume(t.Context(), restoreRequest().Ref)
	require.NoError(t, err)
	require.Equal(t, "s", st.Snapshot)

	require.NoError(t, w.Restore(t.Context(), restoreRequest()))
	require.NoError(t, w.snapshots.SnapshotV1().VolumeSnapshots("ns").Delete(t.Context(), "s", metav1.DeleteOptions{}))
	require.NoError(t, w.Restore(t.Context(), restoreRequest()), "the claim outlives its snapshot")
	other := restoreRequest()
	other.Token = "u"
	require.ErrorIs(t, w.Restore(t.Context(), other), snapshot.ErrNotFound)
}

func TestRestoreOfABlockVolume(t *testing.T) {
	w := newWorld(t, nil, storage()...)
	req := restoreRequest()
	req.Block, req.StorageClass, req.AccessModes, req.Size = true, "old", []string{"ReadWriteMany", "ReadWriteOncePod"}, "16Mi"
	require.NoError(t, w.Restore(t.Context(), req))
	pvc := w.claim(t)
	require.Equal(t, corev1.PersistentVolumeBlock, *pvc.Spec.VolumeMode)
	require.Equal(t, "old", *pvc.Spec.StorageClassName)
	require.Equal(t, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany, corev1.ReadWriteOncePod}, pvc.Spec.AccessModes)
	other := req
	other.Token = "u"
	require.ErrorIs(t, w.Restore(t.Context(), other), snapshot.ErrExists)
}

func TestRestoreKeepsTheVolumeMode(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mode  *corev1.PersistentVolumeMode
		block bool
		allow string
		says  string
	}{
		{name: "the same", mode: ptr(corev1.PersistentVolumeBlock), block: true},
		{name: "unknown", block: true},
		{name: "allowed", mode: ptr(corev1.PersistentVolumeFilesystem), block: true, allow: "true"},
		{name: "not allowed", mode: ptr(corev1.PersistentVolumeBlock), allow: "false", says: "claim ns/new: volume mode Filesystem, but snapshot s is of a volume of mode Block"},
		{name: "another", mode: ptr(corev1.PersistentVolumeFilesystem), block: true,
			says: "give it annotation snapshot.storage.kubernetes.io/allow-volume-mode-change=true"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			vs, content := taken()
			content.Spec.SourceVolumeMode = tc.mode
			if tc.allow != "" {
				content.Annotations = map[string]string{modeChange: tc.allow}
			}
			w := newWorld(t, nil, vs, content, storageClass("fast", driverName, defaultStorage, "true"))
			req := restoreRequest()
			req.Block = tc.block
			err := w.Restore(t.Context(), req)
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, snapshot.ErrInvalid)
			require.ErrorContains(t, err, tc.says)
			_, err = w.Volume(t.Context(), req.Ref)
			require.ErrorIs(t, err, snapshot.ErrNotFound, "nothing is made")
		})
	}
}

func TestRestoreRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*snapshot.RestoreRequest)
		is     error
		says   string
	}{
		{"too small", func(r *snapshot.RestoreRequest) { r.Size = "15Mi" }, snapshot.ErrInvalid, "size 15Mi is too small, snapshot ns/s needs 16Mi"},
		{"no size", func(r *snapshot.RestoreRequest) { r.Size = "" }, snapshot.ErrInvalid, `size ""`},
		{"zero", func(r *snapshot.RestoreRequest) { r.Size = "0" }, snapshot.ErrInvalid, "more than zero"},
		{"no quantity", func(r *snapshot.RestoreRequest) { r.Size = "8 gigabytes" }, snapshot.ErrInvalid, "8 gigabytes"},
		{"no snapshot", func(r *snapshot.RestoreRequest) { r.Snapshot = "none" }, snapshot.ErrNotFound, "get volumesnapshots ns/none: not found"},
		{"no storage class", func(r *snapshot.RestoreRequest) { r.StorageClass = "none" }, snapshot.ErrInvalid, `there is no storage class "none"`},
		{"storage class of another driver", func(r *snapshot.RestoreRequest) { r.StorageClass = "other" }, snapshot.ErrInvalid,
			`storage class "other" is of provisioner "disk.example.com", but snapshot ns/s is of driver "dir.example.com"`},
		{"access mode", func(r *snapshot.RestoreRequest) { r.AccessModes = []string{"RWO"} }, snapshot.ErrInvalid, `no access mode "RWO"`},
		{"no token", func(r *snapshot.RestoreRequest) { r.Token = "" }, snapshot.ErrInvalid, "token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil, storage()...)
			req := restoreRequest()
			tc.change(&req)
			err := w.Restore(t.Context(), req)
			require.ErrorIs(t, err, tc.is)
			require.ErrorContains(t, err, tc.says)
			_, err = w.Volume(t.Context(), req.Ref)
			require.ErrorIs(t, err, snapshot.ErrNotFound, "nothing is made")
		})
	}
	vs, content := taken()
	vs.DeletionTimestamp = ptr(metav1.Now())
	w := newWorld(t, nil, vs, content, storageClass("fast", driverName))
	require.ErrorContains(t, w.Restore(t.Context(), restoreRequest()), "is being deleted")
	vs, content = taken()
	w = newWorld(t, nil, vs, content, storageClass("fast", driverName))
	require.ErrorContains(t, w.Restore(t.Context(), restoreRequest()), "no default storage class")
}

func TestVolume(t *testing.T) {
	pending := func(annotations ...string) *corev1.PersistentVolumeClaim {
		pvc := claim("new", "fast")
		pvc.Status.Phase, pvc.Annotations = corev1.ClaimPending, pairs(append(annotations, createdBy, "t"))
		return pvc
	}
	late := storageClass("fast", driverName)
	late.VolumeBindingMode = ptr(storagev1.VolumeBindingWaitForFirstConsumer)
	failed := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "e"}, Type: corev1.EventTypeWarning, Reason: "ProvisioningFailed", Message: "disk full",
		InvolvedObject: corev1.ObjectReference{Kind: "PersistentVolumeClaim", UID: "uid-of-new"}}
	bound := pending()
	bound.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}}
	lost, going, none := pending(), pending(), pending()
	lost.Status.Phase, none.Spec.StorageClassName = corev1.ClaimLost, nil
	going.DeletionTimestamp, going.Finalizers = ptr(metav1.Now()), []string{"x/y"}
	at := snapshot.Ref{Namespace: "ns", Name: "new"}
	for _, tc := range []struct {
		name string
		objs []runtime.Object
		want snapshot.VolumeStatus
	}{
		{"bound", []runtime.Object{bound, failed}, snapshot.VolumeStatus{Ref: at, Bound: true, Size: "2Gi", Token: "t"}},
		{"pending", []runtime.Object{pending(), storageClass("fast", driverName)}, snapshot.VolumeStatus{Ref: at, Token: "t"}},
		{"failing", []runtime.Object{pending(), storageClass("fast", driverName), failed}, snapshot.VolumeStatus{Ref: at, Token: "t", Problem: "disk full"}},
		{"waiting for a pod", []runtime.Object{pending(), late}, snapshot.VolumeStatus{Ref: at, Token: "t", Waiting: true}},
		{"wanted by a pod", []runtime.Object{pending(selectedNode, "n"), late, failed}, snapshot.VolumeStatus{Ref: at, Token: "t", Problem: "disk full"}},
		{"lost", []runtime.Object{lost}, snapshot.VolumeStatus{Ref: at, Token: "t", Problem: `it has lost its volume "pv-new"`}},
		{"going", []runtime.Object{going, failed}, snapshot.VolumeStatus{Ref: at, Token: "t", Deleting: true}},
		{"storage class gone", []runtime.Object{pending()}, snapshot.VolumeStatus{Ref: at, Token: "t", Problem: `there is no storage class "fast"`}},
		{"no storage class", []runtime.Object{none}, snapshot.VolumeStatus{Ref: at, Token: "t", Problem: "it has no storage class"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st, err := newWorld(t, nil, tc.objs...).Volume(t.Context(), at)
			require.NoError(t, err)
			require.Equal(t, tc.want, st)
		})
	}
}

func TestDeleteVolumeOnlyByToken(t *testing.T) {
	pvc := claim("new", "fast")
	w := newWorld(t, nil, append(storage(), pvc)...)
	at := restoreRequest().Ref
	for _, token := range []string{"", "t"} {
		require.ErrorIs(t, w.DeleteVolume(t.Context(), at, token), snapshot.ErrExists, "a claim of nobody's")
	}
	require.NoError(t, w.kube.CoreV1().PersistentVolumeClaims("ns").Delete(t.Context(), "new", metav1.DeleteOptions{}))
	require.NoError(t, w.Restore(t.Context(), restoreRequest()))
	require.ErrorIs(t, w.DeleteVolume(t.Context(), at, "u"), snapshot.ErrExists)
	require.Equal(t, "t", w.claim(t).Annotations[createdBy])
	require.NoError(t, w.DeleteVolume(t.Context(), at, "t"))
	_, err := w.Volume(t.Context(), at)
	require.ErrorIs(t, err, snapshot.ErrNotFound)
	require.NoError(t, w.DeleteVolume(t.Context(), at, "t"))
}
