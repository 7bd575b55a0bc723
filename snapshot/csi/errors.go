package csi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/davit-project/davit/internal/apifault"
	"github.com/davit-project/davit/snapshot"
)

// object names an object in errors: its resource as permissions spell it, and where it is.
type object struct {
	resource, namespace, name string
}

func (o object) String() string {
	switch {
	case o.namespace != "" && o.name != "":
		return fmt.Sprintf("%s %s/%s", o.resource, o.namespace, o.name)
	case o.namespace != "":
		return fmt.Sprintf("%s in namespace %q", o.resource, o.namespace)
	case o.name != "":
		return o.resource + " " + o.name
	}
	return o.resource
}

// The resources of the snapshot API.
const (
	resourceSnapshots = "volumesnapshots"
	resourceContents  = "volumesnapshotcontents"
	resourceClasses   = "volumesnapshotclasses"
)

// kindSnapshot is the kind of what refers to a snapshot.
const kindSnapshot = "VolumeSnapshot"

// errMissing says what a cluster without the snapshot API lacks.
const errMissing = "the cluster does not serve it: install the custom resource definitions volumesnapshots, volumesnapshotcontents and volumesnapshotclasses " +
	"(snapshot.storage.k8s.io, version v1) and the snapshot-controller, all of external-snapshotter"

// requestError says which request failed and why, and wraps the error of package snapshot that fits. Nil stays nil.
func requestError(ctx context.Context, verb string, o object, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", verb, o, context.Cause(ctx))
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s %s: others change it all the time; try again", verb, o)
	case apifault.Of(err) == apifault.UnknownPath:
		return fmt.Errorf("%s %s: %w: %s", verb, o, snapshot.ErrUnsupported, errMissing)
	case apifault.Of(err) == apifault.NotFound:
		return fmt.Errorf("%s %s: %w", verb, o, snapshot.ErrNotFound)
	}
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%s %s: %w: %w", verb, o, kind, err)
	}
	return fmt.Errorf("%s %s: %w", verb, o, err)
}

// classify finds the error of package snapshot that fits an answer of the server; nil for what may succeed later.
func classify(err error) error {
	switch apifault.Of(err) {
	case apifault.NotFound:
		return snapshot.ErrNotFound
	case apifault.Exists:
		return snapshot.ErrExists
	case apifault.Denied:
		return snapshot.ErrDenied
	case apifault.Refused:
		return snapshot.ErrInvalid
	default:
		return nil
	}
}

// Of a request that meets a conflict: how often it is tried, and the pause before the second try, which doubles.
const (
	conflictTries = 8
	conflictPause = 10 * time.Millisecond
)

// again repeats f while it meets conflicts.
func again(ctx context.Context, f func() error) error {
	pause := conflictPause
	for try := 1; ; try++ {
		err := f()
		if !apierrors.IsConflict(err) || try == conflictTries {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// invalid is an error for a request that can never succeed.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{snapshot.ErrInvalid}, args...)...)
}

// checkMeta refuses what the server would refuse, as it may be too late then: an application is held.
func checkMeta(o object, labels map[string]string) error {
	faults := validation.IsDNS1123Subdomain(o.name)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		for _, fault := range validation.IsQualifiedName(key) {
			faults = append(faults, fmt.Sprintf("label %q: %s", key, fault))
		}
		for _, fault := range validation.IsValidLabelValue(labels[key]) {
			faults = append(faults, fmt.Sprintf("label %q: value %q: %s", key, labels[key], fault))
		}
	}
	if len(faults) > 0 {
		return invalid("create %s: %s", o, strings.Join(faults, "; "))
	}
	return nil
}

// checkRef refuses names that are not there.
func checkRef(what string, ref snapshot.Ref) error {
	if ref.Namespace == "" || ref.Name == "" {
		return invalid("a %s needs a namespace and a name; got %q and %q", what, ref.Namespace, ref.Name)
	}
	return nil
}
