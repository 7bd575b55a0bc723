package csi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/kubernetes-csi/external-snapshotter/client/v6/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/snapshot"
)

// defaultClass is "true" on a snapshot class that is the default of its driver. Source: external-snapshotter, pkg/utils/util.go.
const defaultClass = "snapshot.storage.kubernetes.io/is-default-class"

// volume is what chooses a snapshot class.
type volume struct {
	claim        string // in errors
	driver       string
	storageClass string // may be empty
}

// volumeOf finds the driver of a claim's volume.
func (d *Driver) volumeOf(ctx context.Context, claim snapshot.Ref) (volume, error) {
	o := object{"persistentvolumeclaims", claim.Namespace, claim.Name}
	pvc, err := d.kube.CoreV1().PersistentVolumeClaims(claim.Namespace).Get(ctx, claim.Name, metav1.GetOptions{})
	if err != nil {
		return volume{}, requestError(ctx, "get", o, err)
	}
	vol := volume{claim: claim.String(), storageClass: storageClassOf(pvc)}
	switch {
	case pvc.DeletionTimestamp != nil:
		return vol, invalid("claim %s is being deleted, and the snapshot-controller takes no snapshots of such", claim)
	case pvc.Status.Phase == corev1.ClaimLost:
		return vol, invalid("claim %s has lost its volume %q", claim, pvc.Spec.VolumeName)
	case pvc.Status.Phase != corev1.ClaimBound || pvc.Spec.VolumeName == "":
		return vol, fmt.Errorf("claim %s is not bound to a volume yet: %s", claim, d.awaits(ctx, pvc))
	}
	pv, err := d.kube.CoreV1().PersistentVolumes().Get(ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
	err = requestError(ctx, "get", object{resource: "persistentvolumes", name: pvc.Spec.VolumeName}, err)
	switch {
	case errors.Is(err, snapshot.ErrDenied) && vol.storageClass != "":
		sc, scErr := d.kube.StorageV1().StorageClasses().Get(ctx, vol.storageClass, metav1.GetOptions{})
		if scErr != nil {
			return vol, errors.Join(err, requestError(ctx, "get", object{resource: "storageclasses", name: vol.storageClass}, scErr))
		}
		vol.driver = sc.Provisioner
	case err != nil:
		return vol, fmt.Errorf("volume of claim %s: %w", claim, err)
	case pv.Spec.CSI == nil:
		return vol, invalid("volume %s of claim %s is not one of a CSI driver: it has no snapshots in the cluster", pv.Name, claim)
	default:
		vol.driver = pv.Spec.CSI.Driver
	}
	return vol, nil
}

// storageClassOf is the claim's storage class, in the old annotation too.
func storageClassOf(pvc *corev1.PersistentVolumeClaim) string {
	if name := pvc.Annotations[corev1.BetaStorageClassAnnotation]; name != "" {
		return name
	}
	if pvc.Spec.StorageClassName == nil {
		return ""
	}
	return *pvc.Spec.StorageClassName
}

// chooseClass finds the snapshot class for a volume: the named one, the annotated one, or the default of the volume's driver.
func (d *Driver) chooseClass(ctx context.Context, name string, vol volume) (*v1.VolumeSnapshotClass, error) {
	if name == "" && d.opts.ClassAnnotation != "" && vol.storageClass != "" {
		sc, err := d.kube.StorageV1().StorageClasses().Get(ctx, vol.storageClass, metav1.GetOptions{})
		err = requestError(ctx, "get", object{resource: "storageclasses", name: vol.storageClass}, err)
		if err != nil && !errors.Is(err, snapshot.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			name = sc.Annotations[d.opts.ClassAnnotation]
		}
	}
	if name == "" {
		return d.findClass(ctx, vol)
	}
	class, err := d.snapshots.SnapshotV1().VolumeSnapshotClasses().Get(ctx, name, metav1.GetOptions{})
	err = requestError(ctx, "get", object{resource: resourceClasses, name: name}, err)
	switch {
	case errors.Is(err, snapshot.ErrNotFound):
		return nil, fmt.Errorf("%w: there is no snapshot class %q%s", snapshot.ErrNoClass, name, d.classesThere(ctx))
	case err != nil:
		return nil, err
	case class.Driver != vol.driver:
		return nil, fmt.Errorf("%w: snapshot class %q is for driver %q, but %s is on driver %q", snapshot.ErrNoClass, name, class.Driver, vol.claim, vol.driver)
	}
	return class, nil
}

// findClass finds the class of a driver by annotations.
func (d *Driver) findClass(ctx context.Context, vol volume) (*v1.VolumeSnapshotClass, error) {
	list, err := d.snapshots.SnapshotV1().VolumeSnapshotClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, requestError(ctx, "list", object{resource: resourceClasses}, err)
	}
	keys := []string{defaultClass}
	if d.opts.ClassAnnotation != "" {
		keys = []string{d.opts.ClassAnnotation, defaultClass}
	}
	for _, key := range keys {
		var fit []*v1.VolumeSnapshotClass
		var names []string
		for i := range list.Items {
			if class := &list.Items[i]; class.Driver == vol.driver && class.Annotations[key] == "true" {
				fit, names = append(fit, class), append(names, class.Name)
			}
		}
		switch {
		case len(fit) == 1:
			return fit[0], nil
		case len(fit) > 1:
			return nil, fmt.Errorf("%w: %d snapshot classes of driver %q have annotation %s: %s; name one of them in the request",
				snapshot.ErrNoClass, len(fit), vol.driver, key, strings.Join(names, ", "))
		}
	}
	return nil, fmt.Errorf("%w: the request for %s names none, and no snapshot class of driver %q has annotation %s=true%s", snapshot.ErrNoClass, vol.claim, vol.driver,
		strings.Join(keys, "=true or "), describe(list.Items))
}

// classesThere describes the classes for an error, as far as they can be listed.
func (d *Driver) classesThere(ctx context.Context) string {
	list, err := d.snapshots.SnapshotV1().VolumeSnapshotClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	return describe(list.Items)
}

// describe lists classes for an error.
func describe(classes []v1.VolumeSnapshotClass) string {
	if len(classes) == 0 {
		return "; the cluster has no snapshot classes"
	}
	const most = 20
	var names []string
	for _, class := range classes[:min(len(classes), most)] {
		names = append(names, fmt.Sprintf("%s (driver %s)", class.Name, class.Driver))
	}
	if more := len(classes) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return "; there are " + strings.Join(names, ", ")
}
