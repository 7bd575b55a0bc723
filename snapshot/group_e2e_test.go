//go:build e2e

package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/internal/testcluster"
	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
)

// groupBench is a namespace with two claims.
type groupBench struct {
	*testcluster.Client
	*snapshot.Snapshotter
	snapshots versioned.Interface
	namespace string
	holds     int
	releases  int
}

func newGroupBench(t *testing.T) *groupBench {
	t.Helper()
	t.Parallel()
	c := testcluster.Open(t)
	d, err := csi.NewForConfig(c.Config, nil)
	require.NoError(t, err)
	snapshots, err := versioned.NewForConfig(c.Config)
	require.NoError(t, err)
	b := &groupBench{Client: c, Snapshotter: snapshot.New(d, nil), snapshots: snapshots, namespace: c.Namespace(t, nil)}
	class := testcluster.StorageClass
	for i := range 2 {
		_, err := b.CoreV1().PersistentVolumeClaims(b.namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("data-", i)},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("16Mi")}},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		for _, q := range b.group("").Requests {
			claim, err := b.CoreV1().PersistentVolumeClaims(b.namespace).Get(t.Context(), q.Volume, metav1.GetOptions{})
			if err != nil || claim.Status.Phase != corev1.ClaimBound {
				return false
			}
		}
		return true
	}, time.Minute, 50*time.Millisecond, "the claims are bound")
	return b
}

func (b *groupBench) group(class string) snapshot.GroupRequest {
	var g snapshot.GroupRequest
	for i := range 2 {
		g.Requests = append(g.Requests, snapshot.Request{
			Ref: snapshot.Ref{Namespace: b.namespace, Name: fmt.Sprint("s-", i)}, Volume: fmt.Sprint("data-", i), Class: class, Token: "token",
		})
	}
	return g
}

func (b *groupBench) hooks() snapshot.Hooks {
	return snapshot.Hooks{
		Quiesce:   func(context.Context) error { b.holds++; return nil },
		Unquiesce: func(context.Context) error { b.releases++; return nil },
	}
}

func (b *groupBench) requireNothing(t *testing.T) {
	t.Helper()
	list, err := b.List(t.Context(), b.namespace, nil)
	require.NoError(t, err)
	require.Empty(t, list)
	contents, err := b.snapshots.SnapshotV1().VolumeSnapshotContents().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, c := range contents.Items {
		require.NotEqual(t, b.namespace, c.Spec.VolumeSnapshotRef.Namespace, "content %s is left", c.Name)
	}
}

// A group is held until it is cut and not until it is ready; made again, it is adopted. Without its mark it is made anew.
func TestGroupOnACluster(t *testing.T) {
	b := newGroupBench(t)
	g := b.group(b.SnapshotClassWith(t, "Delete", map[string]string{"cutDelay": "1s", "readyDelay": "10s"}))
	begin := time.Now()
	first, err := b.CreateGroup(t.Context(), g, b.hooks())
	require.NoError(t, err)
	took := time.Since(begin)
	t.Logf("held for %s of %s; from the first cut to the last: %s", first.Held, took, first.LastCut.Sub(first.FirstCut))
	require.GreaterOrEqual(t, first.Held, time.Second)
	require.Less(t, first.Held, took-2*time.Second)
	require.Equal(t, []int{1, 1}, []int{b.holds, b.releases})
	for _, st := range first.Snapshots {
		require.True(t, st.Ready && st.Confirmed, st)
	}
	again, err := b.CreateGroup(t.Context(), g, b.hooks())
	require.NoError(t, err)
	require.True(t, again.Adopted)
	require.Equal(t, 1, b.holds)
	require.NoError(t, b.Delete(t.Context(), first.Snapshots[0].Ref, ""))
	g.UntilCut = true
	anew, err := b.CreateGroup(t.Context(), g, b.hooks())
	require.NoError(t, err)
	require.False(t, anew.Adopted)
	require.NotEqual(t, first.Snapshots[1].Handle, anew.Snapshots[1].Handle)
	for _, st := range anew.Snapshots {
		require.NoError(t, b.Delete(t.Context(), st.Ref, snapshot.Delete))
	}
	b.requireNothing(t)
}

// A group that fails while its snapshots are being made leaves nothing, and lets the application go on first.
func TestAFailedGroupOnACluster(t *testing.T) {
	b := newGroupBench(t)
	class := b.SnapshotClassWith(t, "Retain", map[string]string{"cutDelay": "2s", "readyDelay": "3s"})
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		maxHold, cancel time.Duration
		is              error
	}{
		"asked for": {maxHold: 30 * time.Millisecond, is: snapshot.ErrMaxHold},
		"being cut": {maxHold: time.Second, is: snapshot.ErrMaxHold},
		"cancelled": {cancel: 300 * time.Millisecond, is: boom},
		"cut":       {cancel: 3 * time.Second, is: boom},
	} {
		g := b.group(class)
		g.MaxHold = c.maxHold
		ctx, cancel := context.WithCancelCause(t.Context())
		if c.cancel > 0 {
			time.AfterFunc(c.cancel, func() { cancel(boom) })
		}
		begin := time.Now()
		result, err := b.CreateGroup(ctx, g, b.hooks())
		cancel(nil)
		t.Logf("%s: held for %s, over after %s: %v", name, result.Held, time.Since(begin), err)
		require.ErrorIs(t, err, c.is, name)
		require.NotContains(t, err.Error(), "left behind", name)
		require.Equal(t, b.holds, b.releases, name)
		b.requireNothing(t)
	}
}
