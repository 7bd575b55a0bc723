package kubecluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-project/davit/cluster"
)

func TestWorkloadsThatCannotBe(t *testing.T) {
	c := answer(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is to be asked") })
	for _, w := range []cluster.Workload{
		{Kind: "DaemonSet", Namespace: "a", Name: "b"}, {Kind: "", Namespace: "a", Name: "b"}, {Kind: "StatefulSet", Name: "b"}, {Kind: "StatefulSet", Namespace: "a"},
		{Kind: "StatefulSet", Namespace: "a", Name: "../b"},
	} {
		_, err := c.Scale(t.Context(), w, 1, "t")
		require.ErrorIs(t, err, cluster.ErrInvalid)
		require.ErrorIs(t, c.AwaitScaled(t.Context(), w, 1), cluster.ErrInvalid)
		_, err = c.WorkloadPods(t.Context(), w)
		require.ErrorIs(t, err, cluster.ErrInvalid)
	}
	w := cluster.Workload{Kind: "StatefulSet", Namespace: "a", Name: "b"}
	_, err := c.Scale(t.Context(), w, -1, "t")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	_, err = c.Scale(t.Context(), w, 1, "")
	require.ErrorIs(t, err, cluster.ErrInvalid)
	require.ErrorIs(t, c.AwaitScaled(t.Context(), w, -1), cluster.ErrInvalid)
}

// racing serves a StatefulSet that somebody else changes before each of the first patches.
type racing struct {
	mu          sync.Mutex
	others      int
	version     int
	replicas    int
	annotations map[string]string
}

func (s *racing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPatch {
		if s.others > 0 {
			s.others, s.version, s.replicas = s.others-1, s.version+1, s.replicas+1
		}
		var patch struct {
			Metadata metav1.ObjectMeta
			Spec     struct{ Replicas int }
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &patch); err != nil || patch.Metadata.ResourceVersion != fmt.Sprint(s.version) {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, status(409, "Conflict", "the object has been modified"))
			return
		}
		s.version, s.replicas, s.annotations = s.version+1, patch.Spec.Replicas, patch.Metadata.Annotations
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": map[string]any{"replicas": s.replicas},
		"metadata": map[string]any{"name": "db", "namespace": "a", "resourceVersion": fmt.Sprint(s.version), "annotations": s.annotations}})
}

func TestScaleGivesWay(t *testing.T) {
	w := cluster.Workload{Kind: "StatefulSet", Namespace: "a", Name: "db"}
	s := &racing{others: 3, replicas: 2}
	original, err := answer(t, s.ServeHTTP).Scale(t.Context(), w, 0, "t")
	require.NoError(t, err)
	require.Equal(t, int32(5), original, "what others made of it")
	require.Equal(t, 0, s.replicas)
	require.JSONEq(t, `{"token":"t","original":5}`, s.annotations[scaledBy])
}

func TestScaleMarks(t *testing.T) {
	mark := func(text string) (scaleMark, bool, error) {
		w := &workload{Metadata: metav1.ObjectMeta{Annotations: map[string]string{scaledBy: text}}}
		w.Spec.Replicas = new(int32)
		return w.mark("t")
	}
	got, repeated, err := mark(`{"token":"t","original":3}`)
	require.NoError(t, err)
	require.True(t, repeated)
	require.Equal(t, scaleMark{"t", 3}, got)
	got, repeated, err = mark(`{"token":"other","original":3}`)
	require.NoError(t, err)
	require.False(t, repeated)
	require.Equal(t, scaleMark{"t", 0}, got)
	for _, text := range []string{"", "null", "{}", `{"token":"t","original":-1}`, `{"token":"t","original":"3"}`, "t=3"} {
		_, _, err := mark(text)
		require.ErrorIs(t, err, cluster.ErrInvalid, text)
		require.ErrorContains(t, err, "remove the annotation")
	}
}

func TestWhatIsMissing(t *testing.T) {
	pod := func(name, owner string, change func(*corev1.Pod)) corev1.Pod {
		yes := true
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{{UID: types.UID(owner), Controller: &yes}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
		if change != nil {
			change(&p)
		}
		return p
	}
	ready := func(name string) corev1.Pod { return pod(name, "now", nil) }
	state := func(change func(*workload)) *workload {
		w := &workload{ref: cluster.Ref{Kind: "Deployment", Namespace: "a", Name: "db", Resource: "deployments", Group: "apps"}}
		two := int32(2)
		w.Spec.Replicas, w.Metadata.Generation, w.Status.ObservedGeneration = &two, 3, 3
		w.Status.Replicas, w.Status.UpdatedReplicas, w.Status.ReadyReplicas, w.Status.AvailableReplicas = 2, 2, 2, 2
		if change != nil {
			change(w)
		}
		return w
	}
	over := func(phase corev1.PodPhase) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Status.Phase = phase } }
	gone := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }
	two := owned{current: "now", all: []corev1.Pod{ready("a"), ready("b")}}
	with := func(more ...corev1.Pod) owned {
		return owned{current: "now", all: append([]corev1.Pod{ready("a"), ready("b")}, more...)}
	}
	for name, tc := range map[string]struct {
		w    *workload
		o    owned
		want string
	}{
		"all there":         {state(nil), two, ""},
		"evicted ones":      {state(nil), with(pod("c", "now", over(corev1.PodFailed)), pod("d", "now", over(corev1.PodSucceeded))), ""},
		"ended, on its way": {state(nil), with(pod("c", "now", func(p *corev1.Pod) { gone(p); p.Status.Phase = corev1.PodFailed })), "pod c is being removed"},
		"on its way out":    {state(nil), with(pod("c", "now", gone)), "pod c is being removed"},
		"old one":           {state(nil), with(pod("c", "before", nil)), "pod c is of an earlier revision"},
		"not seen":          {state(func(w *workload) { w.Metadata.Generation = 4 }), two, "its controller has not seen the last change yet"},
		"others scale":      {state(func(w *workload) { *w.Spec.Replicas = 7 }), two, "spec.replicas is 7"},
		"no revision":       {state(nil), owned{all: two.all}, `ReplicaSet of revision "": not found`},
		"not ready": {state(func(w *workload) { w.Status.ReadyReplicas = 1 }), owned{current: "now", all: []corev1.Pod{ready("a"), pod("b", "now", func(p *corev1.Pod) {
			p.Status.Conditions[0].Status = corev1.ConditionFalse
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}}}}
		})}}, "status has 2 replicas, 2 updated, 1 ready, 2 available; 1 ready pods; pod b is Running, not ready: container c is waiting: CrashLoopBackOff: back-off"},
		"not scheduled": {state(nil), owned{current: "now", all: []corev1.Pod{ready("a"), pod("b", "now", func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
				Reason: "Unschedulable", Message: strings.Repeat("0/1 nodes ", 100)}}}
		})}}, "1 ready pods; pod b is Pending: Unschedulable: 0/1 nodes"},
	} {
		got := tc.w.compare(tc.o, 2)
		if tc.want == "" {
			require.Empty(t, got, name)
		}
		require.Contains(t, got, tc.want, name)
		require.Less(t, len(got), 1000)
	}
	partial := state(func(w *workload) {
		w.ref.Kind, w.Spec.UpdateStrategy.Type, w.Status.UpdatedReplicas = "StatefulSet", "OnDelete", 0
	})
	require.Empty(t, partial.compare(two, 2))
	partial.Spec.UpdateStrategy.Type, partial.Spec.UpdateStrategy.RollingUpdate.Partition = "RollingUpdate", 1
	require.Empty(t, partial.compare(two, 2))
	partial.Spec.UpdateStrategy.RollingUpdate.Partition = 0
	require.Contains(t, partial.compare(two, 2), "0 updated")

	many := owned{current: "now"}
	for i := range 100 {
		many.all = append(many.all, pod(fmt.Sprint(i), "now", gone))
	}
	require.Contains(t, state(nil).compare(many, 0), "and 95 more")
}

func TestSelectors(t *testing.T) {
	w := &workload{ref: cluster.Ref{Kind: "StatefulSet"}}
	for selector, want := range map[string]string{
		`{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"Exists"}]}`: "a=b,c", `[]`: "", `{}`: "", ``: "",
	} {
		w.Spec.Selector = json.RawMessage(selector)
		require.Equal(t, want, w.selector(), selector)
	}
	w.ref.Kind = "DeploymentConfig"
	for selector, want := range map[string]string{`{"a":"b"}`: "a=b", `{"a":1}`: "", `null`: "", ``: ""} {
		w.Spec.Selector = json.RawMessage(selector)
		require.Equal(t, want, w.selector(), selector)
	}
}
