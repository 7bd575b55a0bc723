package csi

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/davit-project/davit/snapshot"
)

// Volume tells what is known of a claim. Its problem is the last warning of the provisioner, for the claim itself does not tell. The verbs are get on
// persistentvolumeclaims and storageclasses, and list on events, without which problems are not found.
func (d *Driver) Volume(ctx context.Context, ref snapshot.Ref) (snapshot.VolumeStatus, error) {
	if err := checkRef("claim", ref); err != nil {
		return snapshot.VolumeStatus{}, err
	}
	pvc, err := d.getClaim(ctx, ref)
	if err != nil {
		return snapshot.VolumeStatus{}, err
	}
	status := snapshot.VolumeStatus{Ref: ref, Token: pvc.Annotations[createdBy], Deleting: pvc.DeletionTimestamp != nil}
	if from := pvc.Spec.DataSource; from != nil && from.Kind == kindSnapshot {
		status.Snapshot = from.Name
	}
	switch {
	case pvc.Status.Phase == corev1.ClaimBound:
		status.Bound = true
		if size, ok := pvc.Status.Capacity[corev1.ResourceStorage]; ok {
			status.Size = size.String()
		}
		return status, nil
	case pvc.Status.Phase == corev1.ClaimLost:
		status.Problem = fmt.Sprintf("it has lost its volume %q", pvc.Spec.VolumeName)
		return status, nil
	case status.Deleting:
		return status, nil
	}
	name := storageClassOf(pvc)
	if name == "" {
		status.Problem = "it has no storage class"
		return status, nil
	}
	class, err := d.getStorageClass(ctx, name)
	switch {
	case errors.Is(err, snapshot.ErrNotFound):
		status.Problem = fmt.Sprintf("there is no storage class %q", name)
		return status, nil
	case err != nil:
		return status, err
	}
	status.Waiting = waits(pvc, class)
	if !status.Waiting {
		status.Problem = d.lastWarning(ctx, "PersistentVolumeClaim", pvc, "ProvisioningFailed", "VolumeMismatch", "ClaimMisbound")
	}
	return status, nil
}

// waits tells whether a claim's volume is only made when a pod uses the claim, and none does yet.
func waits(pvc *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) bool {
	return pvc.Annotations[selectedNode] == "" && class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// awaits says what a claim waits for that is not bound.
func (d *Driver) awaits(ctx context.Context, pvc *corev1.PersistentVolumeClaim) string {
	name := storageClassOf(pvc)
	if name == "" {
		return "it has no storage class, and waits for a volume made by hand"
	}
	class, err := d.getStorageClass(ctx, name)
	switch {
	case errors.Is(err, snapshot.ErrNotFound):
		return fmt.Sprintf("there is no storage class %q", name)
	case err == nil && waits(pvc, class):
		return fmt.Sprintf("storage class %q makes its volume when a pod first uses it", name)
	}
	if why := d.lastWarning(ctx, "PersistentVolumeClaim", pvc, "ProvisioningFailed", "VolumeMismatch", "ClaimMisbound"); why != "" {
		return fmt.Sprintf("storage class %q: %s", name, why)
	}
	return fmt.Sprintf("it waits for storage class %q to make one", name)
}

// DeleteVolume asks for the removal of a claim that Restore made. The verbs are get and delete on persistentvolumeclaims.
func (d *Driver) DeleteVolume(ctx context.Context, ref snapshot.Ref, token string) error {
	if err := checkRef("claim", ref); err != nil {
		return err
	}
	for range deleteTries {
		pvc, err := d.getClaim(ctx, ref)
		if errors.Is(err, snapshot.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if by, ok := pvc.Annotations[createdBy]; !ok || by != token {
			return fmt.Errorf("delete %s: %w, made by another", claimOf(ref), snapshot.ErrExists)
		}
		if pvc.DeletionTimestamp != nil {
			return nil
		}
		err = d.kube.CoreV1().PersistentVolumeClaims(ref.Namespace).Delete(ctx, ref.Name, preconditions(pvc))
		if apierrors.IsNotFound(err) {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return requestError(ctx, "delete", claimOf(ref), err)
		}
	}
	return fmt.Errorf("delete %s: another one takes its place all the time", claimOf(ref))
}
