//go:build e2e

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/internal/testcluster"
)

// TestOnACluster runs the example as its comment says.
func TestOnACluster(t *testing.T) {
	t.Parallel()
	c := testcluster.Open(t)
	namespace, class := c.Namespace(t, nil), testcluster.StorageClass
	claims := c.CoreV1().PersistentVolumeClaims(namespace)
	_, err := claims.Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("16Mi")}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	bound := func(name string) bool {
		claim, err := claims.Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		return claim.Status.Phase == corev1.ClaimBound
	}
	require.Eventually(t, func() bool { return bound("data") }, time.Minute, 50*time.Millisecond)
	require.NoError(t, run(t.Context(), []string{
		"--kubeconfig", c.Kubeconfig, "--namespace", namespace, "--claim", "data", "--snapshot-class", testcluster.SnapshotClass, "--storage-class", class,
	}))
	require.True(t, bound("data-restored"))
}
