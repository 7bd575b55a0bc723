package csi_test

import (
	"context"
	"fmt"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	fakesnapshots "github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned/fake"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/davit-project/davit/snapshot"
	"github.com/davit-project/davit/snapshot/csi"
)

// A driver asks; a snapshot.Snapshotter around it waits until the snapshot is ready. In a cluster, NewForConfig makes the clients.
func ExampleNew() {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data"},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pv-1"},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-1"}}
	volume.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com"}
	class := &v1.VolumeSnapshotClass{ObjectMeta: metav1.ObjectMeta{Name: "disk-snapshots"}, Driver: "disk.example.com"}
	driver := csi.New(fake.NewClientset(claim, volume), fakesnapshots.NewSimpleClientset(class), nil)

	ctx := context.Background()
	req := snapshot.Request{Ref: snapshot.Ref{Namespace: "shop", Name: "monday"}, Volume: "data", Token: "run-1"}
	fmt.Println(driver.Check(ctx, req))
	req.Class = "disk-snapshots"
	if err := driver.Create(ctx, req); err != nil {
		fmt.Println(err)
		return
	}
	st, err := driver.Get(ctx, req.Ref)
	fmt.Println(st.Class, st.Token, st.Ready, err)
	// Output:
	// no snapshot class fits: the request for shop/data names none, and no snapshot class of driver "disk.example.com" has annotation snapshot.storage.kubernetes.io/is-default-class=true; there are disk-snapshots (driver disk.example.com)
	// disk-snapshots run-1 false <nil>
}
