package csi

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// errMissing says what a cluster without the snapshot API lacks.
const errMissing = "the cluster does not serve snapshot.storage.k8s.io/v1: the custom resource definitions of external-snapshotter and its snapshot-controller are not installed"

// unauthorized is how an API server words that its authorizer refused a request. Quotas, policies and webhooks refuse with the same status in words of their own.
// Source: k8s.io/apiserver, pkg/endpoints/handlers/responsewriters/errors.go.
var unauthorized = regexp.MustCompile(`forbidden: User "(?:[^"\\]|\\.)*" cannot \S+ (?:resource|path) "`)

// crowded is how admission refuses what may be let in later.
var crowded = regexp.MustCompile(`forbidden: (?:exceeded quota|status unknown for quota|insufficient quota|not yet ready)`)

// requestError says which request failed and why, and wraps the error of package snapshot that fits. Nil stays nil.
func requestError(ctx context.Context, verb string, o object, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", verb, o, context.Cause(ctx))
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s %s: others change it all the time; try again", verb, o)
	case absentAPI(err):
		return fmt.Errorf("%s %s: %w: %s", verb, o, snapshot.ErrUnsupported, errMissing)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s %s: %w", verb, o, snapshot.ErrNotFound)
	}
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%s %s: %w: %w", verb, o, kind, err)
	}
	return fmt.Errorf("%s %s: %w", verb, o, err)
}

// classify finds the error of package snapshot that fits an answer of the server; nil for what may succeed later.
func classify(err error) error {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonAlreadyExists:
		return snapshot.ErrExists
	case metav1.StatusReasonUnauthorized:
		return snapshot.ErrDenied
	case metav1.StatusReasonForbidden:
		switch {
		case crowded.MatchString(err.Error()):
			return nil
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return snapshot.ErrInvalid
		case unauthorized.MatchString(err.Error()), foreign(err):
			return snapshot.ErrDenied
		}
		return snapshot.ErrInvalid
	case metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonNotAcceptable,
		metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonRequestEntityTooLarge:
		return snapshot.ErrInvalid
	}
	return nil
}

// absentAPI tells whether the server does not know the path of a request at all: its answer is none of the API, or names no object.
func absentAPI(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.ErrStatus.Details
	return foreign(err) || details == nil || details.Name == "" && details.Kind == ""
}

// foreign tells whether an answer was no Status of an API server.
func foreign(err error) bool {
	return apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
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

// checkRef refuses names that are not there.
func checkRef(what string, ref snapshot.Ref) error {
	if ref.Namespace == "" || ref.Name == "" {
		return invalid("a %s needs a namespace and a name; got %q and %q", what, ref.Namespace, ref.Name)
	}
	return nil
}
