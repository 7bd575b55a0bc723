// Package storefault gives the errors of remote stores one form: what was tried, what it means, what the store or the way to it says, and what to do.
//
// A driver knows what its store's answers mean; it says so in an Explainer. The texts are made here, so that none of them holds more than it should.
//
// # Concurrency
//
// Everything is safe for concurrent use.
package storefault

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"gocloud.dev/gcerrors"

	"github.com/davit-project/davit/location"
)

// Failure is an error that is explained.
type Failure struct {
	// Kind is what errors.Is finds: an error of the package location, fs.ErrPermission, or the cause for which a context has ended; nil where it is none of them.
	Kind error
	// Code is that of gocloud.
	Code gcerrors.ErrorCode
	// Text is the whole text, without secrets.
	Text string
	// Cause is the error behind it; nil where that is not to be seen.
	Cause error
}

// Error is the text.
func (f *Failure) Error() string { return f.Text }

// Unwrap returns the kind and the cause, where there are such.
func (f *Failure) Unwrap() []error {
	var all []error
	for _, err := range []error{f.Kind, f.Cause} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Code is gocloud's code for an error of a driver.
func Code(err error) gcerrors.ErrorCode {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Code
	}
	return gcerrors.Code(err)
}

// Meaning is what an answer means, and what to do about it.
type Meaning struct {
	// Kind is that of the failure; its text is said, too. Nil is of no kind.
	Kind error
	// Code is that of the failure. Default gcerrors.Unknown.
	Code gcerrors.ErrorCode
	// Advice ends the text; empty if there is none.
	Advice string
}

// Means makes a Meaning; it keeps tables of them short.
func Means(kind error, code gcerrors.ErrorCode, advice string) Meaning {
	return Meaning{Kind: kind, Code: code, Advice: advice}
}

// What means the same in every store.
var (
	Busy   = Means(location.ErrUnavailable, gcerrors.ResourceExhausted, "it was tried several times: try again later")
	Away   = Means(location.ErrUnavailable, gcerrors.Unknown, "check the endpoint, the network and the proxy; it was tried several times")
	Denied = Means(fs.ErrPermission, gcerrors.PermissionDenied, "")
	Absent = Means(location.ErrNotFound, gcerrors.NotFound, "")
	Exists = Means(location.ErrExists, gcerrors.FailedPrecondition, "the object is there and was not to be replaced")
	Locked = Means(location.ErrExists, gcerrors.FailedPrecondition, "the object is locked: it can be deleted or replaced when its retention ends")
	// Stranger is a server whose certificate is not trusted.
	Stranger = Means(location.ErrUnavailable, gcerrors.Unknown,
		"give the location the certificate of the server's authority as its CA bundle (CABundle), or correct the endpoint")
)

// Failure is the error of what was tried, with what was said.
func (m Meaning) Failure(verb, said string) *Failure {
	text := verb + " in the store: "
	if m.Kind != nil {
		text += m.Kind.Error() + ": "
	}
	text += said
	if m.Advice != "" {
		text += ": " + m.Advice
	}
	if m.Code == gcerrors.OK {
		m.Code = gcerrors.Unknown
	}
	return &Failure{Kind: m.Kind, Code: m.Code, Text: text}
}

// ended is the failure of what was tried under a context that has ended.
func ended(verb string, cause error) *Failure {
	code := gcerrors.Canceled
	if errors.Is(cause, context.DeadlineExceeded) {
		code = gcerrors.DeadlineExceeded
	}
	return &Failure{Kind: cause, Code: code, Text: verb + " in the store: " + cause.Error()}
}

// IsFinal tells whether the store has surely not done what it was asked for. A refusal to replace is not final: it may be the write's own object that is there,
// stored by a try whose answer was lost. Nor is a refused retention: there are stores that keep the object before they refuse it.
func IsFinal(err error) bool {
	for _, kind := range []error{location.ErrNoBucket, location.ErrCredential, location.ErrClock, location.ErrProfile, fs.ErrPermission} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// OfStatus is what a status of HTTP means by itself; of no kind where that depends on the store.
func OfStatus(status int) Meaning {
	switch {
	case status == http.StatusForbidden:
		return Denied
	case status == http.StatusNotFound:
		return Absent
	case status == http.StatusPreconditionFailed:
		return Exists
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return Busy
	default:
		return Meaning{}
	}
}
