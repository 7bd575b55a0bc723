package location

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"gocloud.dev/gcerrors"
)

// Errors of this package.
var (
	// ErrNotFound means that there is no object of that key.
	ErrNotFound = errors.New("not found in the location")
	// ErrCorrupt means that an object is not what was recorded when it was written.
	ErrCorrupt = errors.New("the object is not what was written")
	// ErrUnverified means that an object is there but was never recorded, so that nothing can be said about it: another
	// tool wrote it.
	ErrUnverified = errors.New("the object has no record to compare it with")
	// ErrExists means that an object of that key is there and was not to be replaced, or is locked.
	ErrExists = errors.New("the object exists")
	// ErrNoBucket means that the bucket or container does not exist.
	ErrNoBucket = errors.New("no such bucket")
	// ErrCredential means that the store does not know the credential, or that it has expired. One that lacks a right is fs.ErrPermission.
	ErrCredential = errors.New("the store does not accept the credential")
	// ErrClock means that the clocks of this machine and the store differ too much for a signature.
	ErrClock = errors.New("the clocks of this machine and the store differ too much")
	// ErrUnavailable means that the store cannot be reached or refuses work for now, after retries.
	ErrUnavailable = errors.New("the store is not available")
	// ErrKey means that a key or prefix cannot be used.
	ErrKey = errors.New("invalid key")
	// ErrProfile means that a profile cannot be used as it is.
	ErrProfile = errors.New("invalid profile")
	// ErrUnsupported means that this program cannot work with that type of location or credential.
	ErrUnsupported = errors.New("unsupported")
)

// failed says what was tried on which object, and what to do where that is known. Of no error it makes none.
func (b *Bucket) failed(ctx context.Context, verb, key string, err error) error {
	if err == nil {
		return nil
	}
	err = inner(err)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	if hint := b.advice(verb, err); hint != "" {
		return fmt.Errorf("%s %q: %w: %s", verb, key, err, hint)
	}
	return fmt.Errorf("%s %q: %w", verb, key, err)
}

// inner takes off the wrapping of gocloud, which says the key again. A refused permission stays recognisable.
func inner(err error) error {
	denied := gcerrors.Code(err) == gcerrors.PermissionDenied
	if w, ok := err.(interface{ Unwrap() []error }); ok {
		if causes := w.Unwrap(); fromDriver(causes) {
			err = causes[0]
		}
	}
	if denied && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", fs.ErrPermission, err)
	}
	return err
}

// fromDriver recognises how gocloud wraps an error: the driver's, then a sentinel for its code.
func fromDriver(causes []error) bool {
	codes := []error{gcerrors.ErrUnknown, gcerrors.ErrPermissionDenied, gcerrors.ErrFailedPrecondition, gcerrors.ErrResourceExhausted,
		gcerrors.ErrInvalidArgument, gcerrors.ErrUnimplemented, gcerrors.ErrNotFound, gcerrors.ErrAlreadyExists}
	return len(causes) == 2 && causes[0] != nil && slices.Contains(codes, causes[1])
}

// callers is a failure of what the caller reads from or writes to: advice about the location would mislead.
type callers struct{ error }

func (e *callers) Unwrap() error { return e.error }

func (b *Bucket) advice(verb string, err error) string {
	if _, ok := errors.AsType[*callers](err); ok {
		return ""
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "the location is full: free space there or use another one"
	case errors.Is(err, syscall.EDQUOT):
		return "the location's quota is used up: free space there or raise it"
	case errors.Is(err, syscall.EFBIG):
		return "the location does not take files of that size: raise the limit or use another one"
	case errors.Is(err, syscall.EROFS):
		return "the location is read-only: mount it for writing or use another one"
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return "in a folder, nothing can be below an object's name: use another path"
	case errors.Is(err, fs.ErrPermission):
		return "the credential or user of this process lacks that right on the location: grant it" + b.right(verb)
	default:
		return ""
	}
}

// right is the store's name of the right that is needed for something.
func (b *Bucket) right(verb string) string {
	var names Permissions
	if !b.blob.As(&names) {
		return ""
	}
	verb, _, _ = strings.Cut(verb, " ")
	switch verb {
	case "list":
		return " (" + names.List + ")"
	case "write":
		return " (" + names.Write + ")"
	case "delete", "remove":
		return " (" + names.Delete + ")"
	default: // what is not there is refused, too, to who may not list
		return " (" + names.Read + ", and " + names.List + ")"
	}
}

// isAbsent tells whether the object is not there. Where the bucket is not, nobody can tell.
func isAbsent(err error) bool {
	return gcerrors.Code(err) == gcerrors.NotFound && !errors.Is(err, ErrNoBucket)
}
