package csi

import (
	"context"
	"slices"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// eventsMost is how many events of an object are read.
const eventsMost = 50

// lastWarning returns the newest warning about an object that has one of the reasons, "" for none. What cannot be read is none: events are a help, and permission
// for them is optional.
func (d *Driver) lastWarning(ctx context.Context, kind string, o metav1.Object, reasons ...string) string {
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault // where those of cluster-wide objects are
	}
	selector := fields.Set{"involvedObject.kind": kind, "involvedObject.name": o.GetName(), "type": corev1.EventTypeWarning}
	list, err := d.kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: selector.String(), Limit: eventsMost})
	if err != nil {
		return ""
	}
	var newest time.Time
	message := ""
	for i := range list.Items {
		e := &list.Items[i]
		if e.InvolvedObject.Kind != kind || e.InvolvedObject.UID != o.GetUID() || !slices.Contains(reasons, e.Reason) {
			continue
		}
		if at := eventTime(e); message == "" || at.After(newest) {
			newest, message = at, e.Message
		}
	}
	return message
}

// eventTime is when an event was last seen.
func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// holds says why a snapshot that is being deleted is still there. The reasons are those of external-snapshotter.
func (d *Driver) holds(ctx context.Context, vs *v1.VolumeSnapshot, content *v1.VolumeSnapshotContent) []string {
	warnings := []string{d.lastWarning(ctx, "VolumeSnapshot", vs, "SnapshotDeletePending", "SnapshotContentObjectDeleteError")}
	if content != nil && content.DeletionTimestamp != nil {
		warnings = append(warnings, d.lastWarning(ctx, "VolumeSnapshotContent", content, "SnapshotDeleteError"))
	}
	return warnings
}
