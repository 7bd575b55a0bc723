package kubecluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/davit-project/davit/cluster"
)

// denial is how an API server words that its authorizer refused a request, or that a role may not be given away. Admission refuses with the
// same status and reason, in words of its own. Source: k8s.io/apiserver, pkg/endpoints/handlers/responsewriters/errors.go.
var denial = regexp.MustCompile(`forbidden: User "(?:[^"\\]|\\.)*" cannot \S+ (?:resource|path) "|is attempting to grant RBAC permissions not currently held`)

// passing is how admission refuses what may be let in later: a quota is full, a service account is not there yet, the server has just begun.
var passing = regexp.MustCompile(`forbidden: (?:exceeded quota|status unknown for quota|insufficient quota|error looking up service account|not yet ready)`)

// apiError says which request failed and why, in the server's words, and wraps the error of package cluster that fits: ErrNotFound, ErrDenied for a
// refusal by the authorizer, ErrExists, and ErrInvalid for what the server refuses for good, be it by validation or by admission. What may
// succeed later, such as a conflict, a full quota or a connection that failed, wraps none of them. A nil error stays nil.
func apiError(verb string, ref cluster.Ref, err error) error {
	if err == nil {
		return nil
	}
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%s %s: %w: %w", verb, ref, kind, err)
	}
	return fmt.Errorf("%s %s: %w", verb, ref, err)
}

// requestError is apiError for a request whose context may have ended: its cause is what went wrong then.
func requestError(ctx context.Context, verb string, ref cluster.Ref, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, ref, context.Cause(ctx))
	}
	return apiError(verb, ref, err)
}

// classify finds the error of package cluster that fits an answer of the server; nil for none.
func classify(err error) error {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonNotFound, metav1.StatusReasonGone:
		if unknownPath(err) {
			return cluster.ErrInvalid
		}
		return cluster.ErrNotFound
	case metav1.StatusReasonAlreadyExists:
		return cluster.ErrExists
	case metav1.StatusReasonUnauthorized:
		return cluster.ErrDenied
	case metav1.StatusReasonForbidden:
		return classifyForbidden(err)
	case metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonNotAcceptable,
		metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonRequestEntityTooLarge:
		return cluster.ErrInvalid
	}
	return nil
}

// classifyForbidden tells apart what shares the reason Forbidden: the authorizer, and admission with quotas and policies.
func classifyForbidden(err error) error {
	message := err.Error()
	switch {
	case denial.MatchString(message):
		return cluster.ErrDenied
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return cluster.ErrInvalid
	case passing.MatchString(message):
		return nil
	case foreign(err): // something before the API server refused: a proxy, a gateway
		return cluster.ErrDenied
	}
	return cluster.ErrInvalid
}

// unknownPath tells whether the server does not know the path of a request at all: its answer names no object, or is none of the API.
func unknownPath(err error) bool {
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
