// Package apifault tells what kind of failure an answer of a Kubernetes API server is.
//
// # Concurrency
//
// Of keeps no state.
package apifault

import (
	"errors"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kind is a kind of failure.
type Kind int

// The kinds.
const (
	// Passing is all that may succeed later: a conflict, a full quota, a connection that failed. It is no answer of the server, or one that is not for good.
	Passing Kind = iota
	// NotFound means that the named object is not there.
	NotFound
	// UnknownPath means that the server does not know the path of the request at all: its answer names no object, or is none of the API.
	UnknownPath
	// Exists means that another object has the name.
	Exists
	// Denied is a refusal by the authorizer, or by something in front of the server: a proxy, a gateway.
	Denied
	// Refused is what the server refuses for good, be it by validation or by admission.
	Refused
)

// denial is how an API server words that its authorizer refused a request, or that a role may not be given away. Admission refuses with the
// same status and reason, in words of its own. Source: k8s.io/apiserver, pkg/endpoints/handlers/responsewriters/errors.go.
var denial = regexp.MustCompile(`forbidden: User "(?:[^"\\]|\\.)*" cannot \S+ (?:resource|path) "|is attempting to grant RBAC permissions not currently held`)

// passing is how admission refuses what may be let in later: a quota is full, a service account is not there yet, the server has just begun.
var passing = regexp.MustCompile(`forbidden: (?:exceeded quota|status unknown for quota|insufficient quota|error looking up service account|not yet ready)`)

// Of returns the kind of an error of client-go.
func Of(err error) Kind {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonNotFound, metav1.StatusReasonGone:
		if unknownPath(err) {
			return UnknownPath
		}
		return NotFound
	case metav1.StatusReasonAlreadyExists:
		return Exists
	case metav1.StatusReasonUnauthorized:
		return Denied
	case metav1.StatusReasonForbidden:
		return forbidden(err)
	case metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonNotAcceptable,
		metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonRequestEntityTooLarge:
		return Refused
	}
	return Passing
}

// forbidden tells apart what shares the reason Forbidden: the authorizer, and admission with quotas and policies.
func forbidden(err error) Kind {
	message := err.Error()
	switch {
	case denial.MatchString(message):
		return Denied
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return Refused
	case passing.MatchString(message):
		return Passing
	case foreign(err):
		return Denied
	}
	return Refused
}

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
