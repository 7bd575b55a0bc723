package csi

import (
	"context"
	"errors"
	"testing"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"github.com/davit-project/davit/snapshot"
)

func importRequest() snapshot.ImportRequest {
	return snapshot.ImportRequest{Ref: snapshot.Ref{Namespace: "ns", Name: "s"}, Driver: driverName, Handle: "snap-9", Token: "t", Labels: map[string]string{"a": "b"},
		Annotations: map[string]string{"note": "x"}}
}

func secretClass() *v1.VolumeSnapshotClass {
	c := class("snaps", driverName, defaultClass, "true")
	c.Parameters = map[string]string{
		secretName: "${volumesnapshot.namespace}-${volumesnapshot.name}", secretNamespace: "${volumesnapshot.namespace}",
		listSecretName: "list", listSecretNamespace: "storage",
	}
	return c
}

func TestImportBindsASnapshotAndAContent(t *testing.T) {
	w := newWorld(t, nil, secretClass())
	req := importRequest()
	require.NoError(t, w.Import(t.Context(), req))
	vs := w.snap(t, "s")
	content := w.content(t, *vs.Spec.Source.VolumeSnapshotContentName)
	require.Equal(t, "snaps", *vs.Spec.VolumeSnapshotClassName)
	require.Equal(t, map[string]string{"note": "x", createdBy: "t"}, vs.Annotations)
	require.Equal(t, v1.VolumeSnapshotContentSpec{
		VolumeSnapshotRef: corev1.ObjectReference{APIVersion: "snapshot.storage.k8s.io/v1", Kind: "VolumeSnapshot", Namespace: "ns", Name: "s"},
		DeletionPolicy:    v1.VolumeSnapshotContentDelete, Driver: driverName, VolumeSnapshotClassName: ptr("snaps"),
		Source: v1.VolumeSnapshotContentSource{SnapshotHandle: ptr("snap-9")}, SourceVolumeMode: ptr(corev1.PersistentVolumeFilesystem),
	}, content.Spec)
	require.Equal(t, map[string]string{createdBy: "t", deletionSecretName: "ns-s", deletionSecretNamespace: "ns"}, content.Annotations)
	require.Equal(t, map[string]string{"a": "b"}, content.Labels)

	require.NoError(t, w.Import(t.Context(), req), "the same token finds it")
	req.Token = "u"
	require.ErrorIs(t, w.Import(t.Context(), req), snapshot.ErrExists)
	snaps, contents := w.counts(t)
	require.Equal(t, []int{1, 1}, []int{snaps, contents})

	st, err := w.Get(t.Context(), req.Ref)
	require.NoError(t, err)
	require.Equal(t, "snap-9", st.Handle)
	require.Empty(t, st.Volume)
	require.False(t, st.Ready)
}

func TestImportOfABlockVolumeThatIsRetained(t *testing.T) {
	w := newWorld(t, nil, class("snaps", driverName))
	req := importRequest()
	req.Class, req.Policy, req.Block = "snaps", snapshot.Retain, true
	require.NoError(t, w.Import(t.Context(), req))
	content := w.content(t, importedName(req))
	require.Equal(t, v1.VolumeSnapshotContentRetain, content.Spec.DeletionPolicy)
	require.Equal(t, corev1.PersistentVolumeBlock, *content.Spec.SourceVolumeMode)
	require.NotContains(t, content.Annotations, deletionSecretName)
	other := req
	other.Name = "s2"
	require.NotEqual(t, importedName(req), importedName(other))
	require.LessOrEqual(t, len(importedName(req)), 63)
}

func TestImportRefusals(t *testing.T) {
	with := func(change func(*v1.VolumeSnapshotClass)) *v1.VolumeSnapshotClass {
		c := secretClass()
		change(c)
		return c
	}
	for _, tc := range []struct {
		name   string
		class  *v1.VolumeSnapshotClass
		change func(*snapshot.ImportRequest)
		is     error
		says   string
	}{
		{"no handle", secretClass(), func(r *snapshot.ImportRequest) { r.Handle = "" }, snapshot.ErrInvalid, "handle"},
		{"no token", secretClass(), func(r *snapshot.ImportRequest) { r.Token = "" }, snapshot.ErrInvalid, "token"},
		{"no such policy", secretClass(), func(r *snapshot.ImportRequest) { r.Policy = "delete" }, snapshot.ErrInvalid, `policy "delete"`},
		{"no class", class("other", otherDriver, defaultClass, "true"), func(*snapshot.ImportRequest) {}, snapshot.ErrNoClass, "other (driver disk.example.com)"},
		{"class of another driver", secretClass(), func(r *snapshot.ImportRequest) { r.Driver = otherDriver; r.Class = "snaps" }, snapshot.ErrNoClass,
			`the snapshot to import is on driver "disk.example.com"`},
		{"secret without namespace", with(func(c *v1.VolumeSnapshotClass) { delete(c.Parameters, secretNamespace) }), func(*snapshot.ImportRequest) {}, snapshot.ErrInvalid, "go together"},
		{"unknown token of a template", with(func(c *v1.VolumeSnapshotClass) { c.Parameters[secretNamespace] = "${volumesnapshot.name}" }), func(*snapshot.ImportRequest) {},
			snapshot.ErrInvalid, "it may not have volumesnapshot.name there"},
		{"list secret by snapshot", with(func(c *v1.VolumeSnapshotClass) { c.Parameters[listSecretNamespace] = "${volumesnapshot.namespace}" }), func(*snapshot.ImportRequest) {},
			snapshot.ErrInvalid, "it may not have volumesnapshot.namespace there"},
		{"no name of a secret", with(func(c *v1.VolumeSnapshotClass) { c.Parameters[secretName] = "A_B" }), func(*snapshot.ImportRequest) {}, snapshot.ErrInvalid, `"A_B"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil, tc.class)
			req := importRequest()
			tc.change(&req)
			err := w.Import(t.Context(), req)
			require.ErrorIs(t, err, tc.is)
			require.ErrorContains(t, err, tc.says)
			snaps, contents := w.counts(t)
			require.Equal(t, []int{0, 0}, []int{snaps, contents}, "nothing is made")
		})
	}
}

// A host that dies between the two creations leaves the snapshot, which the next call completes and Delete removes.
func TestImportAfterACrashHalfway(t *testing.T) {
	w := newWorld(t, nil, secretClass())
	half := importRequest()
	name := importedName(half)
	_, err := w.snapshots.SnapshotV1().VolumeSnapshots("ns").Create(t.Context(), &v1.VolumeSnapshot{
		ObjectMeta: meta(half.Ref, nil, nil, "t"), Spec: v1.VolumeSnapshotSpec{Source: v1.VolumeSnapshotSource{VolumeSnapshotContentName: &name}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	st, err := w.Get(t.Context(), half.Ref)
	require.NoError(t, err)
	require.Equal(t, "its content "+name+" is missing", st.Problem)
	require.NoError(t, w.Import(t.Context(), half))
	require.Equal(t, "snap-9", *w.content(t, name).Spec.Source.SnapshotHandle)
}

func TestAFailedImportLeavesNothing(t *testing.T) {
	w := newWorld(t, nil, secretClass())
	deny(&w.snapshots.Fake, "create", "volumesnapshotcontents")
	err := w.Import(t.Context(), importRequest())
	require.ErrorIs(t, err, snapshot.ErrDenied)
	require.ErrorContains(t, err, "create volumesnapshotcontents davit-")
	snaps, contents := w.counts(t)
	require.Equal(t, []int{0, 0}, []int{snaps, contents})
}

// The server has made the content, but its answer is lost: what is removed is the object, not what it stands for.
func TestAnImportWhoseAnswerIsLostKeepsTheStoragesSnapshot(t *testing.T) {
	w := newWorld(t, nil, secretClass())
	ctx, cancel := context.WithCancelCause(t.Context())
	w.snapshots.PrependReactor("create", "volumesnapshotcontents", func(a k8stesting.Action) (bool, runtime.Object, error) {
		require.NoError(t, w.snapshots.Tracker().Add(a.(k8stesting.CreateAction).GetObject()))
		cancel(errors.New("the host stops"))
		return true, nil, context.Canceled
	})
	err := w.Import(ctx, importRequest())
	require.ErrorContains(t, err, "the host stops")
	snaps, contents := w.counts(t)
	require.Equal(t, []int{0, 0}, []int{snaps, contents})
	var did []string
	for _, a := range w.snapshots.Actions() {
		if p, ok := a.(k8stesting.PatchAction); ok {
			did = append(did, string(p.GetPatch()))
		}
		if a.GetVerb() == "delete" {
			did = append(did, "delete "+a.GetResource().Resource)
		}
	}
	require.Equal(t, []string{`{"spec":{"deletionPolicy":"Retain"}}`, "delete volumesnapshotcontents", "delete volumesnapshots"}, did)
}

// A failure that concerns an import of an earlier call does not remove it.
func TestALaterFailureKeepsAnEarlierImport(t *testing.T) {
	w := newWorld(t, nil, secretClass())
	require.NoError(t, w.Import(t.Context(), importRequest()))
	deny(&w.snapshots.Fake, "create", "volumesnapshotcontents")
	require.Error(t, w.Import(t.Context(), importRequest()))
	snaps, contents := w.counts(t)
	require.Equal(t, []int{1, 1}, []int{snaps, contents})
	deny(&w.snapshots.Fake, "list", "volumesnapshotclasses")
	require.NoError(t, w.Import(t.Context(), importRequest()), "it is whole")
}

func TestImportTakesOverTheContentThatItsDeletionRetained(t *testing.T) {
	w := newWorld(t, nil, secretClass())
	req := importRequest()
	require.NoError(t, w.Import(t.Context(), req))
	name := importedName(req)
	require.NoError(t, w.patchContent(t.Context(), w.content(t, name), patch{
		"metadata": map[string]any{"annotations": map[string]string{beingDeleted: "yes"}},
		"spec":     map[string]any{"volumeSnapshotRef": map[string]string{"uid": "gone"}, "deletionPolicy": "Retain"},
	}))
	require.NoError(t, w.snapshots.SnapshotV1().VolumeSnapshots("ns").Delete(t.Context(), "s", metav1.DeleteOptions{}))
	require.NoError(t, w.Import(t.Context(), req))
	content := w.content(t, name)
	require.Empty(t, content.Spec.VolumeSnapshotRef.UID)
	require.Equal(t, "s", content.Spec.VolumeSnapshotRef.Name)
	require.NotContains(t, content.Annotations, beingDeleted)
	require.Equal(t, v1.VolumeSnapshotContentDelete, content.Spec.DeletionPolicy)

	require.NoError(t, w.snapshots.SnapshotV1().VolumeSnapshots("ns").Delete(t.Context(), "s", metav1.DeleteOptions{}))
	req.Handle = "snap-10"
	err := w.Import(t.Context(), req)
	require.ErrorIs(t, err, snapshot.ErrExists)
	require.ErrorContains(t, err, `"snap-9"`)
	snaps, contents := w.counts(t)
	require.Equal(t, []int{0, 1}, []int{snaps, contents}, "what this call made is gone, what it found is not")
}
