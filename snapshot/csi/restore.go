package csi

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/snapshot"
)

// Annotations of Kubernetes. Source: k8s.io/component-helpers/storage/volume and k8s.io/kubernetes, pkg/volume/util/storageclass.go.
const (
	// selectedNode is on a claim for which the scheduler has chosen a node.
	selectedNode = "volume.kubernetes.io/selected-node"
	// modeChange is "true" on a content of which volumes of another mode may be made. Source: external-provisioner, pkg/controller/controller.go.
	modeChange = "snapshot.storage.kubernetes.io/allow-volume-mode-change"
	// defaultStorage and its older form are "true" on the default storage class.
	defaultStorage     = "storageclass.kubernetes.io/is-default-class"
	defaultStorageBeta = "storageclass.beta.kubernetes.io/is-default-class"
)

// claimOf names a claim in errors.
func claimOf(ref snapshot.Ref) object {
	return object{"persistentvolumeclaims", ref.Namespace, ref.Name}
}

// Restore makes a PersistentVolumeClaim whose data source is the snapshot. It must be no smaller than the snapshot's restore size, its storage class be one of the
// snapshot's driver, and its volume mode that of the volume that the snapshot is of, unless the content has the annotation that allows another, as far as all this is known;
// nothing is made otherwise. The verbs are get on volumesnapshots, volumesnapshotcontents and storageclasses,
// list on storageclasses where the request names none, create on persistentvolumeclaims, and get where one of that name exists.
func (d *Driver) Restore(ctx context.Context, req snapshot.RestoreRequest) error {
	claim, err := d.claimFor(ctx, req)
	if err != nil {
		// An earlier call's claim stays good when the snapshot or the storage class has gone since.
		if found, getErr := d.getClaim(ctx, req.Ref); getErr == nil && req.Token != "" && adopt(claimOf(req.Ref), found, req.Token) == nil {
			return nil
		}
		return err
	}
	for range createTries {
		_, err = d.kube.CoreV1().PersistentVolumeClaims(req.Namespace).Create(ctx, claim, metav1.CreateOptions{FieldManager: fieldManager})
		if !apierrors.IsAlreadyExists(err) {
			return requestError(ctx, "create", claimOf(req.Ref), err)
		}
		found, getErr := d.getClaim(ctx, req.Ref)
		switch {
		case errors.Is(getErr, snapshot.ErrNotFound): // it comes and goes
		case getErr != nil:
			return getErr
		default:
			return adopt(claimOf(req.Ref), found, req.Token)
		}
	}
	return requestError(ctx, "create", claimOf(req.Ref), err)
}

func (d *Driver) getClaim(ctx context.Context, ref snapshot.Ref) (*corev1.PersistentVolumeClaim, error) {
	pvc, err := d.kube.CoreV1().PersistentVolumeClaims(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, requestError(ctx, "get", claimOf(ref), err)
	}
	return pvc, nil
}

// claimFor checks a request and is the claim to make.
func (d *Driver) claimFor(ctx context.Context, req snapshot.RestoreRequest) (*corev1.PersistentVolumeClaim, error) {
	if err := checkRef("claim", req.Ref); err != nil {
		return nil, err
	}
	if req.Token == "" || req.Snapshot == "" {
		return nil, invalid("claim %s: a token and the name of a snapshot are required", req.Ref)
	}
	size, err := resource.ParseQuantity(req.Size)
	if err != nil || size.Sign() <= 0 {
		return nil, invalid("claim %s: size %q must be a quantity such as 8Gi, more than zero", req.Ref, req.Size)
	}
	modes, err := accessModes(req)
	if err != nil {
		return nil, err
	}
	vs, err := d.getSnapshot(ctx, snapshot.Ref{Namespace: req.Namespace, Name: req.Snapshot})
	if err != nil {
		return nil, err
	}
	from, content, err := d.status(ctx, vs)
	if err != nil {
		return nil, err
	}
	if err := fits(req, size, from); err != nil {
		return nil, err
	}
	class, err := d.storageClass(ctx, req, from)
	if err != nil {
		return nil, err
	}
	mode := volumeMode(req.Block)
	if err := keepsMode(req, mode, content); err != nil {
		return nil, err
	}
	group := v1.GroupName
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: meta(req.Ref, req.Labels, req.Annotations, req.Token),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      modes,
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
			StorageClassName: &class,
			VolumeMode:       &mode,
			DataSource:       &corev1.TypedLocalObjectReference{APIGroup: &group, Kind: kindSnapshot, Name: req.Snapshot},
		},
	}, nil
}

// accessModes are the request's, or ReadWriteOnce.
func accessModes(req snapshot.RestoreRequest) ([]corev1.PersistentVolumeAccessMode, error) {
	known := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod}
	var modes []corev1.PersistentVolumeAccessMode
	for _, text := range req.AccessModes {
		mode := corev1.PersistentVolumeAccessMode(text)
		if !slices.Contains(known, mode) {
			return nil, invalid("claim %s: there is no access mode %q; there are %v", req.Ref, text, known)
		}
		modes = append(modes, mode)
	}
	if len(modes) == 0 {
		modes = known[:1]
	}
	return modes, nil
}

// fits refuses what the storage cannot restore.
func fits(req snapshot.RestoreRequest, size resource.Quantity, from snapshot.Status) error {
	if from.Deleting {
		return invalid("claim %s: snapshot %s is being deleted", req.Ref, from.Ref)
	}
	if from.RestoreSize == "" {
		return nil
	}
	least, err := resource.ParseQuantity(from.RestoreSize)
	if err != nil {
		return fmt.Errorf("claim %s: snapshot %s has restore size %q, which is no quantity", req.Ref, from.Ref, from.RestoreSize)
	}
	if size.Cmp(least) < 0 {
		return invalid("claim %s: size %s is too small, snapshot %s needs %s", req.Ref, req.Size, from.Ref, from.RestoreSize)
	}
	return nil
}

// volumeMode is that of block volumes, or of those with a file system.
func volumeMode(block bool) corev1.PersistentVolumeMode {
	if block {
		return corev1.PersistentVolumeBlock
	}
	return corev1.PersistentVolumeFilesystem
}

// keepsMode refuses what the provisioner would refuse again and again: a volume of another mode than the one that the snapshot is of.
func keepsMode(req snapshot.RestoreRequest, mode corev1.PersistentVolumeMode, content *v1.VolumeSnapshotContent) error {
	if content == nil || content.Spec.SourceVolumeMode == nil || *content.Spec.SourceVolumeMode == mode || content.Annotations[modeChange] == "true" {
		return nil
	}
	return invalid("claim %s: volume mode %s, but snapshot %s is of a volume of mode %s; ask for that, or let whoever may change %s %s give it annotation %s=true", req.Ref, mode, req.Snapshot,
		*content.Spec.SourceVolumeMode, resourceContents, content.Name, modeChange)
}

// storageClass finds the storage class of the claim and makes sure that it is one of the snapshot's driver.
func (d *Driver) storageClass(ctx context.Context, req snapshot.RestoreRequest, from snapshot.Status) (string, error) {
	var class *storagev1.StorageClass
	var err error
	if req.StorageClass == "" {
		class, err = d.defaultStorageClass(ctx)
	} else {
		class, err = d.getStorageClass(ctx, req.StorageClass)
		if errors.Is(err, snapshot.ErrNotFound) {
			err = invalid("there is no storage class %q", req.StorageClass)
		}
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("claim %s: %w", req.Ref, err)
	case from.Driver != "" && class.Provisioner != from.Driver:
		return "", invalid("claim %s: storage class %q is of provisioner %q, but snapshot %s is of driver %q", req.Ref, class.Name, class.Provisioner, from.Ref, from.Driver)
	}
	return class.Name, nil
}

func (d *Driver) getStorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error) {
	class, err := d.kube.StorageV1().StorageClasses().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, requestError(ctx, "get", object{resource: "storageclasses", name: name}, err)
	}
	return class, nil
}

// defaultStorageClass is the one that the cluster gives to claims without a class: the youngest default.
func (d *Driver) defaultStorageClass(ctx context.Context) (*storagev1.StorageClass, error) {
	list, err := d.kube.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, requestError(ctx, "list", object{resource: "storageclasses"}, err)
	}
	var found *storagev1.StorageClass
	for i := range list.Items {
		class := &list.Items[i]
		if class.Annotations[defaultStorage] != "true" && class.Annotations[defaultStorageBeta] != "true" {
			continue
		}
		if found == nil || found.CreationTimestamp.Before(&class.CreationTimestamp) {
			found = class
		}
	}
	if found == nil {
		return nil, invalid("the cluster has no default storage class: name one")
	}
	return found, nil
}
