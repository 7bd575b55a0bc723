//go:build e2e

package testcluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/internal/testcluster"
)

// A pod runs, finds the API server by its name and reaches it, and is known after the API server has been away.
func TestPodsRunAndFindTheServer(t *testing.T) {
	c := testcluster.Open(t)
	ns := c.Namespace(t, nil)
	grace := int64(0)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "c", Image: testcluster.BusyboxImage, ImagePullPolicy: corev1.PullNever,
				Command: []string{"sh", "-c", `[ "$(id -u)" = 1000 ] || exit 1; until nc kubernetes.default.svc 443 </dev/null; do sleep 0.1; done`},
			}},
		},
	}
	_, err := c.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	c.Stop(t, testcluster.APIServer)
	c.Start(t, testcluster.APIServer)
	phase := corev1.PodPending
	require.Eventually(t, func() bool {
		got, err := c.CoreV1().Pods(ns).Get(t.Context(), "a", metav1.GetOptions{})
		if err == nil {
			phase = got.Status.Phase
		}
		return phase == corev1.PodSucceeded || phase == corev1.PodFailed
	}, time.Minute, 100*time.Millisecond)
	require.Equal(t, corev1.PodSucceeded, phase)
}
