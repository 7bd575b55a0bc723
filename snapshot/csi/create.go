package csi

import (
	"context"
	"errors"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/snapshot"
)

// createTries is how often a snapshot that comes and goes is looked for.
const createTries = 3

// Create makes a VolumeSnapshot of a claim, with its class written out. The claim must be bound to a volume of a CSI driver, and the class be one of that driver;
// nothing is made otherwise. The verbs are those of Check, create on volumesnapshots, and get where one of that name exists.
func (d *Driver) Create(ctx context.Context, req snapshot.Request) error {
	class, err := d.classFor(ctx, req)
	if err != nil {
		// An earlier call's snapshot stays good when the claim or the class has gone since.
		if found, getErr := d.getSnapshot(ctx, req.Ref); getErr == nil && req.Token != "" && adopt(snapshotOf(req.Ref), found, req.Token) == nil {
			return nil
		}
		return err
	}
	_, _, err = d.createSnapshot(ctx, &v1.VolumeSnapshot{
		ObjectMeta: meta(req.Ref, req.Labels, req.Annotations, req.Token),
		Spec: v1.VolumeSnapshotSpec{
			Source:                  v1.VolumeSnapshotSource{PersistentVolumeClaimName: &req.Volume},
			VolumeSnapshotClassName: &class.Name,
		},
	})
	return err
}

// Check looks at the claim, its volume and the snapshot classes. The verbs are get on persistentvolumeclaims and persistentvolumes; get on storageclasses where the
// volume may not be read, or with Options.ClassAnnotation; get on volumesnapshotclasses for a class by name, list otherwise.
func (d *Driver) Check(ctx context.Context, req snapshot.Request) error {
	_, err := d.classFor(ctx, req)
	return err
}

// classFor checks a request and finds its class.
func (d *Driver) classFor(ctx context.Context, req snapshot.Request) (*v1.VolumeSnapshotClass, error) {
	if err := checkRef("snapshot", req.Ref); err != nil {
		return nil, err
	}
	if req.Token == "" || req.Volume == "" {
		return nil, invalid("snapshot %s: a token and the name of a claim are required", req.Ref)
	}
	if err := checkMeta(snapshotOf(req.Ref), req.Labels); err != nil {
		return nil, err
	}
	vol, err := d.volumeOf(ctx, snapshot.Ref{Namespace: req.Namespace, Name: req.Volume})
	if err != nil {
		return nil, err
	}
	return d.chooseClass(ctx, req.Class, vol)
}

// createSnapshot makes the object, or accepts the one that an earlier call made.
func (d *Driver) createSnapshot(ctx context.Context, vs *v1.VolumeSnapshot) (made *v1.VolumeSnapshot, isNew bool, err error) {
	ref := snapshot.Ref{Namespace: vs.Namespace, Name: vs.Name}
	for range createTries {
		made, err = d.snapshots.SnapshotV1().VolumeSnapshots(vs.Namespace).Create(ctx, vs, metav1.CreateOptions{FieldManager: fieldManager})
		if !apierrors.IsAlreadyExists(err) {
			return made, true, requestError(ctx, "create", snapshotOf(ref), err)
		}
		found, getErr := d.getSnapshot(ctx, ref)
		switch {
		case errors.Is(getErr, snapshot.ErrNotFound): // it comes and goes
		case getErr != nil:
			return nil, false, getErr
		default:
			return found, false, adopt(snapshotOf(ref), found, vs.Annotations[createdBy])
		}
	}
	return nil, false, requestError(ctx, "create", snapshotOf(ref), err)
}
