//go:build e2e

package csi_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/snapshot"
)

// Whatever the class says, the policy of a deletion decides, also right after it was changed and for a snapshot that was asked for a moment ago.
func TestThePolicyDecides(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	var all sync.WaitGroup
	for i := range 4 {
		for class, policy := range map[string]snapshot.Policy{testcluster.SnapshotClass: snapshot.Retain, testcluster.RetainSnapshotClass: snapshot.Delete} {
			all.Go(func() {
				name := fmt.Sprintf("s%d-%s", i, class)
				st := b.take(t, name, class)
				require.NoError(t, b.Delete(t.Context(), st.Ref, policy))
				_, err := b.driver.Get(t.Context(), st.Ref)
				require.ErrorIs(t, err, snapshot.ErrNotFound)
				if policy == snapshot.Delete {
					b.nothing(t, name, st.Content)
				}
				require.Equal(t, policy == snapshot.Retain, b.stored(t, st.Handle, "look-"+name), name)
			})
		}
	}
	all.Wait()
	require.Equal(t, 4, b.inStorage(t, "data"), "those that were retained")
}

// What is retained stays, with its content, until the content goes with a policy that says so.
func TestARetainedSnapshotComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	st := b.take(t, "s", testcluster.RetainSnapshotClass)
	require.Equal(t, snapshot.Retain, st.Policy)
	err := b.DeleteContent(t.Context(), st.Content)
	require.ErrorIs(t, err, snapshot.ErrInvalid)
	require.ErrorContains(t, err, "still exists")
	require.NoError(t, b.Delete(t.Context(), st.Ref, ""))
	has, err := b.driver.HasContent(t.Context(), st.Content)
	require.NoError(t, err)
	require.True(t, has)
	require.NoError(t, b.DeleteContent(t.Context(), st.Content))
	b.nothing(t, "s", st.Content)

	back, err := b.Snapshotter.Import(t.Context(), snapshot.ImportRequest{Ref: b.ref("back"), Driver: st.Driver, Handle: st.Handle, Token: "i"})
	require.NoError(t, err)
	require.Equal(t, snapshot.Delete, back.Policy, "the default class's")
	require.True(t, back.CutAt.Equal(st.CutAt), "%v %v", back.CutAt, st.CutAt)
	require.Equal(t, st.RestoreSize, back.RestoreSize)
	require.Equal(t, st.Handle, back.Handle)
	_, err = b.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("new"), Snapshot: "back", Size: "16Mi", Token: "r"})
	require.NoError(t, err)
	require.NoError(t, b.Delete(t.Context(), back.Ref, ""))
	b.nothing(t, "back", back.Content)
	require.False(t, b.stored(t, st.Handle, "look"))
}

// A content whose snapshot went without the controller, as one that was copied from another cluster, does not go by itself.
func TestAContentWithoutItsSnapshotGoes(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	st := b.take(t, "s", "")
	contents := b.snapshots.SnapshotV1().VolumeSnapshotContents()
	orphan, err := contents.Create(t.Context(), &v1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"},
		Spec: v1.VolumeSnapshotContentSpec{
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: b.namespace, Name: "lost", UID: "lost"}, DeletionPolicy: v1.VolumeSnapshotContentRetain, Driver: st.Driver,
			Source: v1.VolumeSnapshotContentSource{SnapshotHandle: &st.Handle},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		orphan, err = contents.Get(t.Context(), orphan.Name, metav1.GetOptions{})
		return err == nil && len(orphan.Finalizers) > 0
	}, patience, 20*time.Millisecond, "the controller holds it")
	require.NoError(t, b.DeleteContent(t.Context(), orphan.Name))
	b.nothing(t, "lost", orphan.Name)
	require.True(t, b.stored(t, st.Handle, "look"))
}

// A handle in storage that asks for a secret becomes a snapshot in another namespace, is cloned, and goes in the end; clones leave the storage alone.
func TestHandlesWithSecretsAndClones(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	other := b.Namespace(t, nil)
	for _, namespace := range []string{b.namespace, other} {
		_, err := b.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "storage"}, StringData: map[string]string{"token": "x"},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	const prefix = "csi.storage.k8s.io/snapshotter-"
	class := b.SnapshotClassWith(t, "Delete", map[string]string{
		"requireSecret": "true", prefix + "secret-name": "storage", prefix + "secret-namespace": "${volumesnapshot.namespace}",
		prefix + "list-secret-name": "storage", prefix + "list-secret-namespace": b.namespace,
	})
	b.claim(t, "data", testcluster.StorageClass)
	st := b.take(t, "s", class)
	_, err := b.impatient().Import(t.Context(), snapshot.ImportRequest{Ref: b.ref("bare"), Driver: st.Driver, Handle: st.Handle, Class: testcluster.SnapshotClass, Token: "b"})
	require.ErrorIs(t, err, snapshot.ErrFailed)
	require.ErrorContains(t, err, "Unauthenticated", "the storage wants the secret")
	b.nothing(t, "bare", "")

	copied, err := b.Clone(t.Context(), st.Ref, snapshot.ImportRequest{Ref: snapshot.Ref{Namespace: other, Name: "copy"}, Class: class, Token: "c"})
	require.NoError(t, err)
	require.Equal(t, st.Handle, copied.Handle)
	require.Equal(t, snapshot.Retain, copied.Policy)
	require.True(t, copied.CutAt.Equal(st.CutAt))
	_, err = b.Restore(t.Context(), snapshot.RestoreRequest{Ref: snapshot.Ref{Namespace: other, Name: "new"}, Snapshot: "copy", Size: "16Mi", Token: "r"})
	require.NoError(t, err)
	require.NoError(t, b.Delete(t.Context(), copied.Ref, ""))
	require.NoError(t, b.DeleteContent(t.Context(), copied.Content))

	moved, err := b.Clone(t.Context(), st.Ref, snapshot.ImportRequest{Ref: snapshot.Ref{Namespace: other, Name: "moved"}, Class: class, Token: "m"})
	require.NoError(t, err, "the storage still has it")
	require.NoError(t, b.Delete(t.Context(), st.Ref, snapshot.Retain))
	require.NoError(t, b.DeleteContent(t.Context(), st.Content))
	require.NoError(t, b.Delete(t.Context(), moved.Ref, snapshot.Delete), "with the secret of its own namespace")
	require.False(t, b.stored(t, st.Handle, "look"))
}
