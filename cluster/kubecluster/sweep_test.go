package kubecluster

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testclient "k8s.io/client-go/testing"
)

// paged makes a server list pods in pages of two, the second of which comes too late once.
func (s *server) paged(pods []corev1.Pod) {
	expired := false
	s.PrependReactor("list", "pods", func(a testclient.Action) (bool, runtime.Object, error) {
		from := 0
		fmt.Sscan(a.(testclient.ListActionImpl).ListOptions.Continue, &from)
		if from > 0 && !expired {
			expired = true
			return true, nil, apierrors.NewResourceExpired("the pages took too long")
		}
		page := &corev1.PodList{Items: pods[from:min(from+2, len(pods))]}
		if from+2 < len(pods) {
			page.Continue = fmt.Sprint(from + 2)
		}
		return true, page, nil
	})
}

func TestSweepTakesAllPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		var pods []corev1.Pod
		for i := range 5 {
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("task-", i), Namespace: "app", Labels: map[string]string{"davit.io/run": "r"}}}
			require.NoError(t, s.Tracker().Add(&pod))
			pods = append(pods, pod)
		}
		s.paged(pods)
		s.fail("list", "pods", 2, unavailable)
		left, err := s.cluster(t, io.Discard).Sweep(t.Context(), map[string]string{"davit.io/run": "r"})
		require.NoError(t, err)
		require.Empty(t, left)
		deleted := 0
		for _, a := range s.Actions() {
			if a.GetVerb() == "delete" {
				deleted++
			}
		}
		require.Len(t, pods, deleted, "each is removed once")
		for _, pod := range pods {
			_, err := s.Clientset.CoreV1().Pods("app").Get(t.Context(), pod.Name, metav1.GetOptions{})
			require.True(t, apierrors.IsNotFound(err), "%v", err)
		}
	})
}

func TestSweepSaysWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		require.NoError(t, s.Tracker().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "task", Namespace: "app", Labels: map[string]string{"davit.io/run": "r"}}}))
		s.fail("delete", "pods", always, deny("delete", "pods"))
		c := s.cluster(t, io.Discard)
		left, err := c.Sweep(t.Context(), map[string]string{"davit.io/run": "r"})
		require.NoError(t, err)
		require.Len(t, left, 1)
		require.Contains(t, left[0], "pod app/task could not be removed: delete pods app/task: permission denied: ")

		s.fail("list", "pods", always, unavailable)
		left, err = c.Sweep(t.Context(), map[string]string{"davit.io/run": "r"})
		require.NoError(t, err)
		require.Len(t, left, 1)
		require.Contains(t, left[0], "pods of all namespaces: list pods *: ")
	})
}
