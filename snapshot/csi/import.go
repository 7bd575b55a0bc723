package csi

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/snapshot"
)

// undoTimeout is for removing what a failed Import made.
const undoTimeout = 30 * time.Second

// Import makes a VolumeSnapshot and, for it, a VolumeSnapshotContent with the handle, whose name follows from the snapshot's and the token. The snapshot comes first:
// what a crash leaves between the two is found, and removed, by the snapshot's name. A failure removes both and keeps the storage's snapshot. A content that an
// earlier import of this token left behind, because it was retained, is taken over.
//
// The content has the class's deletion policy unless the request says otherwise, and the annotations by which the driver finds its secret. The verbs are get on
// volumesnapshotclasses, list where the request names none, create and delete on volumesnapshots, and create, get, patch and delete on volumesnapshotcontents.
func (d *Driver) Import(ctx context.Context, req snapshot.ImportRequest) error {
	if err := checkImport(req); err != nil {
		return err
	}
	name := importedName(req)
	content, err := d.contentFor(ctx, req, name)
	if err != nil {
		if d.imported(ctx, req, name) {
			return nil
		}
		return err
	}
	vs := &v1.VolumeSnapshot{
		ObjectMeta: meta(req.Ref, req.Labels, req.Annotations, req.Token),
		Spec:       v1.VolumeSnapshotSpec{Source: v1.VolumeSnapshotSource{VolumeSnapshotContentName: &name}, VolumeSnapshotClassName: content.Spec.VolumeSnapshotClassName},
	}
	made, isNew, err := d.createSnapshot(ctx, vs)
	if err != nil {
		return err
	}
	if err := d.createContent(ctx, content, made); err != nil {
		if isNew {
			err = errors.Join(err, d.undoImport(ctx, req, made, name))
		}
		return err
	}
	return nil
}

// checkImport refuses what can never be imported.
func checkImport(req snapshot.ImportRequest) error {
	if err := checkRef("snapshot", req.Ref); err != nil {
		return err
	}
	if req.Token == "" || req.Driver == "" || req.Handle == "" {
		return invalid("import of snapshot %s: a token, a driver and a handle are required", req.Ref)
	}
	return checkPolicy(req.Policy)
}

// checkPolicy refuses a policy that does not exist.
func checkPolicy(p snapshot.Policy) error {
	switch p {
	case "", snapshot.Delete, snapshot.Retain:
		return nil
	}
	return invalid("policy %q: it is %s or %s", p, snapshot.Delete, snapshot.Retain)
}

// importedName is the name of the content of an import.
func importedName(req snapshot.ImportRequest) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", req.Namespace, req.Name, req.Token))
	return "davit-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:32])
}

// contentFor is the content to make.
func (d *Driver) contentFor(ctx context.Context, req snapshot.ImportRequest, name string) (*v1.VolumeSnapshotContent, error) {
	class, err := d.chooseClass(ctx, req.Class, volume{claim: "the snapshot to import", driver: req.Driver})
	if err != nil {
		return nil, err
	}
	secret, err := deletionSecret(class, name, req.Ref)
	if err != nil {
		return nil, err
	}
	if err := checkListSecret(class, name); err != nil {
		return nil, err
	}
	mode := volumeMode(req.Block)
	policy := class.DeletionPolicy
	if req.Policy != "" {
		policy = v1.DeletionPolicy(req.Policy)
	}
	return &v1.VolumeSnapshotContent{
		ObjectMeta: meta(snapshot.Ref{Name: name}, req.Labels, secret, req.Token),
		Spec: v1.VolumeSnapshotContentSpec{
			VolumeSnapshotRef:       corev1.ObjectReference{APIVersion: v1.SchemeGroupVersion.String(), Kind: kindSnapshot, Namespace: req.Namespace, Name: req.Name},
			DeletionPolicy:          policy,
			Driver:                  req.Driver,
			VolumeSnapshotClassName: &class.Name,
			Source:                  v1.VolumeSnapshotContentSource{SnapshotHandle: &req.Handle},
			SourceVolumeMode:        &mode,
		},
	}, nil
}

// imported tells whether an earlier call with this token has made everything.
func (d *Driver) imported(ctx context.Context, req snapshot.ImportRequest, name string) bool {
	vs, err := d.getSnapshot(ctx, req.Ref)
	if err != nil || adopt(snapshotOf(req.Ref), vs, req.Token) != nil {
		return false
	}
	content, err := d.getContent(ctx, name)
	return err == nil && content.DeletionTimestamp == nil && pointsAt(content, vs) && content.Spec.Driver == req.Driver && deref(content.Spec.Source.SnapshotHandle) == req.Handle
}

// createContent makes the content, or takes over the one that is there.
func (d *Driver) createContent(ctx context.Context, content *v1.VolumeSnapshotContent, vs *v1.VolumeSnapshot) error {
	o := object{resource: resourceContents, name: content.Name}
	_, err := d.snapshots.SnapshotV1().VolumeSnapshotContents().Create(ctx, content, metav1.CreateOptions{FieldManager: fieldManager})
	if !apierrors.IsAlreadyExists(err) {
		return requestError(ctx, "create", o, err)
	}
	found, err := d.getContent(ctx, content.Name)
	if err != nil {
		return err
	}
	if err := adopt(o, found, content.Annotations[createdBy]); err != nil {
		return err
	}
	if found.Spec.Driver != content.Spec.Driver || deref(found.Spec.Source.SnapshotHandle) != *content.Spec.Source.SnapshotHandle {
		return fmt.Errorf("create %s: %w, made by the same token for another handle, %q of driver %q", o, snapshot.ErrExists,
			deref(found.Spec.Source.SnapshotHandle), found.Spec.Driver)
	}
	if uid := found.Spec.VolumeSnapshotRef.UID; uid == "" || uid == vs.UID {
		return nil
	}
	return d.patchContent(ctx, found, patch{
		"metadata": patch{"annotations": patch{beingDeleted: nil}},
		"spec":     patch{"volumeSnapshotRef": patch{"uid": nil}, "deletionPolicy": content.Spec.DeletionPolicy},
	})
}

// undoImport removes what a failed call made, also when its context has ended, and keeps the storage's snapshot.
func (d *Driver) undoImport(ctx context.Context, req snapshot.ImportRequest, vs *v1.VolumeSnapshot, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	content, err := d.getContent(ctx, name)
	if err == nil && content.Annotations[createdBy] == req.Token && deref(content.Spec.Source.SnapshotHandle) == req.Handle && pointsAt(content, vs) {
		if err = d.patchContent(ctx, content, policyPatch(snapshot.Retain)); err == nil {
			err = d.snapshots.SnapshotV1().VolumeSnapshotContents().Delete(ctx, name, preconditions(content))
			err = requestError(ctx, "delete", object{resource: resourceContents, name: name}, err)
		}
	}
	if errors.Is(err, snapshot.ErrNotFound) || errors.Is(err, snapshot.ErrDenied) && content == nil {
		err = nil // who may not read contents has not made one
	}
	gone := d.snapshots.SnapshotV1().VolumeSnapshots(vs.Namespace).Delete(ctx, vs.Name, preconditions(vs))
	if gone = requestError(ctx, "delete", snapshotOf(req.Ref), gone); errors.Is(gone, snapshot.ErrNotFound) {
		gone = nil
	}
	return errors.Join(err, gone)
}

// policyPatch changes what becomes of the storage's snapshot.
func policyPatch(p snapshot.Policy) patch { return patch{"spec": patch{"deletionPolicy": string(p)}} }
