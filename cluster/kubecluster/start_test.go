package kubecluster

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

// waits is a pod whose container waits for a reason.
func waits(name, reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: name, Image: "i", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
}

func unscheduled(reason string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: "0/1 nodes"}}}
}

func TestPodThatCannotStart(t *testing.T) {
	for name, tc := range map[string]struct {
		status  corev1.PodStatus
		after   time.Duration
		want    string
		invalid bool
	}{
		"image":              {waits("container", "ErrImagePull", "no route"), time.Minute, `cannot start: for 1m0s: container container, image "i": ErrImagePull: no route`, false},
		"image, backing off": {waits("container", "ImagePullBackOff", ""), time.Minute, `ImagePullBackOff`, false},
		"image, never":       {waits("container", "ErrImageNeverPull", "not present"), 0, `container container, image "i": ErrImageNeverPull: not present`, false},
		"image, no name":     {waits("container", "InvalidImageName", "a b"), 0, "InvalidImageName: a b", true},
		"configuration":      {waits("container", "CreateContainerConfigError", `secret "s" not found`), 15 * time.Second, `for 15s: container container, image "i": CreateContainerConfigError: secret "s" not found`, false},
		"creation":           {waits("container", "CreateContainerError", "x"), 15 * time.Second, "CreateContainerError", false},
		"start":              {waits("container", "RunContainerError", "x"), 15 * time.Second, "RunContainerError", false},
		"root":               {waits("container", "CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), 0, "Policy.RunAsImage", true},
		"no numeric user":    {waits("container", "CreateContainerConfigError", "container has runAsNonRoot and image has non-numeric user (app)"), 0, "a numeric USER", true},
		"no node":            {unscheduled("Unschedulable"), 5 * time.Minute, "for 5m0s: unschedulable: Unschedulable: 0/1 nodes", false},
		"gates":              {unscheduled("SchedulingGated"), 5 * time.Minute, "unschedulable: SchedulingGated", false},
		"nothing at all":     {corev1.PodStatus{Phase: corev1.PodPending}, 15 * time.Minute, "for 15m0s: it does not get on: is Pending", false},
		"creating for ever":  {waits("container", "ContainerCreating", ""), 15 * time.Minute, "container container is waiting: ContainerCreating", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			_, took, err := drive(t, s, task(t, ""), func(t *testing.T) { s.set(t, tc.status) })
			require.ErrorContains(t, err, "pod app/task cannot start: ")
			require.ErrorContains(t, err, tc.want)
			require.InDelta(t, tc.after, took, float64(4*time.Second))
			require.Equal(t, tc.invalid, errors.Is(err, cluster.ErrInvalid))
			pods, err := s.Clientset.CoreV1().Pods("app").List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			require.Equal(t, tc.invalid, len(pods.Items) == 0, "it stays until RemovePod, unless nobody calls that")
		})
	}
}

// What passes in time is no reason to give up, nor is an init container that takes long.
func TestPodThatStartsLate(t *testing.T) {
	s := newServer()
	init := corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{{Name: "first",
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(second(0))}}}}}
	set := func(wait time.Duration, status corev1.PodStatus) func(*testing.T) {
		return func(t *testing.T) { time.Sleep(wait); s.set(t, status) }
	}
	_, _, err := drive(t, s, task(t, ""),
		set(0, unscheduled("Unschedulable")),
		set(4*time.Minute, waits("container", "ErrImagePull", "")),
		set(20*time.Second, waits("container", "ImagePullBackOff", "")),
		set(20*time.Second, waits("container", "CreateContainerConfigError", "")),
		set(5*time.Second, waits("container", "ErrImagePull", "")),
		set(50*time.Second, init),
		set(3*time.Hour, waits("container", "PodInitializing", "")),
		set(10*time.Minute, running()),
		set(0, over(corev1.PodSucceeded, 0, "Completed", "")))
	require.NoError(t, err)
}

// beside is a pod whose main container runs, and another one waits for a reason.
func beside(name, reason string) corev1.PodStatus {
	status := running()
	status.ContainerStatuses = append(status.ContainerStatuses, waits(name, reason, "").ContainerStatuses...)
	return status
}

// The main container may wait for another one that cannot start.
func TestPodOneOfWhoseContainersCannotStart(t *testing.T) {
	pod := task(t, "initContainers: [{name: proxy, image: i, restartPolicy: Always}]")
	pod.Others = []cluster.Container{{Name: "side", Image: "i"}}
	sidecar := waits("container", "ErrImagePull", "")
	sidecar.InitContainerStatuses = []corev1.ContainerStatus{{Name: "proxy", State: running().ContainerStatuses[0].State}}
	injected := waits("container", "ContainerCreating", "")
	injected.ContainerStatuses = append(injected.ContainerStatuses, waits("injected", "ImagePullBackOff", "").ContainerStatuses...)
	for name, tc := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"another one":          {beside("side", "ImagePullBackOff"), "cannot start: for 1m0s: container side"},
		"another one, idle":    {beside("side", "ContainerCreating"), "cannot start: for 15m0s: it does not get on"},
		"beside a sidecar":     {sidecar, "cannot start: for 1m0s: container container"},
		"one that is not ours": {injected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			ends := over(corev1.PodSucceeded, 0, "Completed", "")
			ends.ContainerStatuses = append(ends.ContainerStatuses, ends.ContainerStatuses[0])
			ends.ContainerStatuses[1].Name = "side"
			request, wait := pod, time.Hour
			if tc.want == "" {
				request.Others, wait = nil, 10*time.Minute
			}
			_, _, err := drive(t, s, request, func(t *testing.T) { s.set(t, tc.status) }, func(t *testing.T) { time.Sleep(wait); s.set(t, ends) })
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestEventsOfAPodThatCannotStart(t *testing.T) {
	s := newServer()
	add := func(n int, change func(*corev1.Event)) {
		e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("e", n), Namespace: "app"}, InvolvedObject: corev1.ObjectReference{UID: "uid"},
			Type: corev1.EventTypeWarning, Reason: fmt.Sprint("Reason", n), Message: "message", LastTimestamp: metav1.NewTime(second(float64(10 - n)))}
		if change != nil {
			change(e)
		}
		require.NoError(t, s.Tracker().Add(e))
	}
	for n := range 7 {
		add(n, nil)
	}
	add(7, func(e *corev1.Event) { e.Type = corev1.EventTypeNormal })
	add(8, func(e *corev1.Event) { e.InvolvedObject.UID = "other" })
	add(9, func(e *corev1.Event) {
		e.LastTimestamp, e.EventTime = metav1.Time{}, metav1.NewMicroTime(second(100))
		e.Count = 4
	})
	add(10, func(e *corev1.Event) {
		e.LastTimestamp = metav1.Time{}
		e.Series = &corev1.EventSeries{Count: 5, LastObservedTime: metav1.NewMicroTime(second(200))}
	})
	r := &podRun{c: s.cluster(t, io.Discard)}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "task", Namespace: "app", UID: "uid"}}
	require.Equal(t, "; its events:\nReason2: message\nReason1: message\nReason0: message\nReason9: message (4 times)\nReason10: message (5 times)", r.events(t.Context(), pod))
	pod.UID = "none"
	require.Empty(t, r.events(t.Context(), pod))
	s.fail("list", "events", 1, deny("list", "events"))
	require.Contains(t, r.events(t.Context(), pod), "; its events are not known: list events app/*: ")
}
