package csi

import (
	"encoding/json"
	"testing"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	k8stesting "k8s.io/client-go/testing"

	"github.com/davit-project/davit/snapshot"
)

var cutAt = time.Date(2026, 3, 4, 5, 6, 7, 800, time.UTC)

// taken is a snapshot that is cut and ready, with its content.
func taken() (*v1.VolumeSnapshot, *v1.VolumeSnapshotContent) {
	vs := &v1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", UID: "1", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{createdBy: "t"}, Finalizers: []string{"x/y"}},
		Spec:       v1.VolumeSnapshotSpec{Source: v1.VolumeSnapshotSource{PersistentVolumeClaimName: ptr("data")}, VolumeSnapshotClassName: ptr("snaps")},
		Status: &v1.VolumeSnapshotStatus{
			BoundVolumeSnapshotContentName: ptr("snapcontent-1"), CreationTime: ptr(metav1.NewTime(cutAt.Truncate(time.Second))), ReadyToUse: ptr(true),
			RestoreSize: ptr(resource.MustParse("16Mi")),
		},
	}
	content := &v1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: "snapcontent-1", UID: "c"},
		Spec: v1.VolumeSnapshotContentSpec{
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: "ns", Name: "s", UID: "1"}, Driver: driverName, DeletionPolicy: v1.VolumeSnapshotContentDelete,
			Source: v1.VolumeSnapshotContentSource{VolumeHandle: ptr("vol")},
		},
		Status: &v1.VolumeSnapshotContentStatus{SnapshotHandle: ptr("snap-9"), CreationTime: ptr(cutAt.UnixNano()), ReadyToUse: ptr(true), RestoreSize: ptr(int64(16 << 20))},
	}
	return vs, content
}

func TestStatusOfASnapshotThatIsReady(t *testing.T) {
	vs, content := taken()
	vs.Annotations[confirmed] = "true"
	w := newWorld(t, nil, vs, content)
	st, err := w.Get(t.Context(), snapshot.Ref{Namespace: "ns", Name: "s"})
	require.NoError(t, err)
	require.True(t, st.CutAt.Equal(cutAt), "%v", st.CutAt)
	st.CutAt = time.Time{}
	require.Equal(t, snapshot.Status{
		Ref: snapshot.Ref{Namespace: "ns", Name: "s"}, UID: "1", Volume: "data", Class: "snaps", Driver: driverName, Content: "snapcontent-1", Handle: "snap-9", Ready: true,
		RestoreSize: "16Mi", Token: "t", Confirmed: true, Policy: snapshot.Delete, Labels: map[string]string{"a": "b"},
	}, st)
	_, err = w.Get(t.Context(), snapshot.Ref{Namespace: "ns", Name: "none"})
	require.ErrorIs(t, err, snapshot.ErrNotFound)
}

func TestStatus(t *testing.T) {
	failed := func(message *string, at time.Time) *v1.VolumeSnapshotError {
		return &v1.VolumeSnapshotError{Message: message, Time: ptr(metav1.NewTime(at))}
	}
	young, aged := metav1.Now(), metav1.NewTime(time.Now().Add(-time.Hour))
	for _, tc := range []struct {
		name    string
		change  func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent)
		absent  bool // no content
		cut     bool
		ready   bool
		problem string
		is      func(t *testing.T, st snapshot.Status)
	}{
		{name: "ready", change: func(*v1.VolumeSnapshot, *v1.VolumeSnapshotContent) {}, cut: true, ready: true},
		{name: "just asked for", absent: true, change: func(vs *v1.VolumeSnapshot, _ *v1.VolumeSnapshotContent) {
			vs.Status, vs.Finalizers, vs.CreationTimestamp = nil, nil, young
		}, is: func(t *testing.T, st snapshot.Status) {
			require.Equal(t, "snapcontent-1", st.Content, "its name is certain")
		}},
		{name: "nobody notices it", absent: true, problem: "no snapshot-controller has noticed it: is one running?",
			change: func(vs *v1.VolumeSnapshot, _ *v1.VolumeSnapshotContent) {
				vs.Status, vs.Finalizers, vs.CreationTimestamp = nil, nil, aged
			}},
		{name: "nobody notices its content", problem: `no csi-snapshotter of driver "dir.example.com" has noticed content snapcontent-1: is it running?`,
			change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
				vs.Status = &v1.VolumeSnapshotStatus{ReadyToUse: ptr(false), BoundVolumeSnapshotContentName: ptr(c.Name)}
				c.Status, c.CreationTimestamp = nil, aged
			}},
		{name: "the driver takes its time", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status = nil
			c.Status, c.CreationTimestamp, c.Annotations = nil, aged, map[string]string{beingCreated: "yes"}
		}},
		{name: "the content knows of the cut first", cut: true, change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status, c.Status.ReadyToUse = nil, ptr(false)
		}, is: func(t *testing.T, st snapshot.Status) {
			require.Equal(t, "16Mi", st.RestoreSize)
			require.Equal(t, "snap-9", st.Handle)
		}},
		{name: "an error of the snapshot", problem: "no such class", absent: true, change: func(vs *v1.VolumeSnapshot, _ *v1.VolumeSnapshotContent) {
			vs.Status = &v1.VolumeSnapshotStatus{Error: failed(ptr("no such class"), cutAt), ReadyToUse: ptr(false)}
		}},
		{name: "an error of the content", problem: "disk full", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status.ReadyToUse, vs.Status.CreationTime = ptr(false), nil
			c.Status = &v1.VolumeSnapshotContentStatus{Error: failed(ptr("disk full"), cutAt), ReadyToUse: ptr(false)}
		}},
		{name: "errors of both", problem: "disk full; cannot bind", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status = &v1.VolumeSnapshotStatus{Error: failed(ptr("cannot bind"), cutAt)}
			c.Status = &v1.VolumeSnapshotContentStatus{Error: failed(ptr("disk full"), cutAt)}
		}},
		{name: "the same error of both", problem: "disk full", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status = &v1.VolumeSnapshotStatus{Error: failed(ptr("disk full"), cutAt)}
			c.Status = &v1.VolumeSnapshotContentStatus{Error: failed(ptr("disk full"), cutAt)}
		}},
		{name: "an error without a message", problem: "an error without a message", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status = nil
			c.Status = &v1.VolumeSnapshotContentStatus{Error: &v1.VolumeSnapshotError{}}
		}},
		{name: "controllers that met", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status = &v1.VolumeSnapshotStatus{Error: failed(ptr(`snapshot controller failed to update s: the object has been modified; `+
				`please apply your changes to the latest version and try again`), cutAt)}
			c.Status = nil
		}},
		{name: "an error from before the cut", cut: true, change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			early := failed(ptr("busy"), cutAt.Add(-time.Second))
			vs.Status.ReadyToUse, vs.Status.Error, c.Status.ReadyToUse, c.Status.Error = ptr(false), early, ptr(false), early
		}},
		{name: "a try that was given up before the storage answered", cut: true, change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			late := failed(ptr(`failed to take snapshot of the volume v: "rpc error: code = DeadlineExceeded desc = context deadline exceeded"`), cutAt.Add(time.Minute))
			vs.Status.ReadyToUse, vs.Status.Error, c.Status.ReadyToUse, c.Status.Error = ptr(false), late, ptr(false), late
		}},
		{name: "a driver that does not answer", problem: "rpc error: code = Unavailable desc = gone", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status = nil
			c.Status = &v1.VolumeSnapshotContentStatus{Error: failed(ptr("rpc error: code = Unavailable desc = gone"), cutAt)}
		}},
		{name: "an error after the cut", cut: true, problem: "upload broke", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status.ReadyToUse, c.Status.ReadyToUse, c.Status.Error = ptr(false), ptr(false), failed(ptr("upload broke"), cutAt.Add(time.Second))
		}},
		{name: "the content is missing", absent: true, cut: true, problem: "its content snapcontent-1 is missing", change: func(*v1.VolumeSnapshot, *v1.VolumeSnapshotContent) {}},
		{name: "the content is another's", cut: true, problem: "content snapcontent-1 belongs to another snapshot, other/s",
			change: func(_ *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) { c.Spec.VolumeSnapshotRef.Namespace = "other" },
			is: func(t *testing.T, st snapshot.Status) {
				require.Empty(t, st.Content, "whoever removes this snapshot must not remove that content")
				require.Empty(t, st.Handle)
				require.Empty(t, st.Driver)
			}},
		{name: "the content is of an earlier one", cut: true, problem: "content snapcontent-1 belongs to an earlier snapshot of this name",
			change: func(_ *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) { c.Spec.VolumeSnapshotRef.UID = "0" }},
		{name: "a driver that does not say when", ready: true, change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status.CreationTime, c.Status.CreationTime = ptr(metav1.Unix(0, 0)), ptr(int64(0))
		}, is: func(t *testing.T, st snapshot.Status) { require.True(t, st.Cut(), "what is ready is cut") }},
		{name: "a driver that does not say when, and is not ready", change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status.CreationTime, vs.Status.ReadyToUse = ptr(metav1.Unix(0, 0)), ptr(false)
			c.Status.CreationTime, c.Status.ReadyToUse = ptr(int64(0)), ptr(false)
		}, is: func(t *testing.T, st snapshot.Status) { require.False(t, st.Cut()) }},
		{name: "no restore size", cut: true, ready: true, change: func(vs *v1.VolumeSnapshot, c *v1.VolumeSnapshotContent) {
			vs.Status.RestoreSize, c.Status.RestoreSize = ptr(resource.MustParse("0")), ptr(int64(0))
		}, is: func(t *testing.T, st snapshot.Status) { require.Empty(t, st.RestoreSize) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			vs, content := taken()
			tc.change(vs, content)
			objs := []runtime.Object{vs}
			if !tc.absent {
				objs = append(objs, content)
			}
			st, err := newWorld(t, nil, objs...).Get(t.Context(), snapshot.Ref{Namespace: "ns", Name: "s"})
			require.NoError(t, err)
			require.Equal(t, tc.problem, st.Problem)
			require.Equal(t, tc.ready, st.Ready)
			require.Equal(t, tc.cut, !st.CutAt.IsZero())
			if tc.is != nil {
				tc.is(t, st)
			}
		})
	}
}

func TestWhatHoldsADeletionIsInItsStatus(t *testing.T) {
	vs, content := taken()
	vs.DeletionTimestamp, content.DeletionTimestamp, content.Finalizers = ptr(metav1.Now()), ptr(metav1.Now()), []string{"x/y"}
	event := func(namespace, name, kind, uid, reason, message string, at time.Time) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.EventTypeWarning, Reason: reason, Message: message,
			InvolvedObject: corev1.ObjectReference{Kind: kind, UID: types.UID(uid)}, LastTimestamp: metav1.NewTime(at)}
	}
	w := newWorld(t, nil, vs, content,
		event("ns", "a", "VolumeSnapshot", "1", "SnapshotDeletePending", "it is being restored", cutAt),
		event("ns", "b", "VolumeSnapshot", "1", "SnapshotDeletePending", "older", cutAt.Add(-time.Hour)),
		event("ns", "c", "VolumeSnapshot", "1", "SomethingElse", "newer", cutAt.Add(time.Hour)),
		event("ns", "d", "VolumeSnapshot", "0", "SnapshotDeletePending", "of an earlier one", cutAt.Add(time.Hour)),
		event("default", "e", "VolumeSnapshotContent", "c", "SnapshotDeleteError", "Failed to delete snapshot", cutAt))
	st, err := w.Get(t.Context(), snapshot.Ref{Namespace: "ns", Name: "s"})
	require.NoError(t, err)
	require.True(t, st.Deleting)
	require.Equal(t, "it is being restored; Failed to delete snapshot", st.Problem)

	deny(&w.kube.Fake, "list", "events")
	st, err = w.Get(t.Context(), snapshot.Ref{Namespace: "ns", Name: "s"})
	require.NoError(t, err, "events are a help")
	require.Empty(t, st.Problem)
}

func TestListIsByLabels(t *testing.T) {
	vs, content := taken()
	second, third := vs.DeepCopy(), vs.DeepCopy()
	second.Name, second.UID, second.Status = "a", "2", nil
	third.Name, third.Labels = "b", nil
	w := newWorld(t, nil, vs, content, second, third)
	list, err := w.List(t.Context(), "ns", map[string]string{"a": "b"})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "a", list[0].Name)
	require.Equal(t, "snap-9", list[1].Handle)
	list, err = w.List(t.Context(), "ns", nil)
	require.NoError(t, err)
	require.Len(t, list, 3)
	_, err = w.List(t.Context(), "ns", map[string]string{"a": "not a label"})
	require.ErrorIs(t, err, snapshot.ErrInvalid)
	deny(&w.snapshots.Fake, "get", "volumesnapshotcontents")
	_, err = w.List(t.Context(), "ns", nil)
	require.ErrorIs(t, err, snapshot.ErrDenied)
}

func TestConfirmIsTriedAgainWhenOthersChangeTheSnapshot(t *testing.T) {
	vs, content := taken()
	w := newWorld(t, nil, vs, content)
	left := 3
	w.snapshots.PrependReactor("patch", "volumesnapshots", func(k8stesting.Action) (bool, runtime.Object, error) {
		left--
		return left >= 0, nil, conflict()
	})
	ref := snapshot.Ref{Namespace: "ns", Name: "s"}
	require.NoError(t, w.Confirm(t.Context(), ref, "1"))
	st, err := w.Get(t.Context(), ref)
	require.NoError(t, err)
	require.True(t, st.Confirmed)
	require.Equal(t, "t", st.Token, "other annotations stay")
	require.NoError(t, w.Confirm(t.Context(), ref, "1"))

	left = 1 << 20
	err = w.Confirm(t.Context(), ref, "1")
	require.ErrorContains(t, err, "patch volumesnapshots ns/s: others change it all the time")
	require.NotContains(t, err.Error(), "modified")
	left = 0
	require.ErrorIs(t, w.Confirm(t.Context(), snapshot.Ref{Namespace: "ns", Name: "none"}, "1"), snapshot.ErrNotFound)
	require.ErrorIs(t, w.Confirm(t.Context(), ref, ""), snapshot.ErrInvalid)
}

// replaced is how an API server refuses a patch whose UID is not that of the object.
func replaced(resource, name string) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: v1.GroupName, Kind: resource}, name, field.ErrorList{field.Invalid(field.NewPath("metadata", "uid"), "1", "field is immutable")})
}

func TestWhatHasTakenTheNameIsNotChanged(t *testing.T) {
	vs, content := taken()
	vs.UID, vs.Annotations[createdBy] = "2", "other"
	w := newWorld(t, nil, vs, content)
	w.snapshots.PrependReactor("patch", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
		var change struct{ Metadata struct{ UID string } }
		require.NoError(t, json.Unmarshal(a.(k8stesting.PatchAction).GetPatch(), &change))
		if a.GetResource().Resource == resourceContents {
			require.Equal(t, "c", change.Metadata.UID)
			return true, nil, replaced("VolumeSnapshotContent", content.Name)
		}
		require.Equal(t, "1", change.Metadata.UID)
		return true, nil, replaced("VolumeSnapshot", "s")
	})
	ref := snapshot.Ref{Namespace: "ns", Name: "s"}
	err := w.Confirm(t.Context(), ref, "1")
	require.ErrorIs(t, err, snapshot.ErrExists)
	require.EqualError(t, err, "patch volumesnapshots ns/s: already exists: another one has taken its name")
	require.NoError(t, w.Delete(t.Context(), ref, "1", snapshot.Delete))
	require.Equal(t, "other", w.snap(t, "s").Annotations[createdBy])

	content.Spec.VolumeSnapshotRef.UID = "2"
	require.NoError(t, w.snapshots.Tracker().Update(v1.SchemeGroupVersion.WithResource(resourceContents), content, ""))
	require.NoError(t, w.Delete(t.Context(), ref, "2", snapshot.Retain), "its content has gone meanwhile: there is nothing to change")
	snaps, contents := w.counts(t)
	require.Equal(t, []int{0, 1}, []int{snaps, contents})
}

// A snapshot that says of another's content that it is its own does not take that along.
func TestDeleteLeavesTheContentOfAnother(t *testing.T) {
	vs, content := taken()
	vs.Status, vs.Spec.Source = nil, v1.VolumeSnapshotSource{VolumeSnapshotContentName: &content.Name}
	content.Spec.VolumeSnapshotRef.Namespace, content.Spec.DeletionPolicy = "other", v1.VolumeSnapshotContentRetain
	w := newWorld(t, nil, vs, content)
	require.NoError(t, snapshot.New(w.Driver, nil).Delete(t.Context(), snapshot.Ref{Namespace: "ns", Name: "s"}, snapshot.Delete))
	snaps, contents := w.counts(t)
	require.Equal(t, []int{0, 1}, []int{snaps, contents})
}
