// Package csi takes snapshots through Kubernetes' VolumeSnapshot API, version v1, which the snapshot-controller and the csi-snapshotter beside each CSI driver serve.
//
// Every object is made with annotation davit.io/created-by, which holds the token of the request: a later call with the same token finds it, any other is refused.
//
// # Errors
//
// They are those of package snapshot, with the verb, the object and what the API server said. A cluster without the snapshot API is snapshot.ErrUnsupported.
// Conflicts are tried again and never reported.
//
// # Concurrency
//
// A Driver keeps no state and is safe for concurrent use.
package csi

import (
	"context"
	"fmt"

	"github.com/kubernetes-csi/external-snapshotter/client/v6/clientset/versioned"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/davit-project/davit/snapshot"
)

var (
	_ snapshot.Driver   = (*Driver)(nil)
	_ snapshot.Checker  = (*Driver)(nil)
	_ snapshot.Importer = (*Driver)(nil)
	_ snapshot.Restorer = (*Driver)(nil)
	_ snapshot.Contents = (*Driver)(nil)
	_ snapshot.Lister   = (*Driver)(nil)
)

// Annotations of the objects that a Driver makes.
const (
	// createdBy holds the token of the request that made the object.
	createdBy = "davit.io/created-by"
	// confirmed is "true" on a snapshot of a finished group.
	confirmed = "davit.io/confirmed"
)

// fieldManager is who changed what, in metadata.managedFields.
const fieldManager = "davit"

// What NewForConfig raises a configuration to: a group of ten snapshots is looked at ten times a second, with two requests for each look.
const (
	leastQPS   = 100
	leastBurst = 200
)

// Options of a Driver. Nil and the zero value are ready to use.
type Options struct {
	// ClassAnnotation is the key of an annotation that chooses the snapshot class of requests that name none, before the default classes are looked at. On
	// the storage class of the volume its value is the name of the snapshot class; otherwise the one snapshot class of the volume's driver on which it is
	// "true" is taken. Default "": only default classes count.
	ClassAnnotation string
}

// Driver speaks to a cluster's snapshot API.
type Driver struct {
	kube      kubernetes.Interface
	snapshots versioned.Interface
	opts      Options
}

// New returns a driver that uses these clients. Their limits on requests are the caller's matter: client-go's own default, 5 in a second, is too low for groups.
func New(kube kubernetes.Interface, snapshots versioned.Interface, opts *Options) *Driver {
	d := &Driver{kube: kube, snapshots: snapshots}
	if opts != nil {
		d.opts = *opts
	}
	return d
}

// NewForConfig returns a driver for a cluster. It works on a copy of the configuration, with QPS raised to 100 and Burst to 200 where they are lower and no RateLimiter is
// set; a negative QPS, no limit, stays.
func NewForConfig(cfg *rest.Config, opts *Options) (*Driver, error) {
	if cfg == nil {
		return nil, fmt.Errorf("%w: no configuration of a cluster", snapshot.ErrInvalid)
	}
	own := rest.CopyConfig(cfg)
	if own.RateLimiter == nil && own.QPS >= 0 {
		own.QPS, own.Burst = max(own.QPS, leastQPS), max(own.Burst, leastBurst)
	}
	kube, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	custom := rest.CopyConfig(own)
	custom.ContentType, custom.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON // custom resources have no protobuf
	snapshots, err := versioned.NewForConfig(custom)
	if err != nil {
		return nil, fmt.Errorf("client of the snapshot API: %w", err)
	}
	return New(kube, snapshots, opts), nil
}

// Confirm sets annotation davit.io/confirmed. The verb is patch.
func (d *Driver) Confirm(ctx context.Context, ref snapshot.Ref, uid string) error {
	if err := checkRef("snapshot", ref); err != nil {
		return err
	}
	if uid == "" {
		return invalid("snapshot %s: its UID is required", ref)
	}
	err := d.patchSnapshot(ctx, ref, patch{"metadata": patch{"annotations": patch{confirmed: "true"}}}.only(types.UID(uid)))
	if isReplaced(err) {
		return fmt.Errorf("patch %s: %w: another one has taken its name", snapshotOf(ref), snapshot.ErrExists)
	}
	return requestError(ctx, "patch", snapshotOf(ref), err)
}
