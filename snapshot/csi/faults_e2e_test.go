//go:build e2e

package csi_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
)

// The cut and the readiness are told apart, each when it happens. The storage fails twice before it cuts; the controllers leave its error in place until the snapshot is ready,
// for longer than an error may last, and it does no harm.
func TestSlowStorageThatFailsAtFirst(t *testing.T) {
	t.Parallel()
	const grace = 12 * time.Second
	b := newBench(t, &snapshot.Options{ErrorGrace: grace})
	b.claim(t, "data", testcluster.StorageClass)
	class := b.SnapshotClassWith(t, "Delete", map[string]string{"failCreate": "2", "cutDelay": "1s", "readyDelay": "15s"})
	var failed, cut time.Time
	observed := b.Observed(func(st snapshot.Status) {
		switch {
		case st.Problem != "" && failed.IsZero():
			failed = time.Now()
		case !st.CutAt.IsZero() && !st.Ready && cut.IsZero():
			cut = time.Now()
			require.Empty(t, st.Problem, "what came before the cut is over")
			vs, err := b.snapshots.SnapshotV1().VolumeSnapshotContents().Get(t.Context(), st.Content, metav1.GetOptions{})
			require.NoError(t, err)
			require.NotNil(t, vs.Status.Error, "the controllers say otherwise")
		}
	})
	st, err := observed.Create(t.Context(), snapshot.Request{Ref: b.ref("s"), Volume: "data", Class: class, Token: "t"})
	require.NoError(t, err)
	require.False(t, failed.IsZero())
	require.False(t, cut.IsZero())
	require.Greater(t, time.Since(st.CutAt), grace, "ready long after the cut")
	require.Empty(t, st.Problem)
}

func TestStorageThatNeverSucceeds(t *testing.T) {
	t.Parallel()
	b := newBench(t, &snapshot.Options{ErrorGrace: 6 * time.Second, CleanUpTimeout: patience}) // the removal has that grace, too
	b.claim(t, "data", testcluster.StorageClass)
	for parameter, value := range map[string]string{"failCreate": "always", "failFinal": "true"} {
		t.Run(parameter, func(t *testing.T) {
			class := b.SnapshotClassWith(t, "Retain", map[string]string{parameter: value})
			_, err := b.Create(t.Context(), snapshot.Request{Ref: b.ref("s"), Volume: "data", Class: class, Token: "t"})
			require.ErrorIs(t, err, snapshot.ErrFailed)
			require.ErrorContains(t, err, "as asked for", "the driver's words")
			require.NotContains(t, err.Error(), "left behind")
			b.nothing(t, "s", "")
		})
	}
	storage := b.StorageClassWith(t, map[string]string{"failFinal": "true"})
	st := b.take(t, "good", "")
	_, err := b.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("new"), Snapshot: "good", Size: "16Mi", StorageClass: storage, Token: "r"})
	require.ErrorIs(t, err, snapshot.ErrFailed)
	require.ErrorContains(t, err, "as asked for", "the provisioner's words")
	_, err = b.driver.Volume(t.Context(), b.ref("new"))
	require.ErrorIs(t, err, snapshot.ErrNotFound)

	// A claim that is never made holds its snapshot, and the error of the deletion says so.
	require.NoError(t, b.driver.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("new"), Snapshot: "good", Size: "16Mi", StorageClass: storage, Token: "r"}))
	err = b.Delete(t.Context(), st.Ref, "")
	require.ErrorIs(t, err, snapshot.ErrFailed)
	require.ErrorContains(t, err, "being used to restore a PVC")
	require.NoError(t, b.driver.DeleteVolume(t.Context(), b.ref("new"), "r"))
	require.NoError(t, b.Delete(t.Context(), st.Ref, ""), "it goes in the end")
	b.nothing(t, "good", st.Content)
}

// A cancelled request whose driver is still at work leaves nothing, neither in the cluster nor in the storage.
func TestACancelledSnapshotLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	class := b.SnapshotClassWith(t, "Retain", map[string]string{"cutDelay": "2s"})
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("not needed any more")
			time.AfterFunc(after, func() { cancel(why) })
			_, err := b.Create(ctx, snapshot.Request{Ref: b.ref("s"), Volume: "data", Class: class, Token: "t"})
			require.ErrorIs(t, err, why)
			b.nothing(t, "s", "")
			require.Zero(t, b.inStorage(t, "data"))
		})
	}
}

// Not parallel: it stops what the others need. Without a snapshot-controller a snapshot is no more than its object, which goes at once. Without a csi-snapshotter its content
// stays, the error says so, and everything goes once there is one.
func TestWithoutControllers(t *testing.T) {
	b := newBench(t, &snapshot.Options{CleanUpTimeout: 8 * time.Second})
	b.claim(t, "data", testcluster.StorageClass)
	// try gives up soon after it has come so far.
	try := func(far func() bool) error {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("not needed any more")
		var watch sync.WaitGroup
		watch.Go(func() {
			for ctx.Err() == nil && !far() {
				time.Sleep(20 * time.Millisecond)
			}
			cancel(why)
		})
		_, err := b.Create(ctx, snapshot.Request{Ref: b.ref("s"), Volume: "data", Class: testcluster.RetainSnapshotClass, Token: "t"})
		cancel(nil)
		watch.Wait()
		require.ErrorIs(t, err, why)
		return err
	}
	held := func() bool {
		list, err := b.snapshots.SnapshotV1().VolumeSnapshotContents().List(t.Context(), metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(list.Items, func(c v1.VolumeSnapshotContent) bool {
			return c.Spec.VolumeSnapshotRef.Namespace == b.namespace && len(c.Finalizers) > 0
		})
	}
	b.Stop(t, testcluster.SnapshotController)
	err := try(func() bool {
		_, err := b.driver.Get(t.Context(), b.ref("s"))
		return err == nil
	})
	require.NotContains(t, err.Error(), "left behind")
	b.nothing(t, "s", "")
	b.Start(t, testcluster.SnapshotController)

	b.Stop(t, testcluster.CSISnapshotter)
	err = try(held)
	require.ErrorContains(t, err, "left behind, as the clean-up failed")
	require.ErrorContains(t, err, "snapcontent-", "it names the content")
	b.Start(t, testcluster.CSISnapshotter)
	require.Eventually(t, func() bool {
		list, err := b.snapshots.SnapshotV1().VolumeSnapshotContents().List(t.Context(), metav1.ListOptions{})
		return err == nil && !slices.ContainsFunc(list.Items, func(c v1.VolumeSnapshotContent) bool { return c.Spec.VolumeSnapshotRef.Namespace == b.namespace })
	}, patience, 50*time.Millisecond, "the content goes")
	require.Zero(t, b.inStorage(t, "data"))
	require.True(t, b.take(t, "again", "").Ready)
}

// rights are what docs/snapshots.md says that a driver needs: in the namespaces it works in, and cluster-wide.
func rights(t *testing.T) (namespaced, wide []rbacv1.PolicyRule) {
	t.Helper()
	text, err := os.ReadFile("../../docs/snapshots.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(text), "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role ")
	require.True(t, found)
	block, _, found = strings.Cut(block, "```")
	require.True(t, found)
	inNamespace, everywhere, found := strings.Cut(block, "---\n")
	require.True(t, found)
	var role rbacv1.Role
	var clusterRole rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict([]byte(inNamespace), &role))
	require.NoError(t, yaml.UnmarshalStrict([]byte(everywhere), &clusterRole))
	return role.Rules, clusterRole.Rules
}

// With the documented rights everything works; without them the error names what is missing, and nothing is left.
func TestRights(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.claim(t, "data", testcluster.StorageClass)
	namespaced, wide := rights(t)
	config := b.As(t, b.namespace, namespaced)
	d, err := csi.NewForConfig(config, nil)
	require.NoError(t, err)
	weak := snapshot.New(d, &snapshot.Options{Interval: 50 * time.Millisecond, Timeout: patience})
	req := snapshot.Request{Ref: b.ref("s"), Volume: "data", Token: "t"}
	_, err = weak.Create(t.Context(), req)
	require.ErrorIs(t, err, snapshot.ErrDenied)
	require.ErrorContains(t, err, "get persistentvolumes")
	b.nothing(t, "s", "")

	user, err := b.CoreV1().ServiceAccounts(b.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, Rules: wide}
	_, err = b.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	require.NoError(t, err)
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: b.namespace}}
	for _, account := range user.Items {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: b.namespace})
	}
	_, err = b.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, b.RbacV1().ClusterRoleBindings().Delete(context.Background(), b.namespace, metav1.DeleteOptions{}))
		require.NoError(t, b.RbacV1().ClusterRoles().Delete(context.Background(), b.namespace, metav1.DeleteOptions{}))
	})
	require.Eventually(t, func() bool { return d.Check(t.Context(), req) == nil }, patience, 20*time.Millisecond, "the server hears of the rights")

	st, err := weak.Create(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, d.Confirm(t.Context(), st.Ref, st.UID))
	_, err = weak.List(t.Context(), b.namespace, nil)
	require.NoError(t, err)
	_, err = weak.Restore(t.Context(), snapshot.RestoreRequest{Ref: b.ref("new"), Snapshot: "s", Size: "16Mi", Token: "r"})
	require.NoError(t, err)
	require.NoError(t, d.DeleteVolume(t.Context(), b.ref("new"), "r"))
	_, err = weak.Clone(t.Context(), st.Ref, snapshot.ImportRequest{Ref: b.ref("copy"), Token: "c"})
	require.NoError(t, err)
	copied, err := weak.Get(t.Context(), b.ref("copy"))
	require.NoError(t, err)
	require.NoError(t, weak.Delete(t.Context(), copied.Ref, ""))
	require.NoError(t, weak.DeleteContent(t.Context(), copied.Content))
	require.NoError(t, weak.Delete(t.Context(), st.Ref, snapshot.Delete))
	b.nothing(t, "s", st.Content)
}
