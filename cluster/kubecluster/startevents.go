package kubecluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/davit-project/davit/cluster"
)

const (
	// shownEvents is how many events an error shows.
	shownEvents = 5
	// eventsTime bounds asking for them.
	eventsTime = 5 * time.Second
	// mostEvents is how many are asked for.
	mostEvents = 200
)

// events are the last warnings about a pod, each on a line of its own, to be put behind an error. That they cannot be listed is only mentioned.
func (r *podRun) events(ctx context.Context, pod *corev1.Pod) string {
	ctx, cancel := context.WithTimeout(ctx, eventsTime)
	defer cancel()
	list, err := r.c.clients.Kube.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(pod.UID)).String(), Limit: mostEvents,
	})
	if err != nil {
		ref := cluster.Ref{APIVersion: "v1", Resource: "events", Namespace: pod.Namespace, Name: "*"}
		return fmt.Sprintf("; its events are not known: %v", requestError(ctx, "list", ref, err))
	}
	warnings := slices.DeleteFunc(list.Items, func(e corev1.Event) bool { return e.Type != corev1.EventTypeWarning || e.InvolvedObject.UID != pod.UID })
	slices.SortStableFunc(warnings, func(a, b corev1.Event) int { return lastSeen(&a).Compare(lastSeen(&b)) })
	var b strings.Builder
	for _, e := range warnings[max(0, len(warnings)-shownEvents):] {
		fmt.Fprintf(&b, "\n%s", brief(e.Reason+colon(e.Message)))
		if n := countOf(&e); n > 1 {
			fmt.Fprintf(&b, " (%d times)", n)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "; its events:" + b.String()
}

// lastSeen is when an event last happened, of whichever kind it is.
func lastSeen(e *corev1.Event) time.Time {
	if e.Series != nil {
		return e.Series.LastObservedTime.Time
	}
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}

func countOf(e *corev1.Event) int32 {
	if e.Series != nil {
		return e.Series.Count
	}
	return cmp.Or(e.Count, 1)
}
