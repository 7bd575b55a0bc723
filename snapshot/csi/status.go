package csi

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/davit-project/davit/snapshot"
)

// What external-snapshotter puts on objects. Source: its pkg/utils/util.go.
const (
	// beingCreated is on a content while its driver is asked for the snapshot.
	beingCreated = "snapshot.storage.kubernetes.io/volumesnapshot-being-created"
	// beingDeleted is on a content whose snapshot is deleted; without it, a content that was bound is not removed.
	beingDeleted = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
	// contentPrefix with a snapshot's UID is the name of the content made for it.
	contentPrefix = "snapcontent-"
)

// unnoticed is how old an object is that no controller has noticed when this is a problem.
const unnoticed = 30 * time.Second

// superseded is how the controllers word that they met each other; they try again at once.
const superseded = "the object has been modified; please apply your changes to the latest version"

// listLooks is how many contents List looks at at once.
const listLooks = 8

// Get returns what the snapshot and its content tell together. Content is named as soon as its name is certain, which may be a moment before it exists; Handle
// and everything else of a content, its name too, count only when it points back at the snapshot, and only then the snapshot is Ready. The problem is what either reports; while it
// is being deleted, what the last warning says that holds it. That nobody has noticed the snapshot or its content for 30 seconds is a problem, too.
// A content that is forgotten while it is being deleted is brought to mind, as HasContent says. The verbs are get on volumesnapshots and volumesnapshotcontents, and list on
// events, without which problems of deletion are not found.
func (d *Driver) Get(ctx context.Context, ref snapshot.Ref) (snapshot.Status, error) {
	if err := checkRef("snapshot", ref); err != nil {
		return snapshot.Status{}, err
	}
	vs, err := d.getSnapshot(ctx, ref)
	if err != nil {
		return snapshot.Status{}, err
	}
	status, _, err := d.status(ctx, vs)
	return status, err
}

// List looks at the contents of all of them, too. The verbs are list on volumesnapshots and those of Get.
func (d *Driver) List(ctx context.Context, namespace string, with map[string]string) ([]snapshot.Status, error) {
	if namespace == "" {
		return nil, invalid("a list of snapshots needs a namespace")
	}
	selector, err := labels.ValidatedSelectorFromSet(with)
	if err != nil {
		return nil, invalid("labels of the snapshots to list: %v", err)
	}
	list, err := d.snapshots.SnapshotV1().VolumeSnapshots(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, requestError(ctx, "list", object{resource: resourceSnapshots, namespace: namespace}, err)
	}
	found := make([]snapshot.Status, len(list.Items)) // the server sorts by name
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(listLooks)
	for i := range list.Items {
		g.Go(func() (err error) {
			found[i], _, err = d.status(gctx, &list.Items[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

// status looks at the content of a snapshot and tells what both say. The content is nil where the snapshot has none of its own.
func (d *Driver) status(ctx context.Context, vs *v1.VolumeSnapshot) (snapshot.Status, *v1.VolumeSnapshotContent, error) {
	content, name, err := d.contentOf(ctx, vs)
	if err != nil {
		return snapshot.Status{}, nil, err
	}
	status := statusOf(vs)
	status.Content = name
	var problems []string
	switch {
	case content == nil:
		status.Ready = false
		problems = append(problems, absentContent(vs, name))
	case !pointsAt(content, vs):
		status.Ready, status.Content = false, "" // whoever removes the snapshot must not remove what is another's
		problems = append(problems, misbound(content, vs))
		content = nil
	default:
		addContent(&status, content)
		problems = append(problems, contentProblem(content, status.CutAt))
	}
	if vs.Status != nil && !status.Ready {
		problems = append(problems, problemOf(vs.Status.Error, status.CutAt))
	}
	if status.Deleting {
		problems = append(problems, d.holds(ctx, vs, content)...)
	}
	if content != nil {
		d.remind(ctx, content)
	}
	status.Problem = join(problems)
	return status, content, nil
}

// contentOf finds the content of a snapshot, and its name before it exists. It may belong to another snapshot: pointsAt tells.
func (d *Driver) contentOf(ctx context.Context, vs *v1.VolumeSnapshot) (*v1.VolumeSnapshotContent, string, error) {
	var name string
	switch {
	case vs.Status != nil && deref(vs.Status.BoundVolumeSnapshotContentName) != "":
		name = *vs.Status.BoundVolumeSnapshotContentName
	case deref(vs.Spec.Source.VolumeSnapshotContentName) != "":
		name = *vs.Spec.Source.VolumeSnapshotContentName
	case vs.UID != "":
		name = contentPrefix + string(vs.UID)
	default:
		return nil, "", nil
	}
	content, err := d.getContent(ctx, name)
	if errors.Is(err, snapshot.ErrNotFound) {
		return nil, name, nil
	}
	return content, name, err
}

// pointsAt tells whether a content belongs to the snapshot. One made for it by hand or by Import has no UID until the controller binds it.
func pointsAt(content *v1.VolumeSnapshotContent, vs *v1.VolumeSnapshot) bool {
	ref := content.Spec.VolumeSnapshotRef
	return ref.Namespace == vs.Namespace && ref.Name == vs.Name && (ref.UID == vs.UID || ref.UID == "" && content.Spec.Source.SnapshotHandle != nil)
}

// statusOf tells what the snapshot alone says.
func statusOf(vs *v1.VolumeSnapshot) snapshot.Status {
	status := snapshot.Status{
		Ref:       snapshot.Ref{Namespace: vs.Namespace, Name: vs.Name},
		UID:       string(vs.UID),
		Volume:    deref(vs.Spec.Source.PersistentVolumeClaimName),
		Class:     deref(vs.Spec.VolumeSnapshotClassName),
		Token:     vs.Annotations[createdBy],
		Confirmed: vs.Annotations[confirmed] == "true",
		Deleting:  vs.DeletionTimestamp != nil,
		Labels:    vs.Labels,
	}
	if s := vs.Status; s != nil {
		if s.CreationTime != nil && s.CreationTime.Unix() > 0 { // a driver that does not say when is passed on as 1970
			status.CutAt = s.CreationTime.Time
		}
		if s.RestoreSize != nil && s.RestoreSize.Sign() > 0 {
			status.RestoreSize = s.RestoreSize.String()
		}
		status.Ready = deref(s.ReadyToUse)
	}
	return status
}

// addContent adds what the content says. It knows of a cut before the snapshot does, and to the nanosecond.
func addContent(status *snapshot.Status, content *v1.VolumeSnapshotContent) {
	status.Driver = content.Spec.Driver
	status.Policy = snapshot.Policy(content.Spec.DeletionPolicy)
	status.Handle = deref(content.Spec.Source.SnapshotHandle)
	if status.Class == "" {
		status.Class = deref(content.Spec.VolumeSnapshotClassName)
	}
	status.Ready = status.Ready && content.Spec.VolumeSnapshotRef.UID != ""
	s := content.Status
	if s == nil {
		return
	}
	if handle := deref(s.SnapshotHandle); handle != "" {
		status.Handle = handle
	}
	if s.CreationTime != nil && *s.CreationTime > 0 {
		status.CutAt = time.Unix(0, *s.CreationTime)
	}
	if size := deref(s.RestoreSize); size > 0 && status.RestoreSize == "" {
		status.RestoreSize = resource.NewQuantity(size, resource.BinarySI).String()
	}
}

// absentContent says what a snapshot without its content lacks.
func absentContent(vs *v1.VolumeSnapshot, name string) string {
	bound := vs.Status != nil && deref(vs.Status.BoundVolumeSnapshotContentName) != ""
	switch {
	case vs.DeletionTimestamp != nil:
		return ""
	case bound || vs.Spec.Source.VolumeSnapshotContentName != nil:
		return fmt.Sprintf("its content %s is missing", name)
	case unnoticedYet(vs) && old(vs):
		return "no snapshot-controller has noticed it: is one running?"
	}
	return ""
}

// misbound says whose the content is.
func misbound(content *v1.VolumeSnapshotContent, vs *v1.VolumeSnapshot) string {
	ref := content.Spec.VolumeSnapshotRef
	if ref.Namespace == vs.Namespace && ref.Name == vs.Name {
		return fmt.Sprintf("content %s belongs to an earlier snapshot of this name", content.Name)
	}
	return fmt.Sprintf("content %s belongs to another snapshot, %s/%s", content.Name, ref.Namespace, ref.Name)
}

// contentProblem tells what is wrong with a content.
func contentProblem(content *v1.VolumeSnapshotContent, cut time.Time) string {
	switch {
	case content.Status != nil && !deref(content.Status.ReadyToUse):
		return problemOf(content.Status.Error, cut)
	case content.Status == nil && content.Annotations[beingCreated] == "" && content.DeletionTimestamp == nil && old(content):
		return fmt.Sprintf("no csi-snapshotter of driver %q has noticed content %s: is it running?", content.Spec.Driver, content.Name)
	}
	return ""
}

// unsettled is a code of an error after which the driver may be at work all the same. Source: external-snapshotter, isCSIFinalError.
var unsettled = regexp.MustCompile(`code = (?:Canceled|DeadlineExceeded|Unavailable|ResourceExhausted|Aborted)\b`)

// problemOf is the text of a reported error. The csi-snapshotter leaves an error of the creation in place until the snapshot is ready, which may be hours after
// a later try has cut it, or has found that the first one did: once it is cut, an error that is older is over, and so is one that left open what became of the request.
func problemOf(reported *v1.VolumeSnapshotError, cut time.Time) string {
	if reported == nil {
		return ""
	}
	message := deref(reported.Message)
	switch {
	case strings.Contains(message, superseded):
		return ""
	case !cut.IsZero() && (unsettled.MatchString(message) || reported.Time != nil && reported.Time.Time.Before(cut)):
		return ""
	case message == "":
		return "an error without a message"
	}
	return message
}

// join joins problems, without what another says too.
func join(problems []string) string {
	var kept []string
	for i, p := range problems {
		said := p == ""
		for j, other := range problems {
			said = said || j != i && strings.Contains(other, p) && (other != p || j < i)
		}
		if !said {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "; ")
}

// old tells whether controllers have had time to notice an object. Where the clock of the host is behind, they have a little more.
func old(o metav1.Object) bool {
	made := o.GetCreationTimestamp()
	return !made.IsZero() && time.Since(made.Time) > unnoticed
}

// deref is the value, or the zero value for nil.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
