package csi

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/davit-project/davit/snapshot"
)

// deleteTries is how often an object is deleted that is replaced by another of its name all the time.
const deleteTries = 5

// Of a snapshot that the snapshot-controller has just noticed: how long its content is given to appear before its policy is changed, and the pause between two looks.
const (
	contentPatience = 10 * time.Second
	contentPause    = 20 * time.Millisecond
)

// Delete asks for the removal of a VolumeSnapshot. With a policy, its content gets that policy first; a content that the snapshot-controller is about to make is given
// ten seconds to appear, so that the policy reaches it. The controller decides by what it has seen: the snapshot may be gone before its content, and a content whose policy
// was Retain until just now may be left to DeleteContent. The verbs are get and delete on volumesnapshots, and with a policy get and patch on volumesnapshotcontents.
func (d *Driver) Delete(ctx context.Context, ref snapshot.Ref, uid string, policy snapshot.Policy) error {
	if err := checkRef("snapshot", ref); err != nil {
		return err
	}
	if err := checkPolicy(policy); err != nil {
		return err
	}
	for range deleteTries {
		vs, err := d.getSnapshot(ctx, ref)
		if errors.Is(err, snapshot.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if uid != "" && string(vs.UID) != uid {
			return nil
		}
		if policy != "" {
			if err := d.setPolicy(ctx, vs, policy); err != nil {
				return err
			}
		}
		if vs.DeletionTimestamp != nil {
			return nil
		}
		only := preconditions(vs)
		if only.Preconditions != nil && policy != "" && unnoticedYet(vs) {
			only.Preconditions.ResourceVersion = &vs.ResourceVersion // it goes at once, or else is looked at again
		}
		err = d.snapshots.SnapshotV1().VolumeSnapshots(ref.Namespace).Delete(ctx, ref.Name, only)
		if gone(err) {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return requestError(ctx, "delete", snapshotOf(ref), err)
		}
	}
	return fmt.Errorf("delete %s: another one takes its place all the time", snapshotOf(ref))
}

// setPolicy gives the content of a snapshot a policy. A content of another snapshot is left alone.
func (d *Driver) setPolicy(ctx context.Context, vs *v1.VolumeSnapshot, policy snapshot.Policy) error {
	content, err := d.awaitContent(ctx, vs)
	if err != nil || content == nil || !pointsAt(content, vs) || content.Spec.DeletionPolicy == v1.DeletionPolicy(policy) {
		return err
	}
	if err := d.patchContent(ctx, content, policyPatch(policy)); !errors.Is(err, snapshot.ErrNotFound) {
		return err
	}
	return nil
}

// unnoticedYet tells whether the snapshot-controller has not begun with a snapshot: its first step, before a content, is a finalizer.
func unnoticedYet(vs *v1.VolumeSnapshot) bool { return vs.Status == nil && len(vs.Finalizers) == 0 }

// awaitContent returns the content of a snapshot; nil when there is none.
func (d *Driver) awaitContent(ctx context.Context, vs *v1.VolumeSnapshot) (*v1.VolumeSnapshotContent, error) {
	for began := time.Now(); ; {
		content, _, err := d.contentOf(ctx, vs)
		settled := vs.Status != nil || vs.Spec.Source.PersistentVolumeClaimName == nil || vs.DeletionTimestamp != nil || unnoticedYet(vs)
		if err != nil || content != nil || settled || time.Since(vs.CreationTimestamp.Time) > unnoticed || time.Since(began) > contentPatience {
			return content, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(contentPause):
		}
		now, err := d.getSnapshot(ctx, snapshot.Ref{Namespace: vs.Namespace, Name: vs.Name})
		switch {
		case errors.Is(err, snapshot.ErrNotFound) || err == nil && now.UID != vs.UID:
			return nil, nil
		case err != nil:
			return nil, err
		}
		vs = now
	}
}

// DeleteContent asks for the removal of a VolumeSnapshotContent. One whose snapshot still exists is snapshot.ErrInvalid: it would stay until the snapshot goes. One whose
// snapshot went without the snapshot-controller gets the annotation for which the csi-snapshotter waits. The verbs are get and delete on volumesnapshotcontents, get on
// volumesnapshots in the namespace of its snapshot, without which it is deleted unseen, and patch for the annotation.
func (d *Driver) DeleteContent(ctx context.Context, name string) error {
	if name == "" {
		return invalid("a content needs a name")
	}
	o := object{resource: resourceContents, name: name}
	for range deleteTries {
		content, err := d.getContent(ctx, name)
		if errors.Is(err, snapshot.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.release(ctx, content); err != nil {
			return err
		}
		err = d.snapshots.SnapshotV1().VolumeSnapshotContents().Delete(ctx, name, preconditions(content))
		if gone(err) {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return requestError(ctx, "delete", o, err)
		}
	}
	return fmt.Errorf("delete %s: another one takes its place all the time", o)
}

// release sees to it that nothing keeps a content that is to be deleted.
func (d *Driver) release(ctx context.Context, content *v1.VolumeSnapshotContent) error {
	at := content.Spec.VolumeSnapshotRef
	if at.UID == "" || content.Annotations[beingDeleted] != "" {
		return nil
	}
	ref := snapshot.Ref{Namespace: at.Namespace, Name: at.Name}
	vs, err := d.getSnapshot(ctx, ref)
	switch {
	case errors.Is(err, snapshot.ErrDenied):
		return nil
	case err != nil && !errors.Is(err, snapshot.ErrNotFound):
		return err
	case err == nil && vs.UID == at.UID && vs.DeletionTimestamp == nil:
		return invalid("%s %s is bound to snapshot %s, which still exists: delete that first", resourceContents, content.Name, ref)
	case err == nil && vs.UID == at.UID:
		return nil // the controller is about to do it
	}
	err = d.patchContent(ctx, content, patch{"metadata": patch{"annotations": patch{beingDeleted: "yes"}}})
	if errors.Is(err, snapshot.ErrNotFound) {
		return nil
	}
	return err
}
