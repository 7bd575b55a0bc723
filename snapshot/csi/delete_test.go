package csi

import (
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	k8stesting "k8s.io/client-go/testing"

	"github.com/davit-project/davit/snapshot"
)

var theSnapshot = snapshot.Ref{Namespace: "ns", Name: "s"}

func TestDeleteGivesTheContentItsPolicyFirst(t *testing.T) {
	vs, content := taken()
	w := newWorld(t, nil, vs, content)
	var order []string
	w.snapshots.PrependReactor("*", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetVerb() != "get" {
			order = append(order, a.GetVerb()+" "+a.GetResource().Resource)
		}
		if d, ok := a.(k8stesting.DeleteAction); ok {
			require.Equal(t, types.UID("1"), *d.GetDeleteOptions().Preconditions.UID)
		}
		return false, nil, nil
	})
	require.NoError(t, w.Delete(t.Context(), theSnapshot, "", snapshot.Retain))
	require.Equal(t, []string{"patch volumesnapshotcontents", "delete volumesnapshots"}, order)
	require.Equal(t, v1.VolumeSnapshotContentRetain, w.content(t, "snapcontent-1").Spec.DeletionPolicy)
	require.NoError(t, w.Delete(t.Context(), theSnapshot, "", snapshot.Delete), "an absent one is no error")
	require.ErrorIs(t, w.Delete(t.Context(), theSnapshot, "", "delete"), snapshot.ErrInvalid)
}

func TestDeleteWithoutAPolicyLeavesTheContentAlone(t *testing.T) {
	vs, content := taken()
	w := newWorld(t, nil, vs, content)
	deny(&w.snapshots.Fake, "*", "volumesnapshotcontents")
	require.NoError(t, w.Delete(t.Context(), theSnapshot, "", ""))
	_, err := w.Get(t.Context(), theSnapshot)
	require.ErrorIs(t, err, snapshot.ErrNotFound)
}

func TestDeleteNeverTouchesTheContentOfAnother(t *testing.T) {
	vs, content := taken()
	content.Spec.VolumeSnapshotRef.Namespace, content.Spec.DeletionPolicy = "other", v1.VolumeSnapshotContentRetain
	w := newWorld(t, nil, vs, content)
	require.NoError(t, w.Delete(t.Context(), theSnapshot, "", snapshot.Delete))
	require.Equal(t, v1.VolumeSnapshotContentRetain, w.content(t, "snapcontent-1").Spec.DeletionPolicy)
}

func TestDeleteAwaitsTheContentOfANewSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vs, content := taken()
		vs.Status, vs.CreationTimestamp = nil, metav1.Now()
		content.Spec.DeletionPolicy = v1.VolumeSnapshotContentRetain
		w := newWorld(t, nil, vs)
		looks := 0
		w.snapshots.PrependReactor("get", "volumesnapshotcontents", func(k8stesting.Action) (bool, runtime.Object, error) {
			if looks++; looks == 3 {
				require.NoError(t, w.snapshots.Tracker().Add(content))
			}
			return false, nil, nil
		})
		require.NoError(t, w.Delete(t.Context(), theSnapshot, "", snapshot.Delete))
		require.Equal(t, v1.VolumeSnapshotContentDelete, w.content(t, "snapcontent-1").Spec.DeletionPolicy)
	})
}

// Without a finalizer there is no content, and will be none: the removal only meets the snapshot as it was seen.
func TestDeleteDoesNotWaitWhereNobodyMakesContents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vs, _ := taken()
		vs.Status, vs.CreationTimestamp, vs.Finalizers, vs.ResourceVersion = nil, metav1.Now(), nil, "7"
		w := newWorld(t, nil, vs)
		versions := 0
		w.snapshots.PrependReactor("delete", "volumesnapshots", func(a k8stesting.Action) (bool, runtime.Object, error) {
			require.Equal(t, "7", *a.(k8stesting.DeleteAction).GetDeleteOptions().Preconditions.ResourceVersion)
			versions++
			return versions == 1, nil, conflict()
		})
		begin := time.Now()
		require.NoError(t, w.Delete(t.Context(), theSnapshot, "", snapshot.Delete))
		require.Less(t, time.Since(begin), contentPatience/2)
		require.Equal(t, 2, versions)
		snaps, _ := w.counts(t)
		require.Zero(t, snaps)
	})
}

func TestDeleteMeetsAnotherSnapshotOfTheName(t *testing.T) {
	vs, content := taken()
	w := newWorld(t, nil, vs, content)
	left := 2
	w.snapshots.PrependReactor("delete", "volumesnapshots", func(k8stesting.Action) (bool, runtime.Object, error) {
		left--
		return left >= 0, nil, conflict()
	})
	require.NoError(t, w.Delete(t.Context(), theSnapshot, "", ""))
	left = 1 << 20
	require.NoError(t, w.snapshots.Tracker().Add(vs))
	err := w.Delete(t.Context(), theSnapshot, "", "")
	require.ErrorContains(t, err, "delete volumesnapshots ns/s: another one takes its place")
}

func TestDeleteContent(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) (withSnapshot bool)
		is     error
		marked bool
	}{
		{"its snapshot exists", func(*v1.VolumeSnapshot, *v1.VolumeSnapshotContent) bool { return true }, snapshot.ErrInvalid, false},
		{"its snapshot is being deleted", func(vs *v1.VolumeSnapshot, _ *v1.VolumeSnapshotContent) bool {
			vs.DeletionTimestamp = ptr(metav1.Now())
			return true
		}, nil, false},
		{"its snapshot is gone", func(_ *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) bool {
			c.Annotations = map[string]string{beingDeleted: "yes"}
			return false
		}, nil, false},
		{"its snapshot is gone unnoticed", func(*v1.VolumeSnapshot, *v1.VolumeSnapshotContent) bool { return false }, nil, true},
		{"another snapshot has the name", func(vs *v1.VolumeSnapshot, _ *v1.VolumeSnapshotContent) bool { vs.UID = "2"; return true }, nil, true},
		{"it was never bound", func(_ *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) bool {
			c.Spec.VolumeSnapshotRef.UID = ""
			return true
		}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			vs, content := taken()
			objs := []runtime.Object{content}
			if tc.change(vs, content) {
				objs = append(objs, vs)
			}
			w := newWorld(t, nil, objs...)
			marked := false
			w.snapshots.PrependReactor("patch", "volumesnapshotcontents", func(a k8stesting.Action) (bool, runtime.Object, error) {
				require.JSONEq(t, `{"metadata":{"annotations":{"`+beingDeleted+`":"yes"},"uid":"c"}}`, string(a.(k8stesting.PatchAction).GetPatch()))
				marked = true
				return false, nil, nil
			})
			err := w.DeleteContent(t.Context(), "snapcontent-1")
			has, hasErr := w.HasContent(t.Context(), "snapcontent-1")
			require.NoError(t, hasErr)
			require.Equal(t, tc.is != nil, has)
			require.Equal(t, tc.marked, marked)
			require.ErrorIs(t, err, tc.is)
			if tc.is != nil {
				require.ErrorContains(t, err, "bound to snapshot ns/s, which still exists")
				return
			}
			require.NoError(t, w.DeleteContent(t.Context(), "snapcontent-1"))
		})
	}
}

func TestDeleteContentWhereSnapshotsMayNotBeRead(t *testing.T) {
	vs, content := taken()
	w := newWorld(t, nil, vs, content)
	deny(&w.snapshots.Fake, "get", "volumesnapshots")
	require.NoError(t, w.DeleteContent(t.Context(), "snapcontent-1"))
	deny(&w.snapshots.Fake, "get", "volumesnapshotcontents")
	require.ErrorIs(t, w.DeleteContent(t.Context(), "snapcontent-1"), snapshot.ErrDenied)
	_, err := w.HasContent(t.Context(), "snapcontent-1")
	require.ErrorIs(t, err, snapshot.ErrDenied)
}

// A content that is being deleted and forgotten is changed once in a while, whoever looks; one that is still being created is left alone.
func TestAForgottenContentIsBroughtToMind(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(c *v1.VolumeSnapshotContent)
		wakes  int
	}{
		{"forgotten", func(*v1.VolumeSnapshotContent) {}, 1},
		{"reminded of long ago", func(c *v1.VolumeSnapshotContent) { c.Annotations[reminded] = "2026-01-02T03:04:05Z" }, 1},
		{"reminded of just now", func(c *v1.VolumeSnapshotContent) { c.Annotations[reminded] = time.Now().UTC().Format(time.RFC3339) }, 0},
		{"just begun", func(c *v1.VolumeSnapshotContent) { c.DeletionTimestamp = ptr(metav1.Now()) }, 0},
		{"still being created", func(c *v1.VolumeSnapshotContent) { c.Annotations[beingCreated] = "yes" }, 0},
		{"of a snapshot that stays", func(c *v1.VolumeSnapshotContent) { delete(c.Annotations, beingDeleted) }, 0},
		{"not being deleted", func(c *v1.VolumeSnapshotContent) { c.DeletionTimestamp = nil }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vs, content := taken()
				content.DeletionTimestamp, content.Finalizers, content.Annotations = ptr(metav1.NewTime(time.Now().Add(-time.Minute))), []string{"x/y"}, map[string]string{beingDeleted: "yes"}
				tc.change(content)
				w := newWorld(t, nil, vs, content)
				wakes := 0
				w.snapshots.PrependReactor("patch", "volumesnapshotcontents", func(k8stesting.Action) (bool, runtime.Object, error) {
					wakes++
					return false, nil, nil
				})
				for range 3 {
					has, err := w.HasContent(t.Context(), content.Name)
					require.NoError(t, err)
					require.True(t, has)
					_, err = w.Get(t.Context(), theSnapshot)
					require.NoError(t, err)
				}
				require.Equal(t, tc.wakes, wakes)
				deny(&w.snapshots.Fake, "patch", "volumesnapshotcontents")
				has, err := w.HasContent(t.Context(), content.Name)
				require.NoError(t, err)
				require.True(t, has)
			})
		})
	}
}
