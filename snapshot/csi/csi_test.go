package csi

import (
	"context"
	"errors"
	"testing"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	fakesnapshots "github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned/fake"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/davit-project/davit/snapshot"
)

const (
	driverName  = "dir.example.com"
	otherDriver = "disk.example.com"
)

// world is a cluster of fakes: its API server gives UIDs, and the test plays the controllers.
type world struct {
	*Driver
	kube      *fake.Clientset
	snapshots *fakesnapshots.Clientset
}

func newWorld(t *testing.T, opts *Options, objs ...runtime.Object) *world {
	t.Helper()
	var core, snaps []runtime.Object
	for _, o := range objs {
		switch o.(type) {
		case *v1.VolumeSnapshot, *v1.VolumeSnapshotContent, *v1.VolumeSnapshotClass:
			snaps = append(snaps, o)
		default:
			core = append(core, o)
		}
	}
	w := &world{kube: fake.NewClientset(core...), snapshots: fakesnapshots.NewSimpleClientset(snaps...)}
	w.snapshots.PrependReactor("create", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
		o, err := metaOf(a.(k8stesting.CreateAction).GetObject())
		if err == nil && o.GetUID() == "" {
			o.SetUID(types.UID("uid-of-" + o.GetName()))
		}
		return false, nil, err
	})
	w.Driver = New(w.kube, w.snapshots, opts)
	return w
}

func metaOf(o runtime.Object) (metav1.Object, error) { return o.(metav1.Object), nil }

// snap and content read what is in the cluster.
func (w *world) snap(t *testing.T, name string) *v1.VolumeSnapshot {
	t.Helper()
	vs, err := w.snapshots.SnapshotV1().VolumeSnapshots("ns").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return vs
}

func (w *world) content(t *testing.T, name string) *v1.VolumeSnapshotContent {
	t.Helper()
	c, err := w.snapshots.SnapshotV1().VolumeSnapshotContents().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return c
}

// counts tells how many objects of each kind there are.
func (w *world) counts(t *testing.T) (snaps, contents int) {
	t.Helper()
	s, err := w.snapshots.SnapshotV1().VolumeSnapshots("").List(context.Background(), metav1.ListOptions{})
	require.NoError(t, err)
	c, err := w.snapshots.SnapshotV1().VolumeSnapshotContents().List(context.Background(), metav1.ListOptions{})
	require.NoError(t, err)
	return len(s.Items), len(c.Items)
}

// ptr is a pointer to a value.
func ptr[T any](v T) *T { return &v }

func claim(name, class string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-of-" + name)},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pv-" + name, StorageClassName: &class},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
}

func pv(name, driver string) *corev1.PersistentVolume {
	p := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if driver != "" {
		p.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: "h"}
	}
	return p
}

func storageClass(name, provisioner string, annotations ...string) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: pairs(annotations)}, Provisioner: provisioner}
}

func class(name, driver string, annotations ...string) *v1.VolumeSnapshotClass {
	return &v1.VolumeSnapshotClass{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: pairs(annotations)}, Driver: driver, DeletionPolicy: v1.VolumeSnapshotContentDelete,
	}
}

func pairs(kv []string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

// data is a bound claim with a default class for its driver.
func data() []runtime.Object {
	return []runtime.Object{claim("data", "fast"), pv("pv-data", driverName), storageClass("fast", driverName), class("snaps", driverName, defaultClass, "true")}
}

func request() snapshot.Request {
	return snapshot.Request{Ref: snapshot.Ref{Namespace: "ns", Name: "s"}, Volume: "data", Token: "t", Labels: map[string]string{"a": "b"},
		Annotations: map[string]string{"note": "x", createdBy: "forged"}}
}

// conflict is how an API server refuses a change of what others have changed meanwhile.
func conflict() error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "volumesnapshots"}, "s", errors.New("the object has been modified; please apply your changes to the latest version"))
}
