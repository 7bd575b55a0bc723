package csi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-project/davit/internal/apifault"
	"github.com/davit-project/davit/snapshot"
)

// snapshotOf names a snapshot in errors.
func snapshotOf(ref snapshot.Ref) object { return object{resourceSnapshots, ref.Namespace, ref.Name} }

func (d *Driver) getSnapshot(ctx context.Context, ref snapshot.Ref) (*v1.VolumeSnapshot, error) {
	vs, err := d.snapshots.SnapshotV1().VolumeSnapshots(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, requestError(ctx, "get", snapshotOf(ref), err)
	}
	return vs, nil
}

func (d *Driver) getContent(ctx context.Context, name string) (*v1.VolumeSnapshotContent, error) {
	content, err := d.snapshots.SnapshotV1().VolumeSnapshotContents().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, requestError(ctx, "get", object{resource: resourceContents, name: name}, err)
	}
	return content, nil
}

// patch is a JSON merge patch.
type patch map[string]any

// only restricts a patch to the object of this UID.
func (p patch) only(uid types.UID) patch {
	if uid == "" { // client-go's fake gives none
		return p
	}
	metadata, _ := p["metadata"].(patch)
	own, whole := maps.Clone(metadata), maps.Clone(p)
	if own == nil {
		own = patch{}
	}
	own["uid"], whole["metadata"] = uid, own
	return whole
}

// patchSnapshot returns the server's answer as it is.
func (d *Driver) patchSnapshot(ctx context.Context, ref snapshot.Ref, change patch) error {
	data, err := json.Marshal(change)
	if err != nil {
		return err
	}
	return again(ctx, func() error {
		_, err := d.snapshots.SnapshotV1().VolumeSnapshots(ref.Namespace).Patch(ctx, ref.Name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}

// patchContent changes the content that was found, and no other that has taken its name: that is ErrNotFound.
func (d *Driver) patchContent(ctx context.Context, found *v1.VolumeSnapshotContent, change patch) error {
	o := object{resource: resourceContents, name: found.Name}
	data, err := json.Marshal(change.only(found.UID))
	if err != nil {
		return fmt.Errorf("patch of %s: %w", o, err)
	}
	err = again(ctx, func() error {
		_, err := d.snapshots.SnapshotV1().VolumeSnapshotContents().Patch(ctx, found.Name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
	if isReplaced(err) {
		return fmt.Errorf("patch %s: %w: another one has taken its name", o, snapshot.ErrNotFound)
	}
	return requestError(ctx, "patch", o, err)
}

// isReplaced tells whether the server refused a patch because its UID is not that of the object: a UID cannot be changed. Source: k8s.io/apimachinery, ValidateObjectMetaAccessorUpdate.
func isReplaced(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Details == nil {
		return false
	}
	return slices.ContainsFunc(status.ErrStatus.Details.Causes, func(c metav1.StatusCause) bool { return c.Field == "metadata.uid" })
}

// meta is that of an object we make.
func meta(ref snapshot.Ref, labels, annotations map[string]string, token string) metav1.ObjectMeta {
	marked := maps.Clone(annotations)
	if marked == nil {
		marked = map[string]string{}
	}
	marked[createdBy] = token
	return metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, Labels: maps.Clone(labels), Annotations: marked}
}

// adopt accepts an object that an earlier call with this token made.
func adopt(o object, found metav1.Object, token string) error {
	by, ok := found.GetAnnotations()[createdBy]
	switch {
	case !ok:
		return fmt.Errorf("create %s: %w", o, snapshot.ErrExists)
	case by != token:
		return fmt.Errorf("create %s: %w, created by %q", o, snapshot.ErrExists, by)
	case found.GetDeletionTimestamp() != nil:
		return fmt.Errorf("create %s: %w and is being deleted; wait until it is gone", o, snapshot.ErrExists)
	}
	return nil
}

// preconditions make sure that a removal meets the object that was looked at. Where the server gives no UID, as client-go's fake does, there are none.
func preconditions(found metav1.Object) metav1.DeleteOptions {
	uid := found.GetUID()
	if uid == "" {
		return metav1.DeleteOptions{}
	}
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

// gone tells whether the answer to a removal means that there is nothing left to do.
func gone(err error) bool { return apifault.Of(err) == apifault.NotFound }
