package testcluster

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Parts of storage that a test can stop and start. The others end when they lose the driver, and start again by themselves.
const (
	CSIDriver          = "csi-driver"
	CSIProvisioner     = "csi-provisioner"
	CSISnapshotter     = "csi-snapshotter"
	SnapshotController = "snapshot-controller"
)

// DriverName is a CSI driver with volumes that are mounted, not block volumes, and snapshots that have one moment of a whole volume: what was written before
// creationTime is in them. Any user writes to a new volume. Nothing holds a volume to its size. All volumes are one file system: do not freeze it.
//
// A handle of a snapshot stays good while the driver keeps the snapshot, with Kubernetes or without: make one with RetainSnapshotClass, and delete the
// VolumeSnapshot and its content, and it is only in the storage. Whoever made it there deletes it, through a content with the deletion policy Delete; or it
// goes with the cluster.
//
// Parameters of classes, of a test's own SnapshotClassWith or StorageClassWith, make the driver misbehave; it refuses those it does not know, and counts anew
// when it is started again:
//
//	cutDelay       of snapshots: a duration that passes from the first call until the cut
//	createDelay    of volumes: the same until a volume is made
//	readyDelay     of snapshots: a duration from the cut, at creationTime, until readyToUse; no volume is made of a snapshot before
//	failCreate     how many calls to create each snapshot, or volume, fail with the code Internal; or "always"
//	failFinal      "true": each call to create fails with the code InvalidArgument
//	deleteFails    how many calls to delete each snapshot, or volume, fail with the code Internal; or "always"
//	requireSecret  of snapshots, "true": calls fail with the code Unauthenticated unless they come with a secret that has the key "token" and the value
//	               that the snapshot was made with
//
// Whence a call has its secret: to create one from the parameters csi.storage.k8s.io/snapshotter-secret-name and -namespace of its class; to list one, which
// is how a content with a handle becomes ready, from csi.storage.k8s.io/snapshotter-list-secret-name and -namespace of the class that the content names; to
// delete one from the annotations snapshot.storage.kubernetes.io/deletion-secret-name and -namespace of its content, which Kubernetes adds to contents that it
// makes. A test deletes such snapshots itself: the secret may go with the namespace first.
const DriverName = "csi.test.davit.io"

// OtherDriverName is a driver of the same kind, with storage of its own, that has no class of snapshots and nothing that makes them.
const OtherDriverName = "other.csi.test.davit.io"

// Storage classes.
const (
	// StorageClass is the default: claims are bound at once to volumes of DriverName.
	StorageClass = "davit-test"
	// LateStorageClass binds a claim when a pod wants it.
	LateStorageClass = "davit-test-late"
	// OtherStorageClass has volumes of OtherDriverName.
	OtherStorageClass = "davit-test-other"
)

// Classes of snapshots of DriverName.
const (
	// SnapshotClass is the default, with the deletion policy Delete.
	SnapshotClass = "davit-test"
	// RetainSnapshotClass has the deletion policy Retain.
	RetainSnapshotClass = "davit-test-retain"
)

// SnapshotClassWith makes a class of snapshots of DriverName, with a deletion policy and parameters. It goes with the cluster: a snapshot that is being made when
// the test ends needs its class until it can be deleted.
func (c *Client) SnapshotClassWith(t testing.TB, policy string, parameters map[string]string) string {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	require.NoError(t, err)
	classes := client.Resource(schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshotclasses"})
	name := "t-" + strings.ToLower(rand.Text()[:8])
	given := map[string]any{}
	for key, value := range parameters {
		given[key] = value
	}
	_, err = classes.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "metadata": map[string]any{"name": name},
		"driver": DriverName, "deletionPolicy": policy, "parameters": given,
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return name
}

// StorageClassWith makes a storage class of DriverName, with parameters, that goes with the test. Claims are bound at once.
func (c *Client) StorageClassWith(t testing.TB, parameters map[string]string) string {
	t.Helper()
	name := "t-" + strings.ToLower(rand.Text()[:8])
	classes := c.StorageV1().StorageClasses()
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: DriverName, Parameters: parameters}
	_, err := classes.Create(t.Context(), class, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, classes.Delete(context.Background(), name, metav1.DeleteOptions{})) })
	return name
}
